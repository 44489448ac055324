"""The metric watchdog: recounts every published metric from primary rows, in production and in every proof.

Stands beside the layers, run by the cron registry and by `nacre market check`. It knows rows and pure rules
only, nothing of the observatory: what is checked must not check itself. Each run it also plants a drift of
one in a published figure, in a savepoint, and must find it. A breach goes to the review queue, once, and to
the checks of health, where promotions wait for it; it never mends a figure.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from services.domain.checks import Layer, Status
from services.domain.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from services.domain.market_invariants import Breach
from services.domain.measures import ALL
from services.domain.metric_identities import (
    Bounds,
    check_adjoining,
    check_corrections,
    check_day,
    check_flow,
    check_gauges,
    check_parts,
    check_possible,
)
from services.domain.metric_recount import GAUGES, Identity, Primary, Window, compare, recount
from services.operations import breaches, health, metric_plants, metric_totals
from services.store import invariants, recounts
from services.store.sql import Row
from services.store.tx import Tx

METRIC_WATCH: Final = "metric_watchdog"
COMPONENT: Final = "metrics"

SETTLING_US: Final = MINUTE_US
"""A window is recounted when it ended so long ago."""
NEW_WINDOWS: Final = 24
PATROLLED: Final = 2
"""Older windows that each run looks at again, so that in time all of them come round."""
CORRECTIONS_READ: Final = 2_000
RECHECKED: Final = 24
"""Windows with a difference, or corrected since, that a run looks at again."""
ROWS_AT_ONCE: Final = 50_000
"""A run that has read so many tasks leaves the rest to the next one."""
DAY_TASKS: Final = 50_000
"""Days with more tasks are only held against their neighbours: they were recounted window by window."""
CLOCKS_SEEN: Final = 2_000
LATE_WITHIN_US: Final = DAY_US
COMMIT_US: Final = 30 * SECOND_US
"""Where writers commit side by side, gauges may have been taken so long after the window's end."""
AHEAD_US: Final = HOUR_US
"""No clock is further ahead than this."""
DAY_PLANTED: Final = 8
"""One in so many planted drifts is of a day, where there is one."""
TICKS_METRIC: Final = "cron_on_time"


@dataclass(slots=True)
class Look:
    """One run: its transaction, what is known for all its windows, and how many tasks it has read.

    apart_us: how far the clocks of those who write are seen to be apart. ticks_from_us: from when on every
    tick is still there.
    """

    tx: Tx
    apart_us: int
    ticks_from_us: int
    read: int = 0


@dataclass(slots=True)
class Marks:
    """What the next run must know; kept in the tick's answer.

    end_us: the newest window that was recounted. correction_id, patrol_us, day_us: how far the feeds have
    come. drifting: ends of windows with a difference. late: ends of windows for which notes wait, each with
    the newest window and the notes seen then.
    """

    end_us: int = 0
    correction_id: int = 0
    patrol_us: int = 0
    day_us: int = 0
    drifting: list[int] = field(default_factory=list)
    late: list[dict[str, Any]] = field(default_factory=list)


def watch_metrics(tx: Tx) -> dict[str, object]:
    """Recount the windows that are new, corrected or in doubt, and some older ones; find a planted drift.

    Bounded cost: what one run leaves is the next one's. Cheap when there is nothing new.
    """
    invariants.hold_snapshot(tx)
    marks = _marks(tx, invariants.last_result(tx, METRIC_WATCH).get("marks"))
    look = look_at(tx)
    found, checked = _recount(look, marks)
    found += _patrol_days(look, marks)
    told = breaches.tell(tx, found)
    health.report(
        tx,
        Layer.CORRECT,
        COMPONENT,
        "recount",
        Status.FAIL if found or marks.drifting else Status.PASS,
        observed=float(max(len(found), len(marks.drifting))),
        unit="drifts",
        output=str(found[0]) if found else None,
    )
    planted = _try_itself(look, marks, checked)
    return {
        "windows": len(checked),
        "tasks": look.read,
        "breaches": len(found),
        "opened": told,
        "late": len(marks.late),
        "planted": planted,
        "rolled": metric_totals.roll(tx),
        "marks": {name: getattr(marks, name) for name in Marks.__slots__},
    }


def heartbeat_age_us(tx: Tx, job: str = METRIC_WATCH) -> int | None:
    """Return how long ago a watchdog ended a run; since it was first due when it never did; else None."""
    last_us = recounts.last_done_us(tx, job)
    return None if last_us is None else tx.now_us - last_us


def check_all(tx: Tx) -> Iterator[Breach]:
    """Yield every breach of W2 to W15 that published windows and days show; `tx` sees one instant.

    Windows for which notes wait are held against themselves alone: the next snapshot corrects them.
    """
    look = look_at(tx)
    end_us = 0
    while found := recounts.ends_after(tx, end_us, NEW_WINDOWS):
        for end_us in found:
            own, counted = check_window(look, end_us, are_gauges_held=True)
            yield from own
            if not recounts.waiting(tx, end_us):
                yield from counted
    day_us = 0
    while days := recounts.ends_after(tx, day_us, NEW_WINDOWS, grain=recounts.DAY):
        for day_us in days:
            yield from check_a_day(look, day_us)


def look_at(tx: Tx) -> Look:
    """Return what a run needs to know beforehand."""
    apart_us = recounts.disorder_us(tx, CLOCKS_SEEN)
    return Look(tx, max(apart_us, COMMIT_US if tx.is_postgresql else 0), recounts.ticks_kept_from_us(tx))


def check_window(look: Look, end_us: int, *, are_gauges_held: bool) -> tuple[list[Breach], list[Breach]]:
    """Return the breaches of one window: by its own figures, and by the primary rows.

    Gauges are of an instant: they are held to what was open then only where that is still known well.
    """
    tx = look.tx
    rows = recounts.rows_of(tx, end_us)
    if not rows or not any(row["metric"] in GAUGES for row in rows):
        return [], []  # from before there were measures of every kind
    window = Window(_start_of(rows), end_us, rows)
    before_us = recounts.end_before(tx, end_us)
    day_us = recounts.end_before(tx, end_us, grain=recounts.DAY)
    started_us = max((one for one in (before_us, day_us) if one is not None), default=None)
    own = [
        *check_possible(window),
        *check_parts(window),
        *check_adjoining(window, started_us),
        *check_corrections(window, recounts.corrections_of(tx, end_us)),
    ]
    before = None if before_us is None else recounts.gauge_at(tx, "open_tasks", before_us)
    if before_us is not None and before is None:
        return own, []  # the first one with all measures: part of it was not noted yet
    start_us = window.start_us if started_us is None else started_us
    counted = compare(window, recount(_primary(look, start_us, end_us)), left_out(look, start_us))
    counted += check_gauges(window, _bounds(look, window) if are_gauges_held else {})
    if before_us is not None and before is not None and are_gauges_held:
        posted, ended = recounts.flow(tx, before_us, end_us)
        slack = _slack(look, before_us) + _slack(look, end_us)
        counted += check_flow(window, before, posted, ended, slack)
    return own, counted


def _start_of(rows: Sequence[Row]) -> int:
    """Return where most of the rows say that their window begins."""
    starts: Counter[int] = Counter(row["window_start_us"] for row in rows)
    return starts.most_common(1)[0][0]


def left_out(look: Look, start_us: int) -> Sequence[str]:
    """Return the metrics that cannot be recounted from there on: old ticks are deleted."""
    return (TICKS_METRIC,) if start_us < look.ticks_from_us else ()


def _primary(look: Look, start_us: int, end_us: int) -> Primary:
    ended = recounts.ended(look.tx, start_us, end_us)
    look.read += len(ended)
    return Primary(
        ended,
        recounts.worked(look.tx, start_us, end_us),
        recounts.posted(look.tx, start_us, end_us),
        recounts.ticks(look.tx, start_us, end_us),
        recounts.steps(look.tx, start_us, end_us),
    )


def _slack(look: Look, at_us: int) -> int:
    """Return how many tasks near an instant may have been seen otherwise than they stand in the rows.

    Those that were committed late, which corrections know; and those taken back just then, of which no note
    is made. Clocks are taken as twice as far apart as they are seen to be.
    """
    late = recounts.committed_late(look.tx, at_us - LATE_WITHIN_US, at_us)
    return late + recounts.cancelled_between(look.tx, at_us - 2 * look.apart_us, at_us)


def _bounds(look: Look, window: Window) -> Mapping[str, Bounds]:
    tx, end_us = look.tx, window.end_us
    said = {row["metric"]: row["numerator"] for row in window.rows if row["metric"] in GAUGES}
    bounds = {
        "active_agents": Bounds(0, recounts.agents_at(tx, end_us + look.apart_us)),
        "health_score": Bounds(0, 100),
    }
    if "pending_deliveries" in said and "bus_lag" in said:
        pending, lag_us = said["pending_deliveries"], said["bus_lag"]
        bounds["pending_deliveries"] = Bounds(1 if lag_us else 0, max(pending, 0))
        was_there = not lag_us or recounts.was_published_at(tx, end_us - lag_us) is not False
        bounds["bus_lag"] = Bounds(0, lag_us if pending and was_there else 0)
    slack = _slack(look, end_us)
    opened = recounts.open_at(tx, end_us)
    return {**bounds, "open_tasks": Bounds(opened - slack, opened + slack)}


def _marks(tx: Tx, kept: Mapping[str, Any] | None) -> Marks:
    """Return what the run before left; a first run begins with the newest windows."""
    if kept is not None:
        return Marks(**kept)
    end_us = tx.now_us + AHEAD_US
    for _ in range(NEW_WINDOWS + 1):
        earlier_us = recounts.end_before(tx, end_us)
        if earlier_us is None:
            return Marks()
        end_us = earlier_us
    return Marks(end_us=end_us)


def _recount(look: Look, marks: Marks) -> tuple[list[Breach], list[int]]:
    """Return the breaches and the windows that were looked at; those that drift are kept in the marks.

    First what is in doubt, then what is new, then, unless much was read by then, a few older ones.
    """
    tx = look.tx
    newest_us = recounts.end_before(tx, tx.now_us + AHEAD_US) or 0
    doubted = {one["end_us"]: one for one in marks.late}
    again = [*doubted, *marks.drifting[-RECHECKED:], *_corrected(tx, marks)]
    found: list[Breach] = []
    checked: list[int] = []
    marks.late = []

    def look_into(end_us: int, *, are_gauges_held: bool) -> None:
        own, counted = check_window(look, end_us, are_gauges_held=are_gauges_held)
        if counted and _is_late(tx, marks, doubted.get(end_us), end_us, newest_us):
            counted = []
        found.extend([*own, *counted])
        checked.append(end_us)
        is_known = end_us in marks.drifting
        if is_known and not own and not counted:
            marks.drifting.remove(end_us)
        elif not is_known and (own or counted):
            marks.drifting.append(end_us)

    for end_us in dict.fromkeys(again):
        look_into(end_us, are_gauges_held=end_us > marks.end_us - LATE_WITHIN_US)
    for end_us in _new(tx, marks):
        if look.read > ROWS_AT_ONCE:
            break
        look_into(end_us, are_gauges_held=True)
        marks.end_us = end_us
    for _ in range(PATROLLED):
        if look.read > ROWS_AT_ONCE:
            break
        ends = [one for one in recounts.ends_after(tx, marks.patrol_us, 1) if one <= marks.end_us]
        marks.patrol_us = ends[0] if ends else 0
        if ends and ends[0] not in checked:
            look_into(ends[0], are_gauges_held=False)
    return found, checked


def _new(tx: Tx, marks: Marks) -> list[int]:
    ends = recounts.ends_after(tx, marks.end_us, NEW_WINDOWS)
    return [end_us for end_us in ends if end_us <= tx.now_us - SETTLING_US]


def _corrected(tx: Tx, marks: Marks) -> list[int]:
    rows = recounts.corrected_after(tx, marks.correction_id, CORRECTIONS_READ)
    if rows:
        marks.correction_id = rows[-1]["id"]
    ends = sorted({row["window_end_us"] for row in rows if row["window_end_us"] <= marks.end_us})
    return ends[-RECHECKED:]


def _is_late(tx: Tx, marks: Marks, before: Mapping[str, Any] | None, end_us: int, newest_us: int) -> bool:
    """Tell whether a difference may come from notes that still wait, and remember them.

    A note that is still there after a snapshot that saw it will never be counted: then it is a drift.
    """
    if before is not None and newest_us > before["newest_us"]:
        if recounts.still_waiting(tx, before["ids"], end_us):
            return False
        before = None
    ids = recounts.waiting(tx, end_us)
    if not ids:
        return False
    known = {"end_us": end_us, "newest_us": newest_us, "ids": ids}
    marks.late.append(known if before is None else dict(before))
    return True


def _patrol_days(look: Look, marks: Marks) -> list[Breach]:
    days = recounts.ends_after(look.tx, marks.day_us, 1, grain=recounts.DAY)
    marks.day_us = days[0] if days else 0
    return check_a_day(look, days[0]) if days else []


def check_a_day(look: Look, end_us: int) -> list[Breach]:
    """Return the breaches of one day; a recount of a very large one would hold the database for too long."""
    rows = recounts.rows_of(look.tx, end_us, grain=recounts.DAY)
    day = Window(_start_of(rows), end_us, rows)
    found = check_adjoining(day, recounts.end_before(look.tx, end_us, grain=recounts.DAY))
    if _is_day_recounted(look, rows, end_us):
        expected = recount(_primary(look, day.start_us, end_us))
        found += check_day(day, expected, left_out(look, day.start_us))
    return found


def _is_day_recounted(look: Look, rows: Sequence[Row], end_us: int) -> bool:
    ended = [row["numerator"] for row in rows if row["metric"] == "tasks_ended" and row["key"] == ALL]
    has_all_measures = any(row["metric"] in GAUGES for row in rows)
    return has_all_measures and sum(ended) <= DAY_TASKS and not recounts.waiting(look.tx, end_us)


def _try_itself(look: Look, marks: Marks, checked: Sequence[int]) -> str:
    """Plant a drift in a clean window, find it, and report; return what was planted and how it went."""
    tx = look.tx
    number = int.from_bytes(hashlib.sha256(f"{METRIC_WATCH}:{tx.now_us}".encode()).digest()[:8])
    clean = [one for one in checked if one not in marks.drifting and not recounts.waiting(tx, one)]
    if marks.day_us and number % DAY_PLANTED == 0:
        plants, check = plantable_in_day(look, marks.day_us), partial(check_a_day, look, marks.day_us)
    elif clean:
        end_us = clean[number % len(clean)]
        plants, check = plantable(look, end_us), partial(check_all_of, look, end_us)
    else:
        return "nowhere"
    if not plants:
        return "nowhere"
    plant = metric_plants.chosen(plants, number)
    found = metric_plants.tried(tx, plant, check)
    is_found = metric_plants.is_exactly(plant, found)
    shown = "; ".join(str(breach) for breach in found[:3]) or "nothing"
    health.report(
        tx,
        Layer.CORRECT,
        METRIC_WATCH,
        "planted_drift",
        Status.PASS if is_found else Status.FAIL,
        output=None if is_found else f"planted {plant}, found {shown}",
    )
    return f"{plant}: {'found' if is_found else 'not found'}"


def check_all_of(look: Look, end_us: int) -> list[Breach]:
    """Return the breaches of one window, by its own figures and by the primary rows."""
    own, counted = check_window(look, end_us, are_gauges_held=True)
    return [*own, *counted]


def plantable_in_day(look: Look, end_us: int) -> list[metric_plants.Plant]:
    """Return the drifts of one that the rows of a clean day must show; none when it is not recounted."""
    rows = recounts.rows_of(look.tx, end_us, grain=recounts.DAY)
    if not _is_day_recounted(look, rows, end_us) or check_a_day(look, end_us):
        return []
    return metric_plants.of_day(rows)


def plantable(look: Look, end_us: int) -> list[metric_plants.Plant]:
    """Return the drifts of one that the rows of a clean window must show; none when it is not clean.

    Left out: open tasks where some near the window's end may have been seen otherwise, and what cannot be
    recounted any more.
    """
    own, counted = check_window(look, end_us, are_gauges_held=True)
    if own or counted:
        return []
    rows = recounts.rows_of(look.tx, end_us)
    before_us = recounts.end_before(look.tx, end_us)
    has_before = before_us is not None and recounts.gauge_at(look.tx, "open_tasks", before_us) is not None
    is_first = before_us is not None and not has_before
    is_flow_exact = has_before and before_us is not None and not _slack(look, before_us)
    is_gauge_exact = not _slack(look, end_us)
    unknown = left_out(look, min((row["window_start_us"] for row in rows), default=0))
    return [
        plant
        for plant in metric_plants.every_plant(rows)
        if (plant.identity in metric_plants.OWN or not (is_first or plant.series.metric in unknown))
        and (plant.identity is not Identity.GAUGE or is_gauge_exact)
        and (plant.identity is not Identity.FLOW or (is_gauge_exact and is_flow_exact))
    ]
