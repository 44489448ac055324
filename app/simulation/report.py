"""What came of a simulation: counted from the ledger and the tables, beside the truth that only we know.

Stands after a run. Promotions are counted by ledger entries, so that what is reported is what an auditor can
count; the truth table (which changes were truly better) never enters the platform. The export of the ledger
is verified offline as `nacre ledger verify` does. It never changes anything.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from app.simulation.proposers import Idea
from app.simulation.scenario_world import ScenarioWorld
from app.simulation.scenarios import LAPS, Scenario
from services import evolution_ledger
from services.domain.clock import DAY_US
from services.domain.ledger_schema import EntryType
from services.domain.placebo import exact_interval
from services.domain.states import DeliveryState, ExperimentKind, TickState
from services.operations import production_config
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of`, with its exact (Clopper–Pearson) 95 % interval."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """Return count / of, None for nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Return the bounds of the exact interval (Clopper & Pearson 1934)."""
        found = exact_interval(self.count, self.of, 1.0 - COVERAGE)
        return found.lower, found.upper

    def to_payload(self) -> dict[str, object]:
        """Return the JSON object of the rate."""
        lower, upper = self.interval
        return {"count": self.count, "of": self.of, "share": self.share, "lower": lower, "upper": upper}


@dataclass
class Ended:
    """What the ledger says of one experiment. `log_odds` is the truth about it, None where there is none."""

    experiment_id: int
    proposal_id: int | None
    log_odds: float | None
    confirm_alpha: float | None
    verdict: str | None = None
    reason: str | None = None
    trial_tasks: int | None = None
    is_provisional: bool = False
    is_confirmed: bool = False
    is_rolled_back: bool = False


@dataclass
class Counted:
    """Everything the report counts from the ledger."""

    entries: int = 0
    types: Counter[str] = field(default_factory=Counter)
    experiments: dict[int, Ended] = field(default_factory=dict)
    placebo_verdicts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Effort:
    """What the run cost this machine, in seconds."""

    wall_seconds: float
    cpu_seconds: float


def count_ledger(rows: Iterable[Row], truth: dict[int, float]) -> Counted:
    """Fold the ledger into what became of each experiment; `truth` is log-odds by proposal."""
    found = Counted()
    promotions: dict[int, int] = {}
    for row in rows:
        entry = json.loads(row["leaf"])
        found.entries += 1
        found.types[entry["type"]] += 1
        _fold(found, promotions, entry, truth)
    return found


def _fold(found: Counted, promotions: dict[int, int], entry: dict[str, Any], truth: dict[int, float]) -> None:
    payload, kind = entry["payload"], entry["type"]
    number = payload.get("experiment_id")
    if kind == EntryType.EXPERIMENT_STARTED:
        proposal = payload["proposal_id"]
        level = payload.get("confirm_alpha")
        found.experiments[number] = Ended(
            number, proposal, truth.get(proposal), None if level is None else float(level)
        )
    elif kind == EntryType.PLACEBO_VERDICT:
        found.placebo_verdicts[payload["verdict"]] += 1
    elif kind == EntryType.REFUSED:
        found.refusals[payload["reason"]] += 1
    elif kind == EntryType.ROLLED_BACK:
        restored = promotions.get(payload["promoted_index"])
        if restored is not None:
            found.experiments[restored].is_rolled_back = True
    elif number in found.experiments:
        _fold_outcome(found.experiments[number], promotions, entry)


def _fold_outcome(ended: Ended, promotions: dict[int, int], entry: dict[str, Any]) -> None:
    payload, kind = entry["payload"], entry["type"]
    if kind == EntryType.VERDICT and ended.verdict is None:
        ended.verdict, ended.reason = payload["verdict"], payload["reason"]
        ended.trial_tasks = payload["tasks"]
    elif kind == EntryType.PROMOTED:
        ended.is_provisional = True
        promotions[entry["index"]] = ended.experiment_id
    elif kind == EntryType.CONFIRMED:
        ended.is_confirmed = True


def report_of(world: ScenarioWorld, effort: Effort) -> dict[str, Any]:
    """Return the whole report as a JSON object."""
    platform = world.stage.platform
    truth = {filed.proposal_id: filed.log_odds for filed in world.proposers.filed}
    with platform.store.read() as tx:
        counted = count_ledger(sql.find_all(tx, tables.ledger_entry, order_by="index"), truth)
        audit = evolution_ledger.verify_export(list(evolution_ledger.export_lines(tx, platform.signer)))
        platform_facts = _platform_facts(tx, world.scenario)
        declared = production_config.number(tx, "sandbox.alpha")
        is_config_same = audit.config == production_config.snapshot(tx)
    experiments = list(counted.experiments.values())
    finished = world.fleet.finished
    return {
        "scenario": world.scenario.name,
        "summary": world.scenario.summary,
        "seed": world.seed,
        "counted": world.scenario.counted,
        "asked": world.scenario.count,
        "is_complete": world.is_complete,
        "laps": platform_facts["laps"],
        "proposals": {
            "filed": len(world.proposers.filed),
            "refused_at_filing": dict(world.proposers.refused),
            "ended": platform_facts["proposals"],
        },
        "experiments": _experiments(experiments, platform_facts["experiments"]),
        "rates": _rates(experiments, declared),
        "truth": _truth(experiments, world.proposers.dropped),
        "levels": _levels(experiments),
        "placebos": {
            "ended": counted.placebo_verdicts.total(),
            "promoted": Rate(counted.placebo_verdicts["win"], counted.placebo_verdicts.total()).to_payload(),
        },
        "tasks": {
            "posted": world.fleet.posted,
            "ended": finished,
            "suspended_agents": world.fleet.suspended,
        },
        "time": {
            "virtual_days": world.stage.elapsed_seconds * 1e6 / DAY_US,
            "wall_seconds": effort.wall_seconds,
            "cpu_seconds": effort.cpu_seconds,
            "tasks_per_second": finished / effort.wall_seconds if effort.wall_seconds else 0.0,
        },
        "ledger": {
            "entries": audit.size,
            "root": audit.root_hex,
            "is_verified": audit.ok and is_config_same,
            "reason": audit.reason or ("" if is_config_same else "the live config is not the ledger's"),
            "by_type": dict(sorted(counted.types.items())),
        },
        "lost": platform_facts["lost"],
    }


def is_sound(report: dict[str, Any]) -> bool:
    """Tell whether the run ended, its ledger stands up to the audit, and nothing was lost on the way."""
    return bool(
        report["is_complete"] and report["ledger"]["is_verified"] and not any(report["lost"].values())
    )


def _platform_facts(tx: Tx, scenario: Scenario) -> dict[str, Any]:
    found = sql.find_all(tx, tables.lap)
    laps = found[: scenario.count] if scenario.counted == LAPS else found
    proposals = sql.find_all(tx, tables.proposal)
    experiments = sql.find_all(tx, tables.experiment, kind=ExperimentKind.CHANGE)
    failed = (TickState.FAILED, TickState.OVERRUN, TickState.MISSED)
    return {
        "laps": {
            "opened": len(laps),
            "ended": dict(Counter(str(row["outcome"] or "open") for row in laps)),
        },
        "proposals": dict(Counter(str(row["state"]) for row in proposals)),
        "experiments": dict(Counter(str(row["state"]) for row in experiments)),
        "lost": {
            "dead_letters": len(sql.find_all(tx, tables.delivery, state=DeliveryState.DEAD)),
            "failed_ticks": len(sql.find_all(tx, tables.cron_tick, state=failed)),
        },
    }


def _experiments(experiments: list[Ended], states: dict[str, int]) -> dict[str, Any]:
    ended = [one for one in experiments if one.verdict is not None]
    by_verdict: dict[str, list[int]] = {}
    for one in ended:
        by_verdict.setdefault(f"{one.verdict}: {one.reason}", []).append(one.trial_tasks or 0)
    return {
        "started": len(experiments),
        "states": states,
        "provisional": sum(one.is_provisional for one in experiments),
        "confirmed": sum(one.is_confirmed for one in experiments),
        "rolled_back": sum(one.is_rolled_back for one in experiments),
        "trial_tasks_mean": fmean(one.trial_tasks or 0 for one in ended) if ended else None,
        "verdicts": {
            name: {"experiments": len(tasks), "trial_tasks_mean": fmean(tasks)}
            for name, tasks in sorted(by_verdict.items())
        },
    }


def _rates(experiments: list[Ended], declared: float) -> dict[str, Any]:
    """Return how often changes that are no better were promoted, beside the declared rate."""
    useless = [one for one in experiments if one.log_odds is not None and one.log_odds <= 0]
    provisional = Rate(sum(one.is_provisional for one in useless), len(useless))
    confirmed = Rate(sum(one.is_confirmed for one in useless), len(useless))
    return {
        "declared": declared,
        "false_provisional": provisional.to_payload(),
        "false_confirmed": confirmed.to_payload(),
        "is_within_declared": provisional.interval[0] <= declared and confirmed.interval[0] <= declared,
    }


def _truth(experiments: list[Ended], dropped: list[Idea]) -> dict[str, Any]:
    """Return what became of changes that are truly better, those too small to be tried included."""
    better = [one for one in experiments if one.log_odds is not None and one.log_odds > 0]
    provisional = [one for one in experiments if one.is_provisional]
    confirmed = [one for one in experiments if one.is_confirmed]

    def false(of: list[Ended]) -> dict[str, object]:
        return Rate(sum((one.log_odds or 0.0) <= 0 for one in of), len(of)).to_payload()

    untried = sum(idea.log_odds > 0 for idea in dropped)
    found = sum(one.is_confirmed for one in better)
    return {
        "better": len(better),
        "better_too_small": untried,
        "confirmed_of_all_better": Rate(found, len(better) + untried).to_payload(),
        "no_better": len(experiments) - len(better),
        "false_share_of_provisional": false(provisional),
        "false_share_of_confirmed": false(confirmed),
        "power_provisional": Rate(sum(one.is_provisional for one in better), len(better)).to_payload(),
        "power_confirmed": Rate(sum(one.is_confirmed for one in better), len(better)).to_payload(),
    }


def _levels(experiments: list[Ended]) -> dict[str, float] | None:
    """Return the levels α_j that confirmations were held to, None where the stream drew none."""
    levels = [one.confirm_alpha for one in experiments if one.confirm_alpha is not None]
    if not levels:
        return None
    return {"first": levels[0], "smallest": min(levels), "median": median(levels), "largest": max(levels)}
