"""The 51 % rule: what a set of ballots decides.

Stands in the loop between the votes on a proposal and the sandbox: a passed tally admits a change to an
experiment, never to production. Exact integers only. It never knows who voted, what the time is, or why.
"""

from enum import StrEnum

THRESHOLD_PERCENT = 51
MINIMUM_BALLOTS = 3
WHOLE_PERCENT = 100
LATE_QUARTERS = 4
"""A swing in the last quarter of the period extends the vote by a quarter of it."""


class TallyOutcome(StrEnum):
    """What a tally says about a proposal."""

    OPEN = "open"  # undecided: ballots still to come could settle it either way; voters or time move it on
    PASSED = "passed"  # carried: the sandbox may take it up
    REJECTED = "rejected"  # not carried, or can no longer be carried
    INQUORATE = "inquorate"  # the deadline passed with too few ballots for or against


class Swing(StrEnum):
    """How a late ballot turns a vote, so that the others get time to answer it."""

    FLIP = "flip"  # the result so far is another one than before it
    QUORUM = "quorum"  # it is the one that makes the vote valid


def need(votes: int, threshold_percent: int = THRESHOLD_PERCENT) -> int:
    """Return the fewest `for` ballots that carry `votes` cast ballots: ceil(threshold * votes / 100).

    Raises ValueError for a negative count or a threshold outside 1..100.
    """
    if votes < 0:
        raise ValueError(f"votes must not be negative, got {votes}")
    if not 1 <= threshold_percent <= WHOLE_PERCENT:
        raise ValueError(f"threshold_percent must lie in 1..100, got {threshold_percent}")
    return -(-threshold_percent * votes // WHOLE_PERCENT)


def tally(
    *,
    electorate: int,
    yes: int,
    no: int,
    abstain: int,
    is_closed: bool,
    threshold_percent: int = THRESHOLD_PERCENT,
    minimum_ballots: int = MINIMUM_BALLOTS,
) -> TallyOutcome:
    """Return what the ballots decide.

    `electorate` is the number of agents frozen at opening; `yes`, `no` and `abstain` are ballots cast, one
    per elector. `is_closed` is False after the minimum period and before the deadline, True from the
    deadline on. Early decisions are final because ballots cannot be changed: an early PASSED stays PASSED
    at the deadline, an early REJECTED never becomes PASSED.
    Raises ValueError when the counts cannot be those of one ballot each.
    """
    if min(electorate, yes, no, abstain) < 0:
        raise ValueError(f"counts must not be negative: {electorate=} {yes=} {no=} {abstain=}")
    if yes + no + abstain > electorate:
        raise ValueError(f"{yes + no + abstain} ballots exceed the electorate of {electorate}")
    if minimum_ballots < 1:
        raise ValueError(f"minimum_ballots must be at least 1, got {minimum_ballots}")
    if is_closed:
        return _at_deadline(yes, no, threshold_percent, minimum_ballots)
    largest_cast = electorate - abstain  # ballots for or against if everyone still silent takes a side
    if yes >= need(largest_cast, threshold_percent) and yes + no >= minimum_ballots:
        return TallyOutcome.PASSED
    if largest_cast < minimum_ballots or largest_cast - no < need(largest_cast, threshold_percent):
        return TallyOutcome.REJECTED
    return TallyOutcome.OPEN


def _at_deadline(yes: int, no: int, threshold_percent: int, minimum_ballots: int) -> TallyOutcome:
    if yes + no < minimum_ballots:
        return TallyOutcome.INQUORATE
    if yes >= need(yes + no, threshold_percent):
        return TallyOutcome.PASSED
    return TallyOutcome.REJECTED


def swing(
    before: tuple[int, int],
    after: tuple[int, int],
    *,
    threshold_percent: int = THRESHOLD_PERCENT,
    minimum_ballots: int = MINIMUM_BALLOTS,
) -> Swing | None:
    """Return how one more ballot turned the result so far, None when it did not.

    `before` and `after` are the ballots (for, against) cast without and with it.
    """
    if sum(before) < minimum_ballots <= sum(after):
        return Swing.QUORUM
    was, now = (_at_deadline(*cast, threshold_percent, minimum_ballots) for cast in (before, after))
    return Swing.FLIP if was is not now else None


def is_late(at_us: int, opens_at_us: int, closes_at_us: int) -> bool:
    """Tell whether an instant lies in the last quarter of a vote's period."""
    return LATE_QUARTERS * (at_us - opens_at_us) >= (LATE_QUARTERS - 1) * (closes_at_us - opens_at_us)


def extension(at_us: int, opens_at_us: int, closes_at_us: int) -> int:
    """Return when a vote closes that a late swing at `at_us` extends: a quarter of its period later."""
    return max(closes_at_us, at_us + (closes_at_us - opens_at_us) // LATE_QUARTERS)
