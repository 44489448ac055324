"""What happens, noted once for the observatory to count: tasks posted and ended, steps of a lap.

Stands under the market and the loop's stages, which note in their own transaction; the snapshot counts each
note once and deletes it. It copies what stands in the rows; it never measures by itself.
"""

from collections.abc import Sequence
from enum import StrEnum

from services.store import observations, sql, tables
from services.store.tx import Tx


class Noted(StrEnum):
    """The kinds of note."""

    ENDED = "ended"
    """A user's task was settled, failed or expired."""
    POSTED = "posted"
    """A user's task was posted."""
    TICK = "tick"
    """A tick of a job ended, or was missed."""
    DETECTED = "detected"
    """An episode opened; the duration is from the first window of the fall."""
    PROPOSED = "proposed"
    """The first proposal of a lap was filed; the duration is from the episode."""
    PROMOTED = "promoted"
    """The change of a lap was promoted; the duration is from the episode."""
    RECOVERED = "recovered"
    """An episode closed by recovery; the duration is from the first window of the fall."""


def note_ended(tx: Tx, task_ids: Sequence[object]) -> None:
    """Note the users' tasks among these that were settled, failed or expired, as their rows say."""
    if task_ids:
        observations.note_ended(tx, task_ids, Noted.ENDED)


def note_posted(tx: Tx, task_ids: Sequence[object]) -> None:
    """Note the users' tasks among these."""
    if task_ids:
        observations.note_posted(tx, task_ids, Noted.POSTED)


def note_tick(tx: Tx, job: str, *, is_on_time: bool, at_us: int | None = None) -> None:
    """Note that a tick of a job ended (now, or `at_us`), and whether it did so well and within its budget."""
    ended_us = tx.now_us if at_us is None else at_us
    values = {"kind": Noted.TICK, "at_us": ended_us, "task_type": job, "is_success": is_on_time}
    sql.insert(tx, tables.observation, **values)


def note_lap(tx: Tx, kind: Noted, duration_us: int, *, at_us: int | None = None) -> None:
    """Note a step of a lap, taken now or `at_us`, with how long it took."""
    taken_us = tx.now_us if at_us is None else at_us
    sql.insert(tx, tables.observation, kind=kind, at_us=taken_us, duration_us=max(0, duration_us))


def note_step(tx: Tx, step: Noted) -> None:
    """Note how long after its episode the lap of this transaction comes to a step now."""
    episode = None if tx.lap is None else sql.find(tx, tables.episode, lap_id=tx.lap)
    if episode is not None:
        note_lap(tx, step, tx.now_us - episode["opened_at_us"])
