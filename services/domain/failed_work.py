"""Failed work: the kinds of things that wait for somebody, and what a failure's code means in one sentence.

Stands beside every layer. It never decides who does something about it.
"""

from collections.abc import Mapping
from enum import StrEnum

from services.domain.states import EndReason, TickState


class FailedKind(StrEnum):
    """What failed; the order is that of the list."""

    REVIEW_ITEM = "review_item"
    """The platform asks a person to look."""
    DEAD_LETTER = "dead_letter"
    """An event was tried as often as allowed at one subscriber."""
    TICK = "tick"
    """A job by the clock failed or overran, and has not run well since."""
    TASK = "task"
    """A task ended failed or expired."""
    LATE_RESULT = "late_result"
    """A result came with an old token or too late; it is kept, not accepted."""


WHY_NOT_RETRIED: Mapping[FailedKind, str] = {
    FailedKind.REVIEW_ITEM: "a person has to look; close it or dismiss it with a reason",
    FailedKind.TICK: "the job runs again by itself when it is due",
    FailedKind.LATE_RESULT: "a late result is never accepted; retry its task if that failed",
}
"""Why a kind of failed work cannot be retried by hand; the other kinds can."""

INVESTIGATION = "an investigation is posted by the observatory alone, for as long as its episode lasts"

SENTENCES: Mapping[str, str] = {
    EndReason.TIMED_OUT: "the time allowed passed before a result was in",
    EndReason.VERIFICATION_FAILED: "the platform's verifier did not agree with the result",
    EndReason.AGENT_ERROR: "the agent reported that it could not do it",
    EndReason.LEASE_LAPSED: "every attempt ended without a word from its agent",
    EndReason.PLATFORM_AWAY: "the time allowed ran out while the platform was away, nobody is to blame",
    EndReason.NO_BIDS: "nobody bid, or no bid could win, before the deadline",
    EndReason.DEADLINE_PASSED: "the deadline came first",
    TickState.OVERRUN: "the job used up its time budget and was rolled back",
    "stale_fencing_token": "the result came with an old fencing token or after the time allowed",
}


def sentence_of(code: str) -> str:
    """Return what a code means; an unknown one in words."""
    return SENTENCES.get(code, code.replace("_", " "))
