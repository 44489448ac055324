"""The night's consolidation (autoDream): what ended since its last mark becomes durable patterns.

Stands beside the layers, run by the cron registry, one step per transaction: at most six hours of ended
tasks and at most 25,000 of them. The mark moves with the counts, so that nothing is counted twice and a
missed night is caught up. Diagnosticians read the patterns over the API; nothing here decides or changes a
setting.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.domain import candidates, signatures
from services.domain.candidates import LONG_AGO_DAYS, Tried
from services.domain.clock import DAY_US, HOUR_US, MINUTE_US
from services.domain.parameters import Parameter, ParameterRegistry
from services.domain.patterns import (
    KEPT_DAYS,
    DayFold,
    Ended,
    Entry,
    PatternKind,
    bounded_sets,
    day_of,
    faded,
    folded,
    key_of,
    short_hash,
    with_part,
)
from services.domain.signatures import Cause, Cluster, Failure
from services.domain.states import EndReason, ExperimentState, TaskState
from services.store import patterns
from services.store.sql import Row
from services.store.tx import Tx

ROWS_PER_STEP: Final = 25_000
SPAN_US: Final = 6 * HOUR_US
"""What one step looks at; a day is four of them, and at three in the morning the last day is whole."""
SETTLED_US: Final = MINUTE_US
"""A span is consolidated when it has been over for this long: what commits late still falls into it."""
LIMITS: Final = {
    PatternKind.AGENT: 5_000,
    PatternKind.SETTING: 2_000,
    PatternKind.SIGNATURE: 1_000,
    PatternKind.STALE: 500,
    PatternKind.CANDIDATE: 100,
}
"""The most patterns of each kind that outlive a night."""
WEEK_US: Final = 7 * DAY_US
TRIED_SHOWN: Final = 10
SIGNATURES_SHOWN: Final = 3

Draft = dict[str, Any]


def consolidate(tx: Tx, registry: ParameterRegistry) -> dict[str, int]:
    """Take one step: the next span that has anything in it; return counts, all zero when nothing is left.

    The first night, and one after a long silence, begin 28 days back. The step that reaches the present also
    looks for what went stale, ranks the candidates and lets old patterns fade.
    """
    through_us = (tx.now_us - SETTLED_US) // SPAN_US * SPAN_US
    oldest_us = (day_of(through_us) - KEPT_DAYS + 1) * DAY_US
    known = patterns.mark(tx)
    after_us, after_id = known or (oldest_us, 0)
    if after_us >= through_us:
        return _counts()
    if after_us < oldest_us:
        after_us, after_id = oldest_us, 0
    rows = _next_rows(tx, after_us, after_id, through_us)
    if not rows:
        patterns.set_mark(tx, through_us, 0)
        return _finished(tx, registry)
    kept = _fold(tx, rows)
    patterns.set_mark(tx, rows[-1]["ended_at_us"], rows[-1]["id"])
    return _counts(tasks=len(rows), **kept)


def _counts(**found: int) -> dict[str, int]:
    names = ("tasks", "agents", "settings", "signatures", "stale", "candidates", "faded")
    return {name: found.get(name, 0) for name in names}


def _next_rows(tx: Tx, after_us: int, after_id: int, through_us: int) -> list[Row]:
    """Return what ended in the rest of the span of the mark, else in the next that has anything."""
    until_us = (after_us // SPAN_US + 1) * SPAN_US - 1
    rows = patterns.ended(tx, after_us, after_id, until_us, ROWS_PER_STEP)
    if rows:
        return rows
    next_us = patterns.next_ended(tx, until_us)
    if next_us is None or next_us >= through_us:
        return []
    until_us = (next_us // SPAN_US + 1) * SPAN_US - 1
    return patterns.ended(tx, next_us - 1, 0, until_us, ROWS_PER_STEP)


def _fold(tx: Tx, rows: Sequence[Row]) -> dict[str, int]:
    """Add rows of one day to the patterns of agents, settings and signatures."""
    fold = DayFold()
    doubtful = {
        row["id"]: row for row in rows if row["state"] != TaskState.SETTLED or row["attempt_count"] > 1
    }
    for row in rows:
        is_success = row["state"] == TaskState.SETTLED
        reason = str(row["end_reason"] or row["state"])
        fold.add(
            Ended(
                row["type"], row["awarded_agent_id"], is_success, reason, row["duration_us"],
                row["values_text"], row["ended_at_us"],
            )
        )  # fmt: skip
    failures = []
    for one in patterns.failed_attempts(tx, sorted(doubtful)):
        of = doubtful[one["task_id"]]
        is_last = one["number"] == of["attempt_count"]
        reason = str((of["end_reason"] if is_last else one["reason"]) or EndReason.LEASE_LAPSED)
        at_us = of["ended_at_us"]
        if not is_last:
            fold.add(
                Ended(of["type"], one["agent_id"], False, reason, None, of["values_text"], at_us, False)  # noqa: FBT003
            )
        cause = Cause(of["type"], reason)
        failures.append(Failure(cause, one["agent_id"], one["task_id"], _said(one), at_us))
    day = day_of(rows[0]["ended_at_us"])
    return {
        "agents": _keep_agents(tx, fold, day),
        "settings": _keep_settings(tx, fold, day),
        "signatures": _keep_signatures(tx, failures, day),
    }


def _said(one: Row) -> str:
    """Return what was said about a failure: the verifier's reason, else the agent's own account."""
    for raw in (one["verification_text"], one["handoff_text"]):
        text = signatures.said_in(raw or "")
        if text is not None:
            return text
    return ""


def _keep_agents(tx: Tx, fold: DayFold, day: int) -> int:
    found, meaning = fold.agents()
    drafts: dict[str, Draft] = {}
    for (task_type, agent_id), entry in found.items():
        key = key_of(task_type, agent_id)
        drafts[key] = {"task_type": task_type, "agent_id": agent_id, "entry": entry, "facts": {}}
    known = patterns.by_key(tx, PatternKind.AGENT, drafts)
    for key, draft in drafts.items():
        before = known[key]["facts"] if key in known else {}
        days = with_part(before.get("days", {}), day, draft.pop("entry"))
        days, sets = bounded_sets(days, {**before.get("sets", {}), **meaning})
        draft["facts"] = {"days": days, "sets": sets}
    return _store(tx, PatternKind.AGENT, drafts, known)


def _keep_settings(tx: Tx, fold: DayFold, day: int) -> int:
    drafts: dict[str, Draft] = {}
    for (task_type, parameter, value), (entry, (version, source)) in fold.settings().items():
        facts = {"parameter": parameter, "value": value, "version": version, "source": source, "entry": entry}
        drafts[key_of(task_type, parameter, value)] = {"task_type": task_type, "facts": facts}
    known = patterns.by_key(tx, PatternKind.SETTING, drafts)
    for key, draft in drafts.items():
        before = known[key]["facts"] if key in known else {}
        entry = draft["facts"].pop("entry")
        draft["facts"] = {**before, **draft["facts"], "days": with_part(before.get("days", {}), day, entry)}
    return _store(tx, PatternKind.SETTING, drafts, known)


def _keep_signatures(tx: Tx, failures: Sequence[Failure], day: int) -> int:
    if not failures:
        return 0
    rows = patterns.of_types(tx, PatternKind.SIGNATURE, {one.cause.task_type for one in failures})
    words: dict[Cause, list[str]] = defaultdict(list)
    for row in rows:
        words[Cause(row["task_type"], row["facts"]["end_reason"])].append(row["facts"]["words"])
    drafts: dict[str, Draft] = {}
    known = {row["key"]: row for row in rows}
    for cluster in signatures.clustered(failures, words):
        mark = short_hash(cluster.words)
        key = key_of(*cluster.cause, mark)
        drafts[key] = {"task_type": cluster.cause.task_type, "signature": mark, "facts": {}}
        drafts[key]["facts"] = _said_again(cluster, known[key]["facts"] if key in known else {}, day)
    return _store(tx, PatternKind.SIGNATURE, drafts, known)


def _said_again(cluster: Cluster, before: Mapping[str, Any], day: int) -> Draft:
    entry = {
        "tasks": cluster.count, "failures": cluster.count,
        "first_us": cluster.first_us, "last_us": cluster.last_us,
    }  # fmt: skip
    agents = Counter({str(agent): count for agent, count in cluster.agents.items()})
    agents.update(before.get("agents", {}))
    return {
        "end_reason": cluster.cause.end_reason,
        "words": cluster.words,
        "agents": signatures.most_concerned(agents),
        "examples": signatures.newest([*cluster.task_ids, *before.get("examples", [])]),
        "days": with_part(before.get("days", {}), day, entry),
    }


def _store(tx: Tx, kind: PatternKind, drafts: Mapping[str, Draft], known: Mapping[str, Row]) -> int:
    """Write patterns that have days; counts are of the days that are kept."""
    new, changed = [], []
    for key in sorted(drafts):
        draft, before = drafts[key], known.get(key)
        total = folded(draft["facts"]["days"])
        counts = {
            "facts": draft["facts"],
            "tasks": total["tasks"],
            "failures": total["failures"],
            "days": len(draft["facts"]["days"]),
            "last_seen_us": total["last_us"],
        }
        if before is not None:
            changed.append({"id": before["id"], **counts})
        else:
            blank = {"kind": kind, "key": key, "agent_id": None, "signature": None}
            new.append({**blank, **draft, **counts, "first_seen_us": total["first_us"]})
    patterns.keep(tx, new, changed)
    return len(drafts)


def _finished(tx: Tx, registry: ParameterRegistry) -> dict[str, int]:
    """End a night: find what is stale, rank the candidates, let what is old or too much fade."""
    gone = [
        number
        for kind, limit in LIMITS.items()
        for number in faded(patterns.weights(tx, kind), limit, tx.now_us)
    ]
    faded_count = patterns.forget(tx, gone)
    rows = {name: patterns.of_types(tx, PatternKind.SETTING, [name]) for name in patterns.task_types(tx)}
    tried = _tried(tx)
    ranked = _candidates(tx, registry, rows, tried)
    stale = {**_silent(tx), **_aged(tx, rows)}
    return _counts(
        candidates=_replace(tx, PatternKind.CANDIDATE, ranked),
        stale=_replace(tx, PatternKind.STALE, stale),
        faded=faded_count,
    )


def _tried(tx: Tx) -> dict[str, list[Tried]]:
    """Return what was tried or voted down, by parameter, newest first."""
    found: dict[str, list[Tried]] = defaultdict(list)
    for row in patterns.experiments_tried(tx):
        how = (
            row["verdict"] if row["verdict"] and row["state"] != ExperimentState.ROLLED_BACK else row["state"]
        )
        found[row["parameter"]].append(Tried(row["treatment_value"], str(how), row["ended_at_us"]))
    for row in patterns.voted_down(tx):
        found[row["parameter"]].append(Tried(row["to_value"], str(row["state"]), row["decided_at_us"]))
    return found


def _candidates(
    tx: Tx,
    registry: ParameterRegistry,
    rows: Mapping[str, Sequence[Row]],
    tried: Mapping[str, Sequence[Tried]],
) -> dict[str, Draft]:
    in_force = patterns.values_in_force(tx)
    by_type: dict[str, list[Parameter]] = defaultdict(list)
    for parameter in registry:
        by_type[parameter.task_type].append(parameter)
    found = []
    for task_type, settings in rows.items():
        days = {(row["facts"]["parameter"], row["facts"]["value"]): row["facts"]["days"] for row in settings}
        found += candidates.rank(task_type, by_type[task_type], in_force, days, day_of(tx.now_us))
    found.sort(key=lambda one: (-one.score, one.parameter))
    drafts = {}
    for place, one in enumerate(found[: LIMITS[PatternKind.CANDIDATE]], start=1):
        shown = [
            {"value": item.value, "how": item.how, "at_us": item.at_us}
            for item in tried.get(one.parameter, ())[:TRIED_SHOWN]
        ]
        facts = {
            "rank": place, "parameter": one.parameter, "direction": one.direction, "value": one.value,
            "to": one.to, "score": round(one.score, 4), "basis": one.basis, "evidence": one.evidence,
            "tried": shown, "signatures": _usual(tx, one.task_type),
        }  # fmt: skip
        of = next(row for row in rows[one.task_type] if row["facts"]["parameter"] == one.parameter
                  and row["facts"]["value"] == one.value)  # fmt: skip
        drafts[one.parameter] = _draft(one.task_type, facts, of)
    return drafts


def _usual(tx: Tx, task_type: str) -> list[Draft]:
    """Return the most frequent signatures of a type."""
    rows = patterns.of_types(tx, PatternKind.SIGNATURE, [task_type])
    rows.sort(key=lambda row: (-row["failures"], row["id"]))
    return [
        {
            "end_reason": row["facts"]["end_reason"],
            "words": row["facts"]["words"],
            "failures": row["failures"],
        }
        for row in rows[:SIGNATURES_SHOWN]
    ]


def _silent(tx: Tx) -> dict[str, Draft]:
    """Return the types, and the agents at a type, without evidence for a week: their baseline is empty."""
    by_type: dict[str, list[Row]] = defaultdict(list)
    found = {}
    for row in patterns.last_evidence(tx):
        by_type[row["task_type"]].append(row)
        if tx.now_us - row["last_seen_us"] > WEEK_US:
            facts = {"what": "series", "dimension": "agent", "why": "silent"}
            draft = _draft(row["task_type"], facts, row)
            found[key_of("agent", row["task_type"], row["agent_id"])] = {**draft, "agent_id": row["agent_id"]}
    for task_type, rows in by_type.items():
        newest = max(rows, key=lambda row: row["last_seen_us"])
        if tx.now_us - newest["last_seen_us"] > WEEK_US:
            facts = {"what": "series", "dimension": "task_type", "why": "silent"}
            found[key_of("task_type", task_type)] = _draft(task_type, facts, newest)
    return found


def _aged(tx: Tx, rows: Mapping[str, Sequence[Row]]) -> dict[str, Draft]:
    """Return promoted values in force whose evidence is old, or under which the work has changed since."""
    in_force = patterns.values_in_force(tx)
    settings = {
        (row["facts"]["parameter"], row["facts"]["value"]): row
        for of_type in rows.values()
        for row in of_type
    }
    found = {}
    for one in patterns.experiments_tried(tx):
        name, value = one["parameter"], one["treatment_value"]
        of = settings.get((name, value))
        if one["state"] not in patterns.IN_FORCE or in_force.get(name) != value or of is None:
            continue
        if name in found:
            continue
        why = _why_stale(of["facts"]["days"], one, tx.now_us)
        if why is not None:
            facts = {
                "what": "promoted", "why": why, "parameter": name, "value": value,
                "experiment_id": one["id"], "evidence_at_us": one["ended_at_us"] or one["started_at_us"],
            }  # fmt: skip
            found[name] = _draft(of["task_type"], facts, of)
    return found


def _why_stale(days: Mapping[str, Entry], one: Row, now_us: int) -> str | None:
    shown_us = one["ended_at_us"] or one["started_at_us"]
    if now_us - shown_us > LONG_AGO_DAYS * DAY_US:
        return "old"
    first, last = day_of(one["started_at_us"]), day_of(shown_us)
    recent = max(last + 1, day_of(now_us) - 6)
    then = folded({day: entry for day, entry in days.items() if first <= int(day) <= last})
    now = folded({day: entry for day, entry in days.items() if int(day) >= recent})
    return candidates.moved(then, now)


def _draft(task_type: str, facts: Draft, counted: Row) -> Draft:
    names = ("tasks", "failures", "first_seen_us", "last_seen_us")
    return {"task_type": task_type, "facts": facts, **{name: int(counted[name]) for name in names}}


def _replace(tx: Tx, kind: PatternKind, drafts: Mapping[str, Draft]) -> int:
    """Make these the patterns of a kind: what is no longer so goes, what still is keeps its id."""
    known = patterns.of_kind(tx, kind)
    keys = sorted(drafts, key=lambda key: (-drafts[key]["tasks"], key))[: LIMITS[kind]]
    blank = {"kind": kind, "agent_id": None, "signature": None, "days": 0}
    new = [{**blank, "key": key, **drafts[key]} for key in keys if key not in known]
    names = ("facts", "tasks", "failures", "last_seen_us")
    changed = [
        {"id": known[key]["id"], **{name: drafts[key][name] for name in names}}
        for key in keys
        if key in known
    ]
    patterns.forget(tx, [row["id"] for key, row in known.items() if key not in drafts])
    patterns.keep(tx, new, changed)
    return len(keys)
