"""A voter's record from its ballots: shares, scores against the base rate, calibration, and honest words."""

import pytest

from services.domain.states import BallotChoice
from services.domain.voter_records import CastBallot, calibration, track_record

FOR, AGAINST, ABSTAIN = BallotChoice.FOR, BallotChoice.AGAINST, BallotChoice.ABSTAIN


def test_a_record_is_what_the_ballots_say():
    ballots = [
        CastBallot(FOR, 80, True),
        CastBallot(FOR, 70, False),
        CastBallot(AGAINST, 10, False),
        CastBallot(AGAINST, None, True),
        CastBallot(ABSTAIN, 50, None),
    ]
    record = track_record(ballots, eligible=10, base_rate=0.5)
    assert (record.cast, record.yes, record.no, record.abstain) == (5, 2, 2, 1)
    assert (record.participation, record.forecasts, record.scored) == (0.5, 4, 3)
    assert record.brier == pytest.approx((0.04 + 0.49 + 0.01) / 3)
    assert record.reference_brier == pytest.approx(0.25)
    sides = record.sides
    assert (sides.for_won, sides.for_lost, sides.against_won, sides.against_lost) == (1, 1, 1, 1)
    assert record.summary == "3 scored: too few to say"
    with pytest.raises(ValueError, match="5 ballots of 4"):
        track_record(ballots, eligible=4, base_rate=None)


def test_only_enough_forecasts_are_compared_with_the_base_rate():
    empty = track_record([], eligible=0, base_rate=None)
    assert (empty.participation, empty.brier, empty.calibration) == (None, None, [])
    assert empty.summary == "none scored yet"
    good, rate = [CastBallot(FOR, 90, True)] * 6 + [CastBallot(AGAINST, 20, False)] * 4, 0.6
    for count, words in ((9, "9 scored: too few to say"), (10, "10 scored: mean Brier 0.022, better than")):
        assert track_record(good[:count], eligible=10, base_rate=rate).summary.startswith(words)
    flat = track_record([CastBallot(FOR, 60, i < 6) for i in range(10)], eligible=10, base_rate=rate)
    assert flat.summary == "10 scored: mean Brier 0.240, no better than the base rate's 0.240"


def test_calibration_counts_what_came_true_of_what_was_said():
    said = [(70, True), (75, True), (79, False), (80, True), (0, False), (100, True), (99, False)]
    bins = calibration(said)
    assert [(b.low_percent, b.high_percent, b.forecasts, b.came_true) for b in bins] == [
        (0, 10, 1, 0),
        (70, 80, 3, 2),
        (80, 90, 1, 1),
        (90, 100, 2, 1),
    ]
    seventies = bins[1]
    assert seventies.mean_percent == pytest.approx((70 + 75 + 79) / 3)
    assert (seventies.lower, seventies.upper) == pytest.approx((0.2077, 0.9385), abs=1e-4)  # Wilson, 2 of 3
    with pytest.raises(ValueError, match="0 to 100"):
        calibration([(101, True)])
