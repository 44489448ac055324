"""The formulas of reports: each computes one figure from a few ledger entries and nothing else.

Stands under the report model. A formula has a name, and maybe an argument after a colon (`field:to`); it gets
exactly the entries that the figure names, in ledger order, so whoever has those computes the same value. What
the entries do not say is None, never 0.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from services.domain.bet import Verdict
from services.domain.canonical import digest_hex
from services.domain.ledger_schema import Entry, EntryType
from services.domain.placebo import exact_interval
from services.domain.report_model import Figure, Unit, Value
from services.domain.states import Leg
from services.domain.tally import MINIMUM_BALLOTS, need

DIGITS: Final = 12
NORMAL_95: Final = 1.959964
PERCENT: Final = 100.0
NOBODY: Final = "nobody"
CONFIG_TYPES: Final = (
    EntryType.GENESIS, EntryType.REGISTERED, EntryType.PROMOTED, EntryType.ROLLED_BACK, EntryType.OVERRIDE,
)  # fmt: skip

Entries = Sequence[Entry]


def figure(
    name: str, label: str, formula: str, entries: Iterable[Entry | None], unit: Unit, note: str = ""
) -> Figure:
    """Return a figure computed by a formula from entries (those that are None are left out)."""
    used = sorted({entry.index: entry for entry in entries if entry is not None}.items())
    found = [entry for _, entry in used]
    value = compute(formula, found)
    return Figure(name, label, value, unit, tuple(index for index, _ in used), formula, note)


def compute(formula: str, entries: Entries) -> Value:
    """Return what a formula makes of entries in ledger order; KeyError for a formula that is none."""
    name, _, argument = formula.partition(":")
    value = FORMULAS[name](entries, argument)
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def config_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the config that entries add up to: the starting values and each change in order."""
    config: dict[str, str] = {}
    for entry in entries:
        payload = entry.payload
        if entry.type is EntryType.GENESIS:
            config = dict(payload["config"])
        elif entry.type is EntryType.REGISTERED:
            config[payload["parameter"]] = payload["value"]
        elif entry.type in CONFIG_TYPES and "to" in payload:
            config[payload["parameter"]] = payload["to"]
    return config


def wilson(successes: float, tasks: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927); all of [0, 1] without a task."""
    if not tasks:
        return 0.0, 1.0
    share, square = successes / tasks, NORMAL_95**2
    centre = (share + square / (2 * tasks)) / (1 + square / tasks)
    spread = math.sqrt(share * (1 - share) / tasks + square / (4 * tasks**2))
    half = NORMAL_95 * spread / (1 + square / tasks)
    return max(0.0, centre - half), min(1.0, centre + half)


def _payload(entries: Entries) -> dict[str, Any]:
    return entries[0].payload if entries else {}


def _count(entries: Entries, _argument: str) -> Value:
    return len(entries)


def _field(entries: Entries, name: str) -> Value:
    value = _payload(entries).get(name)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _decimal(entries: Entries, name: str) -> Value:
    value = _payload(entries).get(name)
    return None if value is None else float(value)


def _chance(entries: Entries, name: str) -> Value:
    """Return the chance that a treated task beats an untreated one: the gap of ranks and a half."""
    value = _payload(entries).get(name)
    return None if value is None else min(1.0, max(0.0, 0.5 + float(value)))


def _at(entries: Entries, _argument: str) -> Value:
    return entries[0].at_us if entries else None


def _elapsed(entries: Entries, types: str) -> Value:
    """Return the time from the first entry of one type to the first one of another after it."""
    found = list(_spans(entries, types))
    return found[0] if found else None


def _median_elapsed(entries: Entries, types: str) -> Value:
    """Return the median over laps of the time from a lap's first entry of one type to that of another."""
    laps: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.lap is not None:
            laps.setdefault(entry.lap, []).append(entry)
    found = [span for of_lap in laps.values() for span in list(_spans(of_lap, types))[:1]]
    return round(statistics.median(found)) if found else None


def _spans(entries: Entries, types: str) -> Iterator[int]:
    start, end = types.split(">")
    begun: int | None = None
    for entry in entries:
        if begun is None and entry.type == start:
            begun = entry.at_us
        elif begun is not None and entry.type == end:
            yield entry.at_us - begun
            return


def _detect(entries: Entries, _argument: str) -> Value:
    """Return the median time from when metrics left their bands to the entry that says so."""
    found = [
        entry.at_us - int(entry.payload["began_at_us"])
        for entry in entries
        if entry.payload.get("began_at_us") is not None
    ]
    return round(statistics.median(found)) if found else None


def _share(entries: Entries, names: str) -> Value:
    """Return a share of two fields, `share:numerator/denominator`."""
    top, bottom = names.split("/")
    payload = _payload(entries)
    if not payload or payload.get(top) is None or not payload.get(bottom):
        return None
    return float(payload[top]) / float(payload[bottom])


def _gap(entries: Entries, _argument: str) -> Value:
    """Return the share of the treatment's tasks that succeeded less the control's, every task alike."""
    new = _share(entries, "treatment_successes/treatment_tasks")
    old = _share(entries, "control_successes/control_tasks")
    return float(new) - float(old) if new is not None and old is not None else None


def _arm_limit(entries: Entries, which: str) -> Value:
    """Return a 95 % limit of an arm's share, `arm_limit:treatment/lower`."""
    arm, side = which.split("/")
    payload = _payload(entries)
    if not payload:
        return None
    limits = wilson(float(payload[f"{arm}_successes"]), payload[f"{arm}_tasks"])
    return limits[0 if side == "lower" else 1]


def _line(entries: Entries, _argument: str) -> Value:
    """Return the E that decides a leg: one over the level of its plan."""
    plan = _payload(entries).get("plan") or {}
    return 1.0 / float(plan["alpha"]) if plan.get("alpha") else None


def _need(entries: Entries, _argument: str) -> Value:
    """Return the fewest votes for that carry when every elector votes, under the rules in force then."""
    proposal = next((entry for entry in entries if entry.type is EntryType.PROPOSAL), None)
    if proposal is None:
        return None
    rules = proposal.payload.get("rules") or (config_rules(entries))
    electorate = len(proposal.payload["electorate"])
    least = int(rules.get("minimum_ballots", MINIMUM_BALLOTS))
    return max(need(electorate, int(rules["threshold_percent"])), least) if rules else None


def _silent(entries: Entries, _argument: str) -> Value:
    """Return who could vote and has no ballot among the entries, in the electorate's order."""
    filed = next((entry for entry in entries if entry.type is EntryType.PROPOSAL), None)
    if filed is None:
        return None
    cast = {entry.payload["voter"] for entry in entries if entry.type is EntryType.BALLOT}
    return ", ".join(who for who in filed.payload["electorate"] if who not in cast) or NOBODY


def _conflicts(entries: Entries, _argument: str) -> Value:
    """Return who had no ballot for a conflict of interest, each with why; None where nothing says so."""
    found = _payload(entries).get("conflicts")
    if found is None:
        return None
    return ", ".join(f"{who} ({why})" for who, why in sorted(found.items())) or NOBODY


def config_rules(entries: Entries) -> dict[str, Any]:
    """Return the voting rules that the log began with, {} without its first entry."""
    return next((dict(e.payload["rules"]) for e in entries if e.type is EntryType.GENESIS), {})


def _brier(entries: Entries, _argument: str) -> Value:
    """Return the mean Brier score of forecasts whose experiment ended: (forecast − won)²."""
    scores = list(scored(entries))
    return statistics.fmean(scores) if scores else None


def scored(entries: Entries) -> Iterator[float]:
    """Yield the Brier score of each ballot whose trial has a verdict among the entries; invalid ones none."""
    won: dict[int, bool] = {}
    for entry in entries:
        payload = entry.payload
        is_trial = entry.type is EntryType.VERDICT and payload.get("leg", Leg.TRIAL) == Leg.TRIAL
        if is_trial and payload["verdict"] != Verdict.INVALID:
            won[payload["proposal_id"]] = payload["verdict"] == Verdict.WIN
    for entry in entries:
        payload = entry.payload
        if entry.type is not EntryType.BALLOT or payload["forecast_percent"] is None:
            continue
        if payload["proposal_id"] in won:
            yield (payload["forecast_percent"] / PERCENT - float(won[payload["proposal_id"]])) ** 2


def _forecasts(entries: Entries, _argument: str) -> Value:
    return len(list(scored(entries)))


def _placebo(entries: Entries, which: str) -> Value:
    """Return ended, wins, rate, lower or upper (95 %, exact) of placebos; invalid ones are left out."""
    ends = [entry.payload["verdict"] for entry in entries if entry.payload["verdict"] != Verdict.INVALID]
    wins = sum(verdict == Verdict.WIN for verdict in ends)
    interval = exact_interval(wins, len(ends))
    found: dict[str, Value] = {"ended": len(ends), "wins": wins, **interval._asdict()}
    return found[which]


def _total(entries: Entries, name: str) -> Value:
    """Return the sum of a field over the entries that have it, None where none has."""
    found = [entry.payload[name] for entry in entries if entry.payload.get(name) is not None]
    return sum(found) if found else None


def _config(entries: Entries, name: str) -> Value:
    return config_of(entries).get(name)


def _config_hash(entries: Entries, _argument: str) -> Value:
    return digest_hex(config_of(entries)) if entries else None


def _config_size(entries: Entries, _argument: str) -> Value:
    return len(config_of(entries)) if entries else None


def _type(entries: Entries, _argument: str) -> Value:
    return entries[0].type.value if entries else None


def _actor(entries: Entries, _argument: str) -> Value:
    return entries[0].actor if entries else None


def _lap(entries: Entries, _argument: str) -> Value:
    return entries[0].lap if entries else None


def _list(entries: Entries, name: str) -> Value:
    """Return the length of a list field."""
    value = _payload(entries).get(name)
    return len(value) if isinstance(value, list) else None


FORMULAS: Final[dict[str, Callable[[Entries, str], Value]]] = {
    "count": _count,
    "field": _field,
    "decimal": _decimal,
    "chance": _chance,
    "at": _at,
    "elapsed": _elapsed,
    "median_elapsed": _median_elapsed,
    "detect": _detect,
    "share": _share,
    "gap": _gap,
    "arm_limit": _arm_limit,
    "line": _line,
    "need": _need,
    "silent": _silent,
    "conflicts": _conflicts,
    "brier": _brier,
    "forecasts": _forecasts,
    "placebo": _placebo,
    "total": _total,
    "config": _config,
    "config_hash": _config_hash,
    "config_size": _config_size,
    "type": _type,
    "actor": _actor,
    "lap": _lap,
    "list": _list,
}
