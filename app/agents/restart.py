"""When a crashed agent is started again, and when it is given up. Pure.

A run that ends before it has lived `healthy_seconds` is one more crash in a row; a longer life starts the
count anew. Each crash in a row doubles the pause, and the twelfth opens the breaker: a person has to look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

CRASHES_MAX = 12


class Action(StrEnum):
    """What to do with an agent now."""

    KEEP = "keep"  # it runs
    WAIT = "wait"  # it crashed; its pause is not over
    START = "start"  # it has not run yet, or its pause is over
    GIVE_UP = "give_up"  # it crashed too often in a row


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a process, in seconds of the monotonic clock; `ended_at` None while it lives."""

    started_at: float
    ended_at: float | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How patient the supervisor is."""

    crashes_max: int = CRASHES_MAX
    healthy_seconds: float = 10.0
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 5.0

    def pause_seconds(self, crashes: int) -> float:
        """Pause after so many crashes in a row (0 for none): doubling up to the longest."""
        if crashes <= 0:
            return 0.0
        return min(self.longest_pause_seconds, self.first_pause_seconds * 2.0 ** min(crashes - 1, 30))


def crashes_in_a_row(history: Sequence[Run], policy: RestartPolicy) -> int:
    """How many ended runs at the end of the history crashed without a healthy life between them.

    A long life that ends is itself the first crash of a new row.
    """
    crashes = 0
    for run in reversed(history):
        if run.ended_at is None:
            continue
        crashes += 1
        if run.ended_at - run.started_at >= policy.healthy_seconds:
            break
    return crashes


def next_action(history: Sequence[Run], now: float, policy: RestartPolicy) -> Action:
    """What to do with an agent of this history (oldest run first) at `now`."""
    if not history:
        return Action.START
    last = history[-1]
    if last.ended_at is None:
        return Action.KEEP
    crashes = crashes_in_a_row(history, policy)
    if crashes >= policy.crashes_max:
        return Action.GIVE_UP
    is_over = now - last.ended_at >= policy.pause_seconds(crashes)
    return Action.START if is_over else Action.WAIT
