"""A voter's track record: how often it votes, how good its forecasts are, and on which side it stood.

Stands beside the vote: what is computed here is shown and decides nothing, so nobody gains by a forecast
that it does not believe. It never weighs a ballot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.domain.report_formulas import wilson
from services.domain.states import BallotChoice

FEW_FORECASTS: Final = 10
"""Fewer scored forecasts than this say nothing about a voter."""
BIN_PERCENT: Final = 10
WHOLE_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class CastBallot:
    """One ballot; `has_won` is whether the experiment won, None while it has not ended or was invalid."""

    choice: BallotChoice
    forecast_percent: int | None
    has_won: bool | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Forecasts from `low_percent` up to (100: and with) `high_percent`: what was said, what came true.

    `mean_percent` is the mean of what was said; `lower` and `upper` are the 95 % interval of Wilson (1927)
    around the share that came true.
    """

    low_percent: int
    high_percent: int
    forecasts: int
    mean_percent: float
    came_true: int
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Sides:
    """Ballots by their word and by how the experiment ended; without those on which none has ended."""

    for_won: int
    for_lost: int
    against_won: int
    against_lost: int


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """What a voter did. Shares lie in [0, 1] and are None without a case.

    `brier` is the mean of (forecast - outcome)^2 over the scored forecasts, 0 the best; `reference_brier` is
    what naming `base_rate`, the share of all ended experiments that won, would have scored on the same ones.
    """

    eligible: int
    cast: int
    yes: int
    no: int
    abstain: int
    participation: float | None
    forecasts: int
    scored: int
    brier: float | None
    base_rate: float | None
    reference_brier: float | None
    calibration: list[Bin]
    sides: Sides
    summary: str


def track_record(ballots: Sequence[CastBallot], *, eligible: int, base_rate: float | None) -> TrackRecord:
    """Return the record of one voter.

    `ballots` are all that it cast; `eligible` counts the votes in which it had a ballot, cast or not.
    Raises ValueError when it cast more than it had.
    """
    if len(ballots) > eligible:
        raise ValueError(f"{len(ballots)} ballots of {eligible} that there were")
    choices = [ballot.choice for ballot in ballots]
    scored = [
        (ballot.forecast_percent, ballot.has_won)
        for ballot in ballots
        if ballot.forecast_percent is not None and ballot.has_won is not None
    ]
    brier = _mean([(percent / WHOLE_PERCENT - has_won) ** 2 for percent, has_won in scored])
    reference = None if base_rate is None else _mean([(base_rate - has_won) ** 2 for _, has_won in scored])
    return TrackRecord(
        eligible=eligible,
        cast=len(ballots),
        yes=choices.count(BallotChoice.FOR),
        no=choices.count(BallotChoice.AGAINST),
        abstain=choices.count(BallotChoice.ABSTAIN),
        participation=len(ballots) / eligible if eligible else None,
        forecasts=sum(ballot.forecast_percent is not None for ballot in ballots),
        scored=len(scored),
        brier=brier,
        base_rate=base_rate,
        reference_brier=reference,
        calibration=calibration(scored),
        sides=_sides(ballots),
        summary=_summary(len(scored), brier, reference),
    )


def calibration(scored: Sequence[tuple[int, bool]]) -> list[Bin]:
    """Return what came true of forecasts (per cent, won), in bins of ten per cent; empty ones are left out.

    Raises ValueError for a forecast outside 0 to 100.
    """
    if any(not 0 <= percent <= WHOLE_PERCENT for percent, _ in scored):
        raise ValueError("forecasts lie in 0 to 100 per cent")
    last = WHOLE_PERCENT - BIN_PERCENT
    found = []
    for low in range(0, WHOLE_PERCENT, BIN_PERCENT):
        inside = [(p, won) for p, won in scored if min(p // BIN_PERCENT * BIN_PERCENT, last) == low]
        if inside:
            true = sum(won for _, won in inside)
            mean = sum(percent for percent, _ in inside) / len(inside)
            found.append(Bin(low, low + BIN_PERCENT, len(inside), mean, true, *wilson(true, len(inside))))
    return found


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _sides(ballots: Sequence[CastBallot]) -> Sides:
    stood = [(ballot.choice, ballot.has_won) for ballot in ballots]
    return Sides(
        for_won=stood.count((BallotChoice.FOR, True)),
        for_lost=stood.count((BallotChoice.FOR, False)),
        against_won=stood.count((BallotChoice.AGAINST, True)),
        against_lost=stood.count((BallotChoice.AGAINST, False)),
    )


def _summary(scored: int, brier: float | None, reference: float | None) -> str:
    """Return what may be said of the forecasts in one line."""
    if brier is None:
        return "none scored yet"
    if scored < FEW_FORECASTS or reference is None:
        return f"{scored} scored: too few to say"
    against = "better than" if brier < reference else "no better than"
    return f"{scored} scored: mean Brier {brier:.3f}, {against} the base rate's {reference:.3f}"
