"""Episodes: a metric out of its band, from the alarm over its course to its recovery.

Stands in the observe stage, over the detectors. One drop, one episode: while one is open, series that the
same incident moves open none. An episode closes when the metric is back or its lap is over, never because
somebody has looked into it. It never proposes a cause.
"""

from collections.abc import Sequence
from typing import Final

from services.domain.anomaly import Detection, Rule, Sample, is_recovered
from services.domain.clock import seconds
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.measures import BY_NAME, MEASURES, Dimension, Measure
from services.domain.shapes import Departure, is_worse, shape_of
from services.domain.states import LIVE_PROPOSALS, EpisodeShape, EpisodeState, ProposalState
from services.domain.tallies import Series
from services.event_bus import publish
from services.observatory import checks, detecting, snapshots
from services.observatory.detecting import Look
from services.observatory.laps import give_up
from services.operations import audit_log, measuring
from services.operations.measuring import Noted
from services.store import observations, series, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

RECOVERY_WINDOWS: Final = 24
"""Newest windows that a recovery is judged by: a long bad time must not hide a good day."""
BACK_WINDOWS: Final = 3
"""So many windows in the band, in a row, are a recovery of what is no share."""
NOT_RECOVERED: Final = "not_recovered"
"""How a lap ends whose promoted change did not bring the metric back."""
BAND: Final = 0.05
"""How far under its baseline a rate may be and count as back, in success rate."""
REASON_LONGEST: Final = 500


def observe(tx: Tx) -> list[int]:
    """Look at every watched series once: follow open episodes, open new ones; return the ids of the new.

    Series of task types come before the platform's, which contains them.
    """
    look = Look(tx)
    watched = [measure for measure in MEASURES if look.is_watched(measure)]
    names = series.names_since(tx, [one.name for one in watched], tx.now_us - detecting.BASELINE_US)
    of_watched = [name for name in names if name.dimension in BY_NAME[name.metric].watched]
    look = Look(tx, max(1, len(of_watched)))
    current = sql.find_all(tx, tables.episode, state=EpisodeState.OPEN)
    for episode in current:
        if episode["metric"] in BY_NAME:
            _follow(look, episode)
    open_now = [_name(row) for row in current if row["metric"] in BY_NAME]
    opened: list[int] = []
    for name in sorted(of_watched, key=_order):
        measure = BY_NAME[name.metric]
        if any(_covers(one, name) for one in open_now):
            continue
        episode_id = _look_at(look, measure, name)
        if episode_id is not None:
            opened.append(episode_id)
            open_now.append(name)
    return [*opened, *checks.look_again(tx)]


def _order(name: Series) -> tuple[bool, int, str]:
    metrics = [measure.name for measure in MEASURES]
    return name.dimension == Dimension.PLATFORM, metrics.index(name.metric), name.key


def _covers(one: Series, other: Series) -> bool:
    """Tell whether an open episode of one series speaks for another of its family, which it touches.

    What moves task success moves the rest; nothing else speaks for task success.
    """
    is_alike = BY_NAME[one.metric].family is BY_NAME[other.metric].family
    is_touching = one.dimension != other.dimension or one.key == other.key
    return is_alike and is_touching and (one.metric == snapshots.METRIC or other.metric != snapshots.METRIC)


def _look_at(look: Look, measure: Measure, name: Series) -> int | None:
    found = detecting.detect(look, measure, name)
    if found is None:
        detecting.note_return(look, measure, name)
        return None
    detection, windows = found
    before = _cooling_down(look, name)
    if before is not None and not _is_worse_again(measure, name, before, detection):
        return None
    return _open(look.tx, measure, name, detection, windows)


def _is_worse_again(measure: Measure, name: Series, before: Row, found: Detection) -> bool:
    """Tell whether a series that cools down is further out than its own last episode was at its worst."""
    worst = before["evidence"].get("worst")
    if worst is None or _name(before) != name:
        return False
    return is_worse(detecting.departure(measure, found), Departure(*worst), measure.bad)


def _cooling_down(look: Look, name: Series) -> Row | None:
    """Return the newest episode of a series that was given up and whose cool-down lasts, or None."""
    since_us = look.tx.now_us - seconds(look.number("cool_down_seconds"))
    ended = [
        row
        for row in observations.closed_episodes(look.tx, *name, since_us)
        if row["state"] == EpisodeState.GIVEN_UP
    ]
    return max(ended, key=lambda row: row["id"], default=None)


def _open(tx: Tx, measure: Measure, name: Series, found: Detection, windows: Sequence[Row]) -> int:
    """Open an episode and its lap, write the ANOMALY entry, say AnomalyDetected."""
    lap_id = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
    tx = tx.in_lap(lap_id)
    start_us, end_us = windows[0]["window_start_us"], windows[-1]["window_end_us"]
    is_baseline = found.rule is Rule.BASELINE
    usual = detecting.departure(measure, found)
    newest = Departure(detecting.observed(measure, windows[-1:]), usual.expected)
    episode_id = sql.insert(
        tx,
        tables.episode,
        metric=name.metric,
        dimension=name.dimension,
        key=name.key,
        state=EpisodeState.OPEN,
        kind=measure.kind,
        rule=str(found.rule),
        numerator=found.numerator,
        denominator=found.denominator,
        baseline_rate=found.baseline_rate if is_baseline else None,
        p_value=found.p_value,
        evidence={
            "window_start_us": start_us,
            "window_end_us": end_us,
            "low_confidence": found.is_low_confidence,
            "observed": found.observed,
            "expected": found.expected,
            "interval": list(found.interval),
            "unit": measure.unit,
            "worst": list(_worse_of(measure, usual, newest)),
        },
        lap_id=lap_id,
        began_at_us=start_us,
        opened_at_us=tx.now_us,
    )
    measuring.note_lap(tx, Noted.DETECTED, tx.now_us - start_us)
    facts = {"episode_id": episode_id, **name._asdict()}
    counts = {"numerator": found.numerator, "denominator": found.denominator}
    rule = {"rule": str(found.rule), "began_at_us": start_us}
    audit_log.append(tx, EntryType.ANOMALY, {**facts, **counts, **rule})
    publish(tx, Event(EventType.ANOMALY_DETECTED, f"episode:{episode_id}", facts))
    return episode_id


def _worse_of(measure: Measure, one: Departure, other: Departure) -> Departure:
    return other if is_worse(other, one, measure.bad, by=0.0) else one


def _follow(look: Look, episode: Row) -> None:
    """Update an open episode, and close it when the metric is back after the lap's decision.

    While a proposal of the lap is undecided nothing is judged: its experiment itself moves the metric. A
    promoted change that does not bring the metric back in time is given up, and EpisodeGivenUp is said.
    """
    tx, measure = look.tx, BY_NAME[episode["metric"]]
    episode = _updated(look, measure, episode)
    live = sql.find(tx, tables.proposal, lap_id=episode["lap_id"], state=LIVE_PROPOSALS)
    if live is not None:
        return
    decided = sql.find_all(tx, tables.proposal, lap_id=episode["lap_id"])
    after_us = max([episode["opened_at_us"], *(row["ended_at_us"] or 0 for row in decided)])
    recent = detecting.windows_after(tx, measure, _name(episode), after_us)[-RECOVERY_WINDOWS:]
    if not _is_back(look, measure, episode, recent):
        _give_up_in_time(look, episode, decided)
        return
    where = {"id": episode["id"], "state": EpisodeState.OPEN}
    sql.update(tx, tables.episode, where, state=EpisodeState.CLOSED, closed_at_us=tx.now_us)
    tx = tx.in_lap(episode["lap_id"])
    measuring.note_lap(tx, Noted.RECOVERED, tx.now_us - (episode["began_at_us"] or episode["opened_at_us"]))
    counts = {
        "numerator": sum(row["numerator"] for row in recent),
        "denominator": sum(row["denominator"] for row in recent),
    }
    audit_log.append(tx, EntryType.RECOVERED, {"episode_id": episode["id"], **counts})
    facts = {"episode_id": episode["id"], "meta_task_id": episode["meta_task_id"], **counts}
    publish(tx, Event(EventType.ANOMALY_RECOVERED, f"episode:{episode['id']}", facts))


def _name(episode: Row) -> Series:
    return Series(episode["metric"], episode["dimension"], episode["key"])


def _updated(look: Look, measure: Measure, episode: Row) -> Row:
    """Keep how far an open episode went at its worst, and its shape once the windows since decide."""
    evidence = episode["evidence"]
    since = detecting.windows_after(look.tx, measure, _name(episode), evidence["window_end_us"])
    if not since or "worst" not in evidence:
        return episode
    is_settled = episode["shape"] == EpisodeShape.SHIFT
    shape = (
        EpisodeShape.SHIFT
        if is_settled
        else shape_of(since, lambda pool: detecting.is_inside(look, measure, episode, pool))
    )
    before = Departure(*evidence["worst"])
    newest = Departure(detecting.observed(measure, since[-1:]), before.expected)
    worst = list(_worse_of(measure, before, newest))
    if (shape, worst) == (episode["shape"], evidence["worst"]):
        return episode
    changes = {
        "shape": shape,
        "evidence": {**evidence, "worst": worst},
        "updated_at_us": look.tx.now_us,
    }
    sql.update(look.tx, tables.episode, {"id": episode["id"]}, **changes)
    return {**episode, **changes}


def _is_back(look: Look, measure: Measure, episode: Row, recent: Sequence[Row]) -> bool:
    """Tell whether windows since the decision show the metric back in its band.

    A share that fell under its line has to be safely over it. Else there have to be three windows at least,
    and the newest three, the newest one and, for a share, all of them together have to lie in the band.
    """
    is_share = measure.name == snapshots.METRIC
    if not is_share or episode["rule"] == Rule.BASELINE:
        newest = recent[-BACK_WINDOWS:]
        pools = (newest, recent if is_share else newest[-1:])
        if len(newest) < BACK_WINDOWS or not all(
            detecting.is_inside(look, measure, episode, pool) for pool in pools
        ):
            return False
    if not is_share:
        return True
    line = look.number("success_line_percent") / 100
    required = max(line, (episode["baseline_rate"] or 0.0) - BAND)
    samples = [Sample(row["numerator"], row["denominator"]) for row in recent]
    minimum = int(look.number("line_minimum_tasks"))
    return is_recovered(samples, line=line, minimum=minimum, required_rate=required)


def _give_up_in_time(look: Look, episode: Row, decided: list[Row]) -> None:
    tx = look.tx
    promoted = [row["ended_at_us"] for row in decided if row["state"] == ProposalState.PROMOTED]
    patience_us = seconds(look.number("recovery_seconds"))
    if not promoted or tx.now_us < max(promoted) + patience_us:
        return
    give_up(tx, episode["lap_id"], NOT_RECOVERED)
    facts = {"episode_id": episode["id"], "meta_task_id": episode["meta_task_id"]}
    aggregate = f"episode:{episode['id']}"
    publish(tx.in_lap(episode["lap_id"]), Event(EventType.EPISODE_GIVEN_UP, aggregate, facts))


def accept_shift(tx: Tx, episode_id: int, *, reason: str) -> int:
    """Accept a lasting change as normal, as an operator's recorded act; return the ledger entry's index.

    The baseline of its series starts anew with the first window of the shift; an open episode is given up.
    Raises NotFoundError, InvalidValueError without a reason, ConflictError for an episode that recovered or
    was accepted before.
    """
    tx = audit_log.take_turn(tx)
    episode = get_episode(tx, episode_id)
    if not reason.strip():
        msg = "accepting a shift needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    if episode["state"] == EpisodeState.CLOSED or episode["accepted_ledger_index"] is not None:
        what = "its metric came back" if episode["state"] == EpisodeState.CLOSED else "it was accepted before"
        msg = f"episode {episode_id} cannot be accepted: {what}"
        raise ConflictError(msg, field="episode_id", code="nothing_to_accept")
    tx = tx.in_lap(episode["lap_id"])
    facts = {"episode_id": episode_id, **_name(episode)._asdict()}
    index = audit_log.append(tx, EntryType.SHIFT_ACCEPTED, {**facts, "reason": reason[:REASON_LONGEST]})
    sql.update(tx, tables.episode, {"id": episode_id}, accepted_ledger_index=index, updated_at_us=tx.now_us)
    publish(tx, Event(EventType.SHIFT_ACCEPTED, f"episode:{episode_id}", {**facts, "ledger_index": index}))
    if episode["state"] == EpisodeState.OPEN:
        give_up(tx, episode["lap_id"], "shift_accepted")
        told = {"episode_id": episode_id, "meta_task_id": episode["meta_task_id"]}
        publish(tx, Event(EventType.EPISODE_GIVEN_UP, f"episode:{episode_id}", told))
    return index


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
