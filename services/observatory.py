"""Layer 1, the observatory: snapshots, baselines, anomalies, recovery.

Stands at the start of the loop and at its end: it turns ended tasks into counts per window, counts into
episodes, and sees the metric come back. Numerator and denominator are stored, never only a ratio; a window
without tasks is no evidence, never 0 %. Meta-tasks do not count. It never proposes a cause of its own.
"""

from services.domain.anomaly import Detection, Rule, Sample, detect_proportion, is_recovered
from services.domain.attribution import Cell, rank_cells
from services.domain.clock import DAY_US, SECOND_US, seconds, to_rfc3339
from services.domain.errors import NotFoundError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.states import (
    BETTING_EXPERIMENTS,
    LIVE_PROPOSALS,
    EpisodeState,
    ExperimentKind,
    ProposalState,
)
from services.event_bus import publish
from services.operations import audit_log, production_config
from services.store import observations, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

METRIC = "task_success"
PLATFORM = observations.PLATFORM
TASK_TYPE = "task_type"
AGENT = "agent"
WATCHED = (TASK_TYPE, PLATFORM)
BASELINE_US = 7 * DAY_US
EVIDENCE_TASKS = 200
RECOVERY_WINDOWS = 24
"""Newest windows that a recovery is judged by: a long bad time must not hide a good day."""
HEALTHY_FAILURE_RATE = 0.05
NOT_RECOVERED = "not_recovered"
"""How a lap ends whose promoted change did not bring the metric back."""
COMMIT_LAG_US = SECOND_US
"""Where writers commit side by side, a window ends this far back, so that late commits still fall into it."""
BAND = 0.05
"""How far under its baseline a rate may be and count as back, in success rate."""


def take_snapshot(tx: Tx) -> dict[str, int]:
    """Count the user tasks that ended since the last window, per platform, type and agent; say SnapshotTaken.

    Cost grows with the new rows only. The platform's row is written even when nothing ended.
    """
    start_us = observations.last_window_end(tx, METRIC)
    if start_us is None:
        start_us = observations.first_posted(tx)
    end_us = tx.now_us - (COMMIT_LAG_US if tx.is_postgresql else 0)
    if start_us is None or start_us >= end_us:
        return {"rows": 0, "tasks": 0}
    counted = _counts(observations.ended_between(tx, start_us, end_us))
    sql.insert_many(
        tx,
        tables.snapshot,
        [
            {
                "metric": METRIC,
                "dimension": dimension,
                "key": key,
                "window_start_us": start_us,
                "window_end_us": end_us,
                "numerator": sample.numerator,
                "denominator": sample.denominator,
            }
            for (dimension, key), sample in counted.items()
        ],
    )
    facts = {"metric": METRIC, "window_end_us": end_us}
    publish(tx, Event(EventType.SNAPSHOT_TAKEN, f"metric:{METRIC}", facts))
    return {"rows": len(counted), "tasks": counted[PLATFORM, "all"].denominator}


def _counts(rows: list[Row]) -> dict[tuple[str, str], Sample]:
    """Sum (type, agent) rows into one sample per platform, type and agent."""
    sums: dict[tuple[str, str], Sample] = {(PLATFORM, "all"): Sample(0, 0)}
    for row in rows:
        names = [(PLATFORM, "all"), (TASK_TYPE, row["type"])]
        if row["awarded_agent_id"] is not None:
            names.append((AGENT, str(row["awarded_agent_id"])))
        for name in names:
            before = sums.get(name, Sample(0, 0))
            sums[name] = Sample(
                before.numerator + int(row["numerator"]), before.denominator + row["denominator"]
            )
    return sums


def observe(tx: Tx) -> list[int]:
    """Look at every watched series once: close episodes that came back, open them for what fell.

    One drop, one episode: while a task type's episode is open the platform's own series, which contains it,
    opens none, and the other way round. Returns the ids of the episodes that opened.
    """
    since_us = tx.now_us - BASELINE_US
    names = observations.series_names(tx, METRIC, since_us)
    current = sql.find_all(tx, tables.episode, metric=METRIC, state=EpisodeState.OPEN)
    for episode in current:
        _follow(tx, episode)
    covered = {row["dimension"] for row in current}
    opened: list[int] = []
    for dimension in WATCHED:
        if covered - {dimension}:
            continue
        taken = {row["key"] for row in current if row["dimension"] == dimension}
        for key in [key for name, key in names if name == dimension and key not in taken]:
            found = _detect(tx, dimension, key, since_us, len(names))
            if found is not None:
                opened.append(_open(tx, dimension, key, *found))
                covered.add(dimension)
    return opened


def gather_evidence(tx: Tx, episode_id: int) -> dict[str, object]:
    """Return what an investigator needs: figures, window, worst cells, failing tasks, changes."""
    row = get_episode(tx, episode_id)
    evidence = row["evidence"]
    task_type = row["key"] if row["dimension"] == TASK_TYPE else None
    start_us, end_us = evidence["window_start_us"], evidence["window_end_us"]
    betting = list(BETTING_EXPERIMENTS)
    running = sql.find_all(tx, tables.experiment, kind=ExperimentKind.CHANGE, state=betting)
    return {
        "episode_id": episode_id,
        "metric": row["metric"],
        "dimension": row["dimension"],
        "key": row["key"],
        "numerator": row["numerator"],
        "denominator": row["denominator"],
        "baseline_rate": row["baseline_rate"],
        "rule": row["rule"],
        "opened_at": to_rfc3339(row["opened_at_us"]),
        "window_start": to_rfc3339(start_us),
        "window_end": to_rfc3339(end_us),
        "cells": _worst_cells(tx, start_us, end_us, row["baseline_rate"]),
        "failing_task_ids": observations.failing_ids(tx, task_type, start_us, end_us, EVIDENCE_TASKS),
        "recent_changes": [
            {
                "parameter": change["name"],
                "to": change["value"],
                "changed_at": to_rfc3339(change["changed_at_us"]),
            }
            for change in observations.changes_since(tx, tx.now_us - BASELINE_US, 20)
        ],
        "running_experiments": [
            {"experiment_id": item["id"], "parameter": item["parameter"]} for item in running
        ],
    }


def attach_investigation(tx: Tx, episode_id: int, task_id: int) -> None:
    """Note which meta-task investigates an episode (one each)."""
    sql.update(tx, tables.episode, {"id": episode_id, "meta_task_id": None}, meta_task_id=task_id)


def get_episode(tx: Tx, episode_id: int) -> Row:
    """Return the episode's row; raise NotFoundError when there is none."""
    row = sql.find(tx, tables.episode, id=episode_id)
    if row is None:
        msg = f"there is no episode {episode_id}"
        raise NotFoundError(msg, field="episode_id")
    return row


def give_up(tx: Tx, lap_id: int, outcome: str) -> None:
    """End a lap that did not cure its metric: its open episode is given up, a new one may open later."""
    where = {"lap_id": lap_id, "state": EpisodeState.OPEN}
    sql.update(tx, tables.episode, where, state=EpisodeState.GIVEN_UP, closed_at_us=tx.now_us)
    close_lap(tx, lap_id, outcome)


def close_lap(tx: Tx, lap_id: int, outcome: str) -> None:
    """Close a lap once, with how it ended."""
    where = {"id": lap_id, "closed_at_us": None}
    sql.update(tx, tables.lap, where, closed_at_us=tx.now_us, outcome=outcome[:32])


def _detect(
    tx: Tx, dimension: str, key: str, since_us: int, metrics: int
) -> tuple[Detection, int, int] | None:
    """Return the fall in one series with its window, leaving out what earlier episodes covered.

    A series that had no task in the newest window is idle: old windows are no news. One whose episode was
    given up cools down first.
    """
    if _is_cooling_down(tx, dimension, key):
        return None
    history = _clean_series(tx, dimension, key, since_us)
    if not history or history[-1]["window_end_us"] != observations.last_window_end(tx, METRIC):
        return None
    found = detect_proportion(
        [Sample(row["numerator"], row["denominator"]) for row in history],
        line=production_config.number(tx, "observatory.success_line_percent") / 100,
        line_minimum=int(production_config.number(tx, "observatory.line_minimum_tasks")),
        budget_per_week=production_config.number(tx, "observatory.weekly_false_alarms"),
        metrics=metrics,
    )
    if found is None:
        return None
    window = history[-found.window :]
    return found, window[0]["window_start_us"], window[-1]["window_end_us"]


def _is_cooling_down(tx: Tx, dimension: str, key: str) -> bool:
    since_us = tx.now_us - seconds(production_config.number(tx, "observatory.cool_down_seconds"))
    ended = observations.closed_episodes(tx, METRIC, dimension, key, since_us)
    return any(row["state"] == EpisodeState.GIVEN_UP for row in ended)


def _clean_series(tx: Tx, dimension: str, key: str, since_us: int) -> list[Row]:
    spans = [
        (row["evidence"]["window_start_us"], row["closed_at_us"])
        for row in observations.closed_episodes(tx, METRIC, dimension, key, since_us)
    ]
    return [
        row
        for row in observations.series(tx, METRIC, dimension, key, since_us)
        if not any(start < row["window_end_us"] <= end for start, end in spans)
    ]


def _open(tx: Tx, dimension: str, key: str, found: Detection, start_us: int, end_us: int) -> int:
    """Open an episode and its lap, write the ANOMALY entry, say AnomalyDetected."""
    lap_id = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
    tx = tx.in_lap(lap_id)
    episode_id = sql.insert(
        tx,
        tables.episode,
        metric=METRIC,
        dimension=dimension,
        key=key,
        state=EpisodeState.OPEN,
        rule=str(found.rule),
        numerator=found.numerator,
        denominator=found.denominator,
        baseline_rate=found.baseline_rate if found.rule is Rule.BASELINE else None,
        p_value=found.p_value,
        evidence={
            "window_start_us": start_us,
            "window_end_us": end_us,
            "low_confidence": found.is_low_confidence,
        },
        lap_id=lap_id,
        opened_at_us=tx.now_us,
    )
    facts = {"episode_id": episode_id, "metric": METRIC, "dimension": dimension, "key": key}
    counts = {"numerator": found.numerator, "denominator": found.denominator}
    audit_log.append(tx, EntryType.ANOMALY, {**facts, **counts, "rule": str(found.rule)})
    publish(tx, Event(EventType.ANOMALY_DETECTED, f"episode:{episode_id}", facts))
    return episode_id


def _follow(tx: Tx, episode: Row) -> None:
    """Close an open episode when the metric is back, on tasks that ended after the lap's decision.

    While a proposal of the lap is undecided nothing is judged: its experiment itself moves the metric. A
    promoted change that does not bring the metric back in time is given up, and EpisodeGivenUp is said.
    """
    live = sql.find(tx, tables.proposal, lap_id=episode["lap_id"], state=LIVE_PROPOSALS)
    if live is not None:
        return
    decided = sql.find_all(tx, tables.proposal, lap_id=episode["lap_id"])
    after_us = max([episode["opened_at_us"], *(row["ended_at_us"] or 0 for row in decided)])
    recent = [
        row
        for row in observations.series(tx, METRIC, episode["dimension"], episode["key"], after_us)
        if row["window_start_us"] >= after_us
    ]
    line = production_config.number(tx, "observatory.success_line_percent") / 100
    minimum = int(production_config.number(tx, "observatory.line_minimum_tasks"))
    required = max(line, (episode["baseline_rate"] or 0.0) - BAND)
    samples = [Sample(row["numerator"], row["denominator"]) for row in recent[-RECOVERY_WINDOWS:]]
    if not is_recovered(samples, line=line, minimum=minimum, required_rate=required):
        _give_up_in_time(tx, episode, decided)
        return
    where = {"id": episode["id"], "state": EpisodeState.OPEN}
    sql.update(tx, tables.episode, where, state=EpisodeState.CLOSED, closed_at_us=tx.now_us)
    tx = tx.in_lap(episode["lap_id"])
    counts = {
        "numerator": sum(sample.numerator for sample in samples),
        "denominator": sum(sample.denominator for sample in samples),
    }
    audit_log.append(tx, EntryType.RECOVERED, {"episode_id": episode["id"], **counts})
    facts = {"episode_id": episode["id"], "meta_task_id": episode["meta_task_id"], **counts}
    publish(tx, Event(EventType.ANOMALY_RECOVERED, f"episode:{episode['id']}", facts))


def _give_up_in_time(tx: Tx, episode: Row, decided: list[Row]) -> None:
    promoted = [row["ended_at_us"] for row in decided if row["state"] == ProposalState.PROMOTED]
    patience_us = seconds(production_config.number(tx, "observatory.recovery_seconds"))
    if not promoted or tx.now_us < max(promoted) + patience_us:
        return
    give_up(tx, episode["lap_id"], NOT_RECOVERED)
    facts = {"episode_id": episode["id"], "meta_task_id": episode["meta_task_id"]}
    aggregate = f"episode:{episode['id']}"
    publish(tx.in_lap(episode["lap_id"]), Event(EventType.EPISODE_GIVEN_UP, aggregate, facts))


def _worst_cells(tx: Tx, start_us: int, end_us: int, baseline_rate: float | None) -> list[dict[str, object]]:
    cells = [
        Cell(
            {"task_type": row["type"], "agent": str(row["awarded_agent_id"])},
            row["denominator"],
            row["denominator"] - int(row["numerator"]),
        )
        for row in observations.ended_between(tx, start_us, end_us)
    ]
    expected = HEALTHY_FAILURE_RATE if baseline_rate is None else 1 - baseline_rate
    return [
        {
            "dimensions": dict(suspect.dimensions),
            "attempts": suspect.attempts,
            "failures": suspect.failures,
            "score": round(suspect.score, 4),
        }
        for suspect in rank_cells(cells, expected)
    ]
