"""Checks that failed: an episode for a component that no longer gives the expected answers.

Stands beside the episodes of metrics: it posts the same kind of meta-task, but only the check itself closes
it. It never runs a check.
"""

from collections.abc import Mapping
from typing import Final

from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.states import EpisodeState
from services.event_bus import publish
from services.observatory.episodes import close_lap
from services.operations import audit_log, measuring
from services.operations.measuring import Noted
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

CORRECTNESS: Final = "correctness"
COMPONENT: Final = "component"
RULE: Final = "known_answers"
KEY_LONGEST: Final = 80


def report_failing(tx: Tx, component: str, detail: Mapping[str, object]) -> int | None:
    """Open an episode for a component, with its lap and an ANOMALY entry; None when one is open already."""
    key = component[:KEY_LONGEST]
    named = {"metric": CORRECTNESS, "dimension": COMPONENT, "key": key}
    if _open_episode(tx, key) is not None:
        return None
    lap_id = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
    tx = tx.in_lap(lap_id)
    evidence = {**detail, "window_start_us": tx.now_us, "window_end_us": tx.now_us, "low_confidence": False}
    episode_id = sql.insert(
        tx,
        tables.episode,
        **named,
        state=EpisodeState.OPEN,
        kind="check",
        rule=RULE,
        numerator=0,
        denominator=1,
        evidence=evidence,
        lap_id=lap_id,
        began_at_us=tx.now_us,
        opened_at_us=tx.now_us,
    )
    facts = {"episode_id": episode_id, **named}
    audit_log.append(tx, EntryType.ANOMALY, {**facts, "numerator": 0, "denominator": 1, "rule": RULE})
    publish(tx, Event(EventType.ANOMALY_DETECTED, f"episode:{episode_id}", facts))
    return episode_id


def report_healthy(tx: Tx, component: str) -> bool:
    """Close the open episode of a component, if it has one; tell whether it had."""
    episode = _open_episode(tx, component[:KEY_LONGEST])
    if episode is None:
        return False
    where = {"id": episode["id"], "state": EpisodeState.OPEN}
    sql.update(tx, tables.episode, where, state=EpisodeState.CLOSED, closed_at_us=tx.now_us)
    tx = tx.in_lap(episode["lap_id"])
    measuring.note_lap(tx, Noted.RECOVERED, tx.now_us - episode["opened_at_us"])
    counts = {"numerator": 1, "denominator": 1}
    audit_log.append(tx, EntryType.RECOVERED, {"episode_id": episode["id"], **counts})
    facts = {"episode_id": episode["id"], "meta_task_id": episode["meta_task_id"], **counts}
    publish(tx, Event(EventType.ANOMALY_RECOVERED, f"episode:{episode['id']}", facts))
    if episode["meta_task_id"] is None:
        close_lap(tx, episode["lap_id"], "recovered")
    return True


def _open_episode(tx: Tx, key: str) -> Row | None:
    return sql.find(
        tx, tables.episode, metric=CORRECTNESS, dimension=COMPONENT, key=key, state=EpisodeState.OPEN
    )
