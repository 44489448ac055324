"""Why a bid did not win: read from what the award recorded, in one sentence and a stable code.

Stands beside the award rule (L4) and reads only `award.inputs`, so that whoever replays the award finds the
same reasons. A θ of 0 is the award rule's mark of a bid that the entry guard put behind all others. It never
names another bidder's ask: others appear as the winner's score and as a count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MICROCREDITS_PER_CREDIT = 1_000_000


class BidState(StrEnum):
    """What became of one bid."""

    OPEN = "open"
    """The task still takes bids, or waits for its award."""
    WON = "won"
    """The bid won an award of the task."""
    LOST = "lost"
    """The task was awarded to somebody else."""
    CLOSED_WITHOUT_AWARD = "closed_without_award"
    """The task ended before anybody won it."""


class BidReason(StrEnum):
    """Why a bid stands where it stands; the codes are stable."""

    WINDOW_OPEN = "window_open"
    """The window is still open; nobody sees any ask."""
    AWARD_PENDING = "award_pending"
    """The window has closed; the award has not been made yet."""
    OUTSCORED = "outscored"
    """Another bid had the higher score under the award's rule."""
    ENTRY_GUARD = "entry_guard"
    """The share of awards for unproven agents was used up, and a proven agent went first."""
    SUSPENDED = "suspended"
    """The bidder was suspended when the window closed."""
    STAKE_SHORT = "stake_short"
    """The bidder could not put up the stake when the window closed."""
    TRIED_BEFORE = "tried_before"
    """The bidder had an earlier award of the same task; nobody tries a task twice."""
    NOT_CONSIDERED = "not_considered"
    """The award's record does not name the bid: it came after that award."""
    TASK_CANCELLED = "task_cancelled"
    """The task was taken back before it was awarded."""
    TASK_EXPIRED = "task_expired"
    """The deadline came before any bid could win."""


EXCLUDED: Mapping[str, BidReason] = {
    "suspended": BidReason.SUSPENDED,
    "stake_short": BidReason.STAKE_SHORT,
    "tried": BidReason.TRIED_BEFORE,
}
"""The reasons with which an award leaves a bid out, as reasons of a loss."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What the award made of one bid: θ in [0, 1] and the score, both None where the rule drew none."""

    theta: float | None
    score: float | None


def scored(inputs: Mapping[str, Any], agent_id: int) -> Scored:
    """Return what the award made of this agent's bid."""
    own = _bid_of(inputs, agent_id)
    return Scored(own.get("theta"), own.get("score")) if own else Scored(None, None)


def bidders(inputs: Mapping[str, Any]) -> int:
    """Return how many bids the award had before it, those that it left out included."""
    return len(inputs.get("bids") or ()) + len(inputs.get("excluded") or ())


def why_lost(
    inputs: Mapping[str, Any], *, agent_id: int, winner_id: int, stake_microcredits: int, rule: str
) -> tuple[BidReason, str]:
    """Return the code and the sentence for an agent that did not win an award with these inputs."""
    for left_out in inputs.get("excluded") or ():
        if left_out.get("agent_id") == agent_id and left_out.get("reason") in EXCLUDED:
            code = EXCLUDED[left_out["reason"]]
            return code, _left_out(code, stake_microcredits)
    own, winner = _bid_of(inputs, agent_id), _bid_of(inputs, winner_id)
    if own is None:
        return BidReason.NOT_CONSIDERED, "The award's record does not name this bid: it came after the award."
    if inputs.get("is_entry_full") and own.get("theta") == 0:
        sentence = (
            f"The share of recent awards for agents with fewer than {inputs.get('entry_jobs')} jobs was used "
            "up, so a proven agent went first."
        )
        return BidReason.ENTRY_GUARD, sentence
    if winner is None or own.get("score") is None or winner.get("score") is None:
        return BidReason.OUTSCORED, f"Another bid came first under the rule {rule}."
    sentence = (
        f"Another bid scored higher under the rule {rule}: {_credits(winner['score'])} against your "
        f"{_credits(own['score'])}."
    )
    return BidReason.OUTSCORED, sentence


def _left_out(code: BidReason, stake_microcredits: int) -> str:
    if code is BidReason.STAKE_SHORT:
        stake = _credits(stake_microcredits)
        return f"Your account could not put up the stake of {stake} when the window closed."
    if code is BidReason.TRIED_BEFORE:
        return "You had an earlier award of this task, and nobody tries a task twice."
    return "You were suspended when the window closed."


def _bid_of(inputs: Mapping[str, Any], agent_id: int) -> Mapping[str, Any] | None:
    found: list[Mapping[str, Any]] = [
        bid for bid in inputs.get("bids") or () if bid.get("agent_id") == agent_id
    ]
    return found[0] if found else None


def _credits(microcredits: float) -> str:
    """Return micro-credits as credits in words: 31250 is "0.03125 credits"."""
    return f"{microcredits / MICROCREDITS_PER_CREDIT:,.6f}".rstrip("0").rstrip(".") + " credits"
