"""Checks that fail: an episode for a component that no longer gives the expected answers.

Stands beside the episodes of metrics and posts the same kind of meta-task. It looks at what the checks say
now, whatever event told it to; a component whose episode ended cools down like a metric. It never runs a
check.
"""

from typing import Final

from services.domain.checks import Check, Status
from services.domain.clock import seconds
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.states import EpisodeState
from services.event_bus import publish
from services.observatory.laps import close_lap
from services.operations import audit_log, health, measuring, production_config
from services.operations.measuring import Noted
from services.store import observations, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

CORRECTNESS: Final = "correctness"
COMPONENT: Final = "component"
RULE: Final = "known_answers"
KEY_LONGEST: Final = 80


def look_again(tx: Tx) -> list[int]:
    """Open an episode for every component that fails and has none, once it has cooled down."""
    failing = [check for check in health.correctness(tx) if check.status is Status.FAIL]
    components = dict.fromkeys(check.component for check in failing)
    opened = [report_failing(tx, component) for component in components]
    return [episode_id for episode_id in opened if episode_id is not None]


def report_failing(tx: Tx, component: str) -> int | None:
    """Open an episode for a component that fails now, with its lap and an ANOMALY entry.

    None when it does not fail, has an open episode, or one that ended within the cool-down.
    """
    failing = _failing(tx, component)
    key = component[:KEY_LONGEST]
    named = {"metric": CORRECTNESS, "dimension": COMPONENT, "key": key}
    since_us = tx.now_us - seconds(production_config.number(tx, "observatory.cool_down_seconds"))
    if not failing or _open_episode(tx, key) or observations.closed_episodes(tx, **named, since_us=since_us):
        return None
    detail = {"measurement": failing[0].measurement, "output": failing[0].output}
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
    """Close the open episode of a component that fails no more; tell whether there was one."""
    episode = _open_episode(tx, component[:KEY_LONGEST])
    if episode is None or _failing(tx, component):
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


def _failing(tx: Tx, component: str) -> list[Check]:
    return [
        check
        for check in health.correctness(tx)
        if check.component == component and check.status is Status.FAIL
    ]


def _open_episode(tx: Tx, key: str) -> Row | None:
    return sql.find(
        tx, tables.episode, metric=CORRECTNESS, dimension=COMPONENT, key=key, state=EpisodeState.OPEN
    )
