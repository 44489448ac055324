"""Read model of patterns: what the nights have learned, as the API shows it.

Stands in the store beside the consolidation's own queries. Days are shown folded (durations as a histogram in
seconds) and, where order matters, one by one. Words of signatures come from agents: they are data, and
whoever shows them escapes them. It never changes a pattern.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from services.domain.clock import DAY_US
from services.domain.patterns import OTHERS, Entry, PatternKind, folded, seconds_of_bucket
from services.domain.states import EndReason
from services.store.sql import Row, find
from services.store.tables import pattern
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page, seconds_of


def list_patterns(
    tx: Tx,
    *,
    task_type: str | None = None,
    kind: PatternKind | None = None,
    agent_id: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of patterns, the newest first, of a type, a kind or an agent where asked."""
    statement = select(pattern)
    for name, asked in (("task_type", task_type), ("kind", kind), ("agent_id", agent_id)):
        if asked is not None:
            statement = statement.where(pattern.c[name] == asked)
    found, following = fetch_page(
        tx, statement, pattern.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_pattern(row) for row in found], "next_cursor": following}


def get_pattern(tx: Tx, pattern_id: int) -> JsonObject | None:
    """Return one pattern, or None when there is none."""
    row = find(tx, pattern, id=pattern_id)
    return None if row is None else _pattern(row)


def _pattern(row: Row) -> JsonObject:
    kind = PatternKind(row["kind"])
    return {
        "pattern_id": row["id"],
        "kind": kind,
        "task_type": row["task_type"],
        "agent_id": row["agent_id"],
        "summary": _summary(kind, row),
        "tasks": row["tasks"],
        "failures": row["failures"],
        "days": row["days"],
        "first_seen_at": at(row["first_seen_us"]),
        "last_seen_at": at(row["last_seen_us"]),
        "facts": SHOWN[kind](row["facts"]),
    }


def _summary(kind: PatternKind, row: Row) -> str:
    """Return a pattern in a few words."""
    facts = row["facts"]
    if kind is PatternKind.AGENT:
        return f"agent {row['agent_id']}: {row['tasks'] - row['failures']} of {row['tasks']} succeeded"
    if kind is PatternKind.SETTING:
        good = row["tasks"] - row["failures"]
        return f"{facts['parameter']} = {facts['value']}: {good} of {row['tasks']} succeeded"
    if kind is PatternKind.SIGNATURE:
        return f"{facts['end_reason']}: {facts['words'] or '(no words)'}"
    if kind is PatternKind.STALE:
        subject = facts.get("parameter") or facts.get("dimension")
        return f"{facts['what']} {subject}: {facts['why']}"
    to = f" to {facts['to']}" if facts["to"] else ""
    return f"{facts['rank']}. {facts['parameter']} {facts['direction']}{to} ({facts['basis']})"


def _shown_agent(facts: Mapping[str, Any]) -> JsonObject:
    total = folded(facts["days"])
    values: dict[tuple[str, str, str, str], list[int]] = {}
    for mark, pair in total.get("values", {}).items():
        for name, (value, version, source) in facts["sets"].get(mark, {}).items():
            before = values.get((name, value, version, source), [0, 0])
            values[name, value, version, source] = [before[0] + pair[0], before[1] + pair[1]]
    others = total.get("values", {}).get(OTHERS, [0, 0])
    return {
        **_counts(total),
        "values": [
            {
                "parameter": name, "value": value, "version": int(version), "source": source,
                "successes": successes, "failures": failures,
            }
            for (name, value, version, source), (successes, failures) in sorted(values.items())
        ],
        "under_other_values": {"successes": others[0], "failures": others[1]},
        "by_day": _by_day(facts["days"]),
    }  # fmt: skip


def _shown_setting(facts: Mapping[str, Any]) -> JsonObject:
    total = folded(facts["days"])
    names = ("parameter", "value", "version", "source")
    return {
        **{name: facts[name] for name in names},
        "version": int(facts["version"]),
        **_counts(total),
        "durations": _durations(total),
        "by_day": _by_day(facts["days"]),
    }


def _shown_signature(facts: Mapping[str, Any]) -> JsonObject:
    return {
        "end_reason": facts["end_reason"],
        "words": facts["words"],
        "agents": [
            {"agent_id": int(agent), "failures": failures} for agent, failures in facts["agents"].items()
        ],
        "example_task_ids": facts["examples"],
        "by_day": _by_day(facts["days"]),
    }


def _shown_stale(facts: Mapping[str, Any]) -> JsonObject:
    shown = {name: item for name, item in facts.items() if name != "evidence_at_us"}
    return {**shown, "evidence_at": at(facts["evidence_at_us"])} if "evidence_at_us" in facts else shown


def _shown_candidate(facts: Mapping[str, Any]) -> JsonObject:
    tried = [{"value": one["value"], "how": one["how"], "at": at(one["at_us"])} for one in facts["tried"]]
    return {**facts, "tried": tried}


SHOWN = {
    PatternKind.AGENT: _shown_agent,
    PatternKind.SETTING: _shown_setting,
    PatternKind.SIGNATURE: _shown_signature,
    PatternKind.STALE: _shown_stale,
    PatternKind.CANDIDATE: _shown_candidate,
}


def _counts(total: Entry) -> JsonObject:
    mean_us = total["duration_us"] / total["ended"] if total["ended"] else None
    return {
        "successes": total["tasks"] - total["failures"],
        "failures": total["failures"],
        "reasons": total["reasons"],
        "timed_out": total["reasons"].get(EndReason.TIMED_OUT, 0),
        "mean_duration_seconds": seconds_of(None if mean_us is None else round(mean_us)),
    }


def _durations(total: Entry) -> list[JsonObject]:
    """Return how long tasks took that ended by themselves, verified or not: middle of a bucket, count."""
    return [
        {"seconds": float(f"{seconds_of_bucket(int(bucket)):.4g}"), "tasks": count}
        for bucket, count in sorted(total["histogram"].items(), key=lambda item: int(item[0]))
    ]


def _by_day(days: Mapping[str, Entry]) -> list[JsonObject]:
    return [
        {
            "day": str(at(int(day) * DAY_US))[:10],
            "tasks": days[day]["tasks"],
            "failures": days[day]["failures"],
            "timed_out": days[day].get("reasons", {}).get(EndReason.TIMED_OUT, 0),
        }
        for day in sorted(days, key=int)
    ]
