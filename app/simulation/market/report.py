"""The report of the simulated market: one row per award rule or attack, as JSON, as text and as Markdown.

Stands after the runs. A row is the mean over its seeds, with the standard error where there are several. It
never counts anything: the figures do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.simulation.market.figures import Mean, over_seeds
from app.simulation.market.runner import Run
from app.simulation.market.settings import rule_name

COLUMNS: Mapping[str, tuple[str, float, int]] = {
    "utility": ("utility, % of oracle", 100.0, 1),
    "utility_without_stakes": ("same, lost stakes not counted back", 100.0, 1),
    "liars_jobs": ("liars' share of jobs, %", 100.0, 1),
    "early": ("success: first 500", 1.0, 3),
    "settled": ("settled (2nd quarter)", 1.0, 3),
    "after_drift": ("500 after drift", 1.0, 3),
    "last": ("last 1000", 1.0, 3),
    "paid": ("paid per success", 1.0, 2),
    "star_tasks": ("tasks until the star has 30 % of its bids (median)", 1.0, 0),
    "top_share": ("top 3's share", 1.0, 2),
    "driven_out": ("good agents driven out", 1.0, 2),
    "liars_out": ("liars shut out at the end", 1.0, 2),
    "liars_profit": ("liars' profit", 1.0, 0),
    "names_per_liar": ("names per liar", 1.0, 1),
}
"""Figure → its heading, the factor it is shown with, and its decimals."""
WITH_ERROR = ("utility", "liars_jobs", "settled")


def run_payload(run: Run) -> dict[str, Any]:
    """Return one run as a JSON object."""
    shown = {name: getattr(run.figures, name) for name in (*COLUMNS, "liars_jobs_last", "unproven")}
    return {
        "attack": str(run.setting.attack),
        "rule": rule_name(run.setting.rule),
        "seed": run.seed,
        "tasks": run.setting.tasks,
        "stake_percent": run.setting.stake_percent,
        "figures": shown,
        "invariants": {"checks": run.checks, "breaches": run.breaches},
        "refused": run.refused,
        "lost": {"dead_letters": run.dead_letters},
        "ledger": {"entries": run.entries, "root": run.root, "is_verified": run.is_verified},
        "effort": {
            "posted": run.posted,
            "bids": run.bids,
            "cpu_seconds": run.cpu_seconds,
            "wall_seconds": run.wall_seconds,
            "tasks_per_cpu_second": run.posted / run.cpu_seconds,
            "bids_per_cpu_second": run.bids / run.cpu_seconds,
            "cpu_seconds_by_verb": run.cpu_by_verb,
        },
    }


def report_of(runs: Sequence[Run]) -> dict[str, Any]:
    """Return all runs as a JSON object, in the order in which they ran."""
    cpu = sum(run.cpu_seconds for run in runs)
    return {
        "scenario": "market",
        "summary": "honest agents, newcomers, liars and a drift, through the platform's own verbs",
        "runs": [run_payload(run) for run in runs],
        "is_sound": all(run.is_sound for run in runs),
        "effort": {
            "cpu_seconds": cpu,
            "tasks_per_cpu_second": sum(run.posted for run in runs) / cpu,
            "bids_per_cpu_second": sum(run.bids for run in runs) / cpu,
        },
    }


def rows_of(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row per attack and rule, over the seeds; each cell as it is shown."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((str(run.setting.attack), rule_name(run.setting.rule)), []).append(run)
    rows = []
    for (attack, rule), group in groups.items():
        means = over_seeds([run.figures for run in group])
        cells = {heading: shown(name, means[name]) for name, (heading, _, _) in COLUMNS.items()}
        rows.append({"market": attack, "rule": rule, **cells})
    return rows


def shown(name: str, mean: Mean | None) -> str:
    """Return one cell of the table."""
    if mean is None:
        return "never"
    _, factor, digits = COLUMNS[name]
    text = f"{mean.mean * factor:.{digits}f}"
    is_with_error = name in WITH_ERROR and mean.error > 0
    return f"{text} ±{mean.error * factor:.{digits}f}" if is_with_error else text


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows with the same keys as a table of Markdown."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row[head] for head in heads) + " |" for row in rows]
    return "\n".join(lines)


SHORT: Mapping[str, str] = {
    "utility": "utility %",
    "liars_jobs": "liars %",
    "settled": "settled",
    "after_drift": "drift",
    "last": "last",
    "paid": "paid",
    "star_tasks": "star",
    "top_share": "top 3",
    "driven_out": "lost",
    "liars_profit": "loot",
}
"""Figures that fit a terminal, with their short headings."""


def market_facts(runs: Sequence[Run], seed: int) -> dict[str, Any]:
    """Return the report as the lines and the table that a person reads."""
    effort = report_of(runs)["effort"]
    checks = sum(run.checks for run in runs)
    breaches = sum(len(run.breaches) for run in runs)
    rows = []
    for run in runs:
        means = over_seeds([run.figures])
        cells = {short: shown(name, means[name]) for name, short in SHORT.items()}
        rows.append({"market": str(run.setting.attack), "rule": rule_name(run.setting.rule), **cells})
    return {
        "scenario": "market: honest agents, newcomers, liars and a drift, through the platform's own verbs",
        "seed": seed,
        "tasks": f"{sum(run.posted for run in runs):,} with {sum(run.bids for run in runs):,} bids",
        "invariants": f"recounted {checks} times, {breaches} breaches",
        "ledgers": "verified offline" if all(run.is_verified for run in runs) else "NOT verified",
        "speed": f"{effort['tasks_per_cpu_second']:,.0f} tasks and "
        f"{effort['bids_per_cpu_second']:,.0f} bids per second of processor time",
        "results": rows,
    }


def market_trouble(runs: Sequence[Run]) -> str:
    """Return in words what makes these runs unsound."""
    troubles = [breach for run in runs for breach in run.breaches[:3]]
    troubles += [f"{count} refused as {code}" for run in runs for code, count in run.refused.items()]
    troubles += [f"{run.dead_letters} dead letters" for run in runs if run.dead_letters]
    troubles += ["a ledger does not verify" for run in runs if not run.is_verified]
    return "; ".join(troubles)
