"""Snapshots: what happened since the last window, counted once into the windows of every series.

Stands at the start of the loop. Every note in the queue is taken out in the transaction that counts it, so
cost grows with what is new and never with history. What was committed too late for its window corrects that
window, by an entry. The platform's rows are written even when nothing happened. It never judges a metric.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from services.domain.clock import MINUTE_US, seconds
from services.domain.events import Event, EventType
from services.domain.measures import ALL, BY_NAME, Dimension, Grain, MetricKind
from services.domain.tallies import (
    Ended,
    Series,
    Tallies,
    Tally,
    tally_ended,
    tally_posted,
    tally_ticks,
    tally_values,
    with_whole,
)
from services.event_bus import publish
from services.operations import health, production_config, review_queue
from services.operations.measuring import Noted
from services.store import deliveries, observations, series, sql, tables, turns
from services.store.sql import Row
from services.store.tx import Tx

METRIC: Final = "task_success"
"""The metric whose windows stand for all."""
ACTIVE_WITHIN_US: Final = 15 * MINUTE_US
GAP_WINDOWS: Final = 2
"""A window this many times as long as it should be is a gap."""
MISSED: Final = "snapshot_missed"
TURN: Final = "snapshot"
NOBODY_COUNTED: Final = ("", 0)
"""Where notes belong that were made before the first window."""

Note = tuple[Any, ...]


def take_snapshot(tx: Tx) -> dict[str, int]:
    """Close a window: write what is new of every series, correct earlier windows, say SnapshotTaken.

    Returns how many rows were written, users' tasks counted, corrections made, and notes dropped because
    nobody counted yet when they were made. Who closes one at the same time waits for the first to end and
    goes on behind its window: windows never overlap.
    """
    turns.take(tx, TURN)
    start_us = _start(tx)
    if start_us is None or start_us >= tx.now_us:
        return {"rows": 0, "tasks": 0, "corrections": 0, "dropped": 0}
    fresh: Tallies = {}
    tasks = corrections = dropped = 0
    while notes := series.drain(tx, tx.now_us):
        by_window = _by_window(notes, start_us, tx)
        dropped += len(by_window.pop(NOBODY_COUNTED, ()))
        for name, tally in tally_notes(by_window.pop((Grain.WINDOW, tx.now_us), ())).items():
            fresh.setdefault(name, Tally()).merge(tally)
        corrections += sum(_correct(tx, *window, late) for window, late in sorted(by_window.items()))
        tasks += sum(note[0] == Noted.ENDED for note in notes)
        if len(notes) < series.DRAINED_AT_ONCE:
            break
    rows = [
        series.row_of(name, Grain.WINDOW, start_us, tx.now_us, tally, _windows(name, 1))
        for name, tally in sorted(_with_gauges(tx, with_whole(fresh)).items())
    ]
    sql.insert_many(tx, tables.snapshot, rows)
    _tell_of_gap(tx, start_us)
    facts = {"metric": METRIC, "window_end_us": tx.now_us}
    publish(tx, Event(EventType.SNAPSHOT_TAKEN, f"metric:{METRIC}", facts))
    return {"rows": len(rows), "tasks": tasks, "corrections": corrections, "dropped": dropped}


def _start(tx: Tx) -> int | None:
    """Return where the new window begins; the first one begins just before the first task was posted."""
    last_us = observations.last_window_end(tx, METRIC)
    if last_us is not None:
        return last_us
    first_us = observations.first_posted(tx)
    return None if first_us is None else first_us - 1


def _by_window(notes: Sequence[Note], start_us: int, tx: Tx) -> dict[tuple[str, int], list[Note]]:
    """Return notes by (grain, end) of the window that they belong to."""
    found: dict[tuple[str, int], list[Note]] = defaultdict(list)
    late = [note for note in notes if note[1] <= start_us]
    if len(late) < len(notes):
        found[Grain.WINDOW, tx.now_us] = [note for note in notes if note[1] > start_us]
    if late:
        windows = series.windows_since(tx, min(note[1] for note in late))
        for note in late:
            found[window_of(windows, note[1])].append(note)
    return found


def window_of(windows: Sequence[Row], at_us: int) -> tuple[str, int]:
    """Return (grain, end) of the window that holds an instant, of windows in order."""
    place = bisect_left(windows, at_us, key=lambda row: row["window_end_us"])
    if place == len(windows) or windows[place]["window_start_us"] >= at_us:
        return NOBODY_COUNTED
    return windows[place]["grain"], windows[place]["window_end_us"]


def tally_notes(notes: Iterable[Note]) -> Tallies:
    """Count notes of every kind into the series that they belong to."""
    by_kind: dict[str, list[Note]] = defaultdict(list)
    for note in notes:
        by_kind[note[0]].append(note)
    found = tally_ended(
        Ended(note[2], note[3], note[4], bool(note[5]), bool(note[6]), *note[7:])
        for note in by_kind[Noted.ENDED]
    )
    found |= tally_posted(Counter(note[2] for note in by_kind[Noted.POSTED]))
    found |= tally_ticks(Counter((note[2], bool(note[5])) for note in by_kind[Noted.TICK]))
    for metric, kind in STEPS.items():
        found |= tally_values(metric, [note[7] for note in by_kind[kind]])
    return found


STEPS: Final[Mapping[str, Noted]] = {
    "time_to_detect": Noted.DETECTED,
    "time_to_propose": Noted.PROPOSED,
    "time_to_promote": Noted.PROMOTED,
    "time_to_recover": Noted.RECOVERED,
}


def _windows(name: Series, windows: int) -> int:
    """Return the denominator that so many windows give a count; 0 for what counts its own."""
    return windows if BY_NAME[name.metric].kind is MetricKind.COUNT else 0


def _with_gauges(tx: Tx, tallies: Tallies) -> Tallies:
    oldest_us = deliveries.oldest_published_us(tx)
    gauges = {
        "open_tasks": series.open_tasks(tx),
        "active_agents": series.active_agents(tx, tx.now_us - ACTIVE_WITHIN_US),
        "pending_deliveries": series.pending_deliveries(tx),
        "bus_lag": 0 if oldest_us is None else max(0, tx.now_us - oldest_us),
        "health_score": health.score_now(tx).points,
    }
    whole = {Series(metric, Dimension.PLATFORM, ALL): Tally(value, 1) for metric, value in gauges.items()}
    return {**tallies, **whole}


def _correct(tx: Tx, grain: str, end_us: int, notes: Sequence[Note]) -> int:
    """Add late notes to the window that they belong to, with an entry for each series; return how many."""
    known = series.rows_of_window(tx, grain, end_us)
    whole = next(iter(known.values()))
    tallies = tally_notes(notes)
    changed, added = [], []
    for name, tally in sorted(tallies.items()):
        before = known.get(name)
        if before is None:
            row = series.row_of(name, grain, whole["window_start_us"], end_us, tally, _windows(name, 1))
            added.append({**row, "corrections": 1})
            continue
        total = series.tally_of(before)
        total.merge(tally)
        row = series.row_of(name, grain, before["window_start_us"], end_us, total, 0)
        changed.append(
            {
                "id": before["id"],
                **{part: row[part] for part in CORRECTED},
                "corrections": before["corrections"] + 1,
            }
        )
    sql.insert_many(tx, tables.snapshot, added)
    sql.update_many(tx, tables.snapshot, ("id",), changed)
    entries = [
        {
            "metric": name.metric,
            "dimension": name.dimension,
            "key": name.key,
            "window_end_us": end_us,
            "numerator": tally.numerator,
            "denominator": tally.denominator if name in known else tally.denominator or _windows(name, 1),
            "corrected_at_us": tx.now_us,
        }
        for name, tally in sorted(tallies.items())
    ]
    sql.insert_many(tx, tables.snapshot_correction, entries)
    return len(entries)


CORRECTED: Final = ("numerator", "denominator", "squares", "lowest", "highest", "histogram")


def is_gap(row: Row, window_us: int) -> bool:
    """Tell whether a window is so long that for a time nobody counted."""
    return bool(row["window_end_us"] - row["window_start_us"] > GAP_WINDOWS * window_us)


def window_us(tx: Tx) -> int:
    """Return how long a window should be."""
    return seconds(production_config.number(tx, "observatory.window_seconds"))


def _tell_of_gap(tx: Tx, start_us: int) -> None:
    row = {"window_start_us": start_us, "window_end_us": tx.now_us}
    if not is_gap(row, window_us(tx)):
        return
    facts = {**row, "expected_us": window_us(tx)}
    review_queue.open_item(tx, kind=MISSED, subject=f"metric:{METRIC}", context=facts)
    publish(tx, Event(EventType.SNAPSHOT_MISSED, f"metric:{METRIC}", facts))
