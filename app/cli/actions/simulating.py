"""Run a simulation and show it: progress on standard error, the report as text or JSON on standard output.

Stands between the command line and `app.simulation`. It never counts anything: the report does.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli.actions.screen import say_item, say_json, say_note
from app.simulation import runner
from app.simulation.market.report import market_facts, market_trouble, report_of
from app.simulation.market.runner import Run, run_setting
from app.simulation.market.settings import settings_of
from app.simulation.report import is_sound
from app.simulation.scenarios import SCENARIOS, Scenario
from services.domain.errors import InvalidValueError

DAY_SECONDS = 86_400
MINUTES_UNTIL = 3_570  # from here on a rounded number of minutes is an hour
LONG_DAYS = 100
MARKET = "market"
TASKS_NAME = "tasks"

Tell = Callable[[runner.Progress], None]


def simulate(
    name: str,
    seed: int,
    *,
    counts: Mapping[str, int | None],
    choices: Mapping[str, str | None],
    keep: str | None,
    is_quiet: bool,
    as_json: bool,
) -> int:
    """Run a scenario and print its report; return 0 when it is sound, else 1.

    `counts` and `choices` are what was asked for by option; only what belongs to the scenario may be given.
    """
    if name == MARKET:
        return simulate_market(
            seed, counts=counts, choices=choices, keep=keep, is_quiet=is_quiet, as_json=as_json
        )
    scenario = SCENARIOS[name].with_count(_count(SCENARIOS[name], counts))
    for option, given in choices.items():
        if given is not None:
            msg = f"--{option} belongs to the scenario market"
            raise InvalidValueError(msg, field=option)
    kept = None if keep is None else _new_file(keep)
    with _shown_progress(scenario, is_quiet=is_quiet) as tell:
        report = runner.simulate(scenario, seed, keep=kept, on_progress=tell)
    if as_json:
        say_json(report)
    else:
        say_item(facts_of(report), {}, as_json=False)
    if not is_sound(report):
        say_note(f"the simulation is not sound: {_trouble(report)}")
        return 1
    return 0


def simulate_market(
    seed: int,
    *,
    counts: Mapping[str, int | None],
    choices: Mapping[str, str | None],
    keep: str | None,
    is_quiet: bool,
    as_json: bool,
) -> int:
    """Run the simulated market under the rules and attacks asked for; print its table; 0 when it is sound."""
    tasks = count_of(counts, TASKS_NAME, MARKET)
    settings = settings_of(choices["attack"], choices["rule"], tasks)
    kept = None if keep is None else _new_file(keep)
    if kept is not None and len(settings) > 1:
        msg = "--keep keeps one run: choose one rule and one attack"
        raise InvalidValueError(msg, field="keep")
    runs: list[Run] = []
    total = sum(setting.tasks for setting in settings)
    with _progress_bar("tasks", total, is_quiet=is_quiet) as bar:
        for setting in settings:
            before = sum(run.setting.tasks for run in runs)
            runs.append(run_setting(setting, seed, keep=kept, on_progress=_shifted(bar, before)))
    report = report_of(runs)
    if as_json:
        say_json(report)
    else:
        say_item(market_facts(runs, seed), {}, as_json=False)
    if not report["is_sound"]:
        say_note(f"the simulation is not sound: {market_trouble(runs)}")
        return 1
    return 0


def _shifted(bar: Callable[[int], None] | None, before: int) -> Callable[[int, int], None] | None:
    return None if bar is None else lambda done, _total: bar(before + done)


@contextmanager
def _progress_bar(counted: str, total: int, *, is_quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Yield what to tell how many are done; None where nobody looks."""
    if is_quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[counted]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        shown = progress.add_task("simulating", total=total, counted=counted)
        yield lambda done: progress.update(shown, completed=done)


def count_of(counts: Mapping[str, int | None], counted: str, name: str) -> int | None:
    """Return the count that was given; raise InvalidValueError for one of something else."""
    for option, given in counts.items():
        if given is not None and option != counted:
            msg = f"scenario {name} is counted in {counted}: give --{counted}"
            raise InvalidValueError(msg, field=option)
    return counts[counted]


def _count(scenario: Scenario, counts: Mapping[str, int | None]) -> int | None:
    return count_of(counts, scenario.counted, scenario.name)


def _new_file(name: str) -> Path:
    path = Path(name)
    if path.exists() or not path.parent.is_dir():
        msg = f"{name} must be a new file in a folder that exists"
        raise InvalidValueError(msg, field="keep")
    return path


@contextmanager
def _shown_progress(scenario: Scenario, *, is_quiet: bool) -> Iterator[Tell | None]:
    """Yield what to tell the progress to; None where nobody looks."""
    if is_quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[counted]}"),
        TextColumn("{task.fields[tasks]:,} tasks, {task.fields[speed]:,.0f}/s", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        shown = progress.add_task(
            "simulating", total=scenario.count, counted=scenario.counted, tasks=0, speed=0.0
        )

        def tell(found: runner.Progress) -> None:
            progress.update(
                shown,
                completed=found.decided,
                total=found.asked,
                counted=found.counted,
                tasks=found.tasks,
                speed=found.tasks_per_second,
            )

        yield tell


def facts_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report as the lines and tables that a person reads."""
    experiments, truth, rates = report["experiments"], report["truth"], report["rates"]
    time, ledger, tasks = report["time"], report["ledger"], report["tasks"]
    facts: dict[str, Any] = {
        "scenario": f"{report['scenario']}: {report['summary']}",
        "seed": report["seed"],
        "laps": _parts(report["laps"]["opened"], report["laps"]["ended"]),
        "proposals": _parts(report["proposals"]["filed"], report["proposals"]["ended"]),
        "refused at filing": _parts(
            sum(report["proposals"]["refused_at_filing"].values()), report["proposals"]["refused_at_filing"]
        ),
        "experiments": _parts(experiments["started"], experiments["states"]),
        "promoted": f"{experiments['provisional']} provisionally, {experiments['confirmed']} confirmed, "
        f"{experiments['rolled_back']} rolled back",
        "declared rate": f"{rates['declared']:.1%} of changes that are no better",
        "false, provisional": _rate(rates["false_provisional"]),
        "false, confirmed": _rate(rates["false_confirmed"]),
    }
    if truth["better"]:
        facts["found, provisional"] = _rate(truth["power_provisional"])
        facts["found, confirmed"] = _rate(truth["power_confirmed"])
        facts["found, of all ideas"] = _rate(truth["confirmed_of_all_better"])
        facts["false of confirmed"] = _rate(truth["false_share_of_confirmed"])
    if report["placebos"]["ended"]:
        facts["placebos that won"] = _rate(report["placebos"]["promoted"])
    if report["levels"]:
        facts["levels of the stream"] = ", ".join(f"{name} {a:.2g}" for name, a in report["levels"].items())
    facts["tasks"] = f"{tasks['ended']:,} in {lasting(time['virtual_days'] * DAY_SECONDS)} of virtual time"
    facts["agents suspended"] = str(tasks["suspended_agents"])
    facts["speed"] = (
        f"{time['tasks_per_second']:,.0f} simulated tasks per second "
        f"({time['wall_seconds']:.1f} s, {time['cpu_seconds']:.1f} s of CPU)"
    )
    facts["ledger"] = f"{ledger['entries']:,} entries, {_audited(ledger)}"
    facts["root"] = ledger["root"]
    facts["verdicts"] = [
        {"verdict": name, "experiments": found["experiments"], "mean tasks": round(found["trial_tasks_mean"])}
        for name, found in experiments["verdicts"].items()
    ]
    return {name: value for name, value in facts.items() if value not in ("0", [])}


def lasting(seconds: float) -> str:
    """Return a duration in its two largest units: "20 min", "3 h 5 min", "12 d 4 h"."""
    minutes, hours, days = (round(seconds / unit) for unit in (60, 3_600, DAY_SECONDS))
    if seconds < MINUTES_UNTIL:
        return f"{seconds:.0f} s" if not minutes else f"{minutes} min"
    if seconds < DAY_SECONDS:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24:,} d {hours % 24} h" if days < LONG_DAYS else f"{days:,} d"


def _parts(total: int, parts: Mapping[str, int]) -> str:
    named = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(parts.items()))
    return f"{total} ({named})" if named else str(total)


def _rate(rate: Mapping[str, Any]) -> str:
    if not rate["of"]:
        return "none"
    found = f"{rate['count']} of {rate['of']} = {rate['share']:.1%}"
    return f"{found} (95 % interval {rate['lower']:.1%} to {rate['upper']:.1%})"


def _audited(ledger: Mapping[str, Any]) -> str:
    return "verified offline" if ledger["is_verified"] else f"NOT verified: {ledger['reason']}"


def _trouble(report: Mapping[str, Any]) -> str:
    troubles = [f"{count} {name.replace('_', ' ')}" for name, count in report["lost"].items() if count]
    if not report["is_complete"]:
        troubles.append("it was given up before everything was decided")
    if not report["ledger"]["is_verified"]:
        troubles.append(f"the ledger does not verify: {report['ledger']['reason']}")
    return "; ".join(troubles)
