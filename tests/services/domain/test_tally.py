"""The 51 % rule against the table of the design page and every small electorate."""

from collections.abc import Iterator

import pytest

from services.domain.tally import Swing, TallyOutcome, extension, is_late, need, swing, tally

OPEN, PASSED = TallyOutcome.OPEN, TallyOutcome.PASSED
REJECTED, INQUORATE = TallyOutcome.REJECTED, TallyOutcome.INQUORATE

NEED = {
    2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4, 8: 5, 10: 6, 12: 7, 20: 11, 26: 14, 50: 26, 51: 27, 99: 51,
    100: 51, 101: 52, 200: 102,
}  # fmt: skip

VECTORS = [
    (6, 4, 0, 0, False, PASSED),
    (6, 3, 0, 0, False, OPEN),
    (6, 3, 0, 0, True, PASSED),
    (6, 3, 0, 1, False, PASSED),
    (6, 3, 3, 0, False, REJECTED),
    (6, 0, 3, 0, False, REJECTED),
    (6, 2, 1, 0, False, OPEN),
    (6, 2, 1, 0, True, PASSED),
    (6, 2, 0, 4, True, INQUORATE),
    (6, 1, 1, 1, True, INQUORATE),
    (3, 3, 0, 0, False, PASSED),
    (2, 2, 0, 0, False, REJECTED),
    (4, 2, 2, 0, True, REJECTED),
    (100, 51, 49, 0, True, PASSED),
    (100, 50, 50, 0, True, REJECTED),
    (200, 101, 99, 0, True, REJECTED),
    (1000, 510, 490, 0, True, PASSED),
    (1000, 509, 491, 0, True, REJECTED),
]


@pytest.mark.parametrize(("votes", "expected"), NEED.items())
def test_need_is_the_table_of_the_page(votes, expected):
    assert need(votes) == expected


def test_need_is_the_smallest_count_that_reaches_the_threshold():
    for votes in range(1, 2_000):
        assert 100 * need(votes) >= 51 * votes > 100 * (need(votes) - 1)


@pytest.mark.parametrize(("electorate", "yes", "no", "abstain", "is_closed", "expected"), VECTORS)
def test_vectors_of_the_page(electorate, yes, no, abstain, is_closed, expected):
    outcome = tally(electorate=electorate, yes=yes, no=no, abstain=abstain, is_closed=is_closed)
    assert outcome is expected


def states(electorate: int) -> Iterator[tuple[int, int, int]]:
    for yes in range(electorate + 1):
        for no in range(electorate + 1 - yes):
            for abstain in range(electorate + 1 - yes - no):
                yield yes, no, abstain


def closed(electorate: int, yes: int, no: int, abstain: int) -> TallyOutcome:
    return tally(electorate=electorate, yes=yes, no=no, abstain=abstain, is_closed=True)


def continuations(electorate: int, yes: int, no: int, abstain: int) -> set[TallyOutcome]:
    left = electorate - yes - no - abstain
    return {closed(electorate, yes + y, no + n, abstain + a) for y, n, a in states(left)}


@pytest.mark.parametrize("electorate", range(9))
def test_an_early_decision_is_made_exactly_when_no_continuation_contradicts_it(electorate):
    for yes, no, abstain in states(electorate):
        early = tally(electorate=electorate, yes=yes, no=no, abstain=abstain, is_closed=False)
        reachable = continuations(electorate, yes, no, abstain)
        if early is PASSED:
            assert reachable == {PASSED}
        elif early is REJECTED:
            assert PASSED not in reachable
        else:
            assert early is OPEN
            assert PASSED in reachable


@pytest.mark.parametrize("electorate", range(9))
def test_one_more_for_never_hurts_at_the_deadline(electorate):
    for yes, no, abstain in states(electorate):
        if yes + no + abstain < electorate and closed(electorate, yes, no, abstain) is PASSED:
            assert closed(electorate, yes + 1, no, abstain) is PASSED


def test_the_no_show_paradox_remains_in_exactly_21_states():
    paradoxes = [
        (electorate, yes, no, abstain)
        for electorate in range(9)
        for yes, no, abstain in states(electorate)
        if yes + no + abstain < electorate
        and closed(electorate, yes, no, abstain) is not PASSED
        and closed(electorate, yes, no + 1, abstain) is PASSED
    ]
    assert len(paradoxes) == 21
    assert {(yes, no) for _, yes, no, _ in paradoxes} == {(2, 0)}


def test_integers_stay_exact_where_floats_do_not():
    electorate = 100 * 10**17
    yes = 51 * 10**17
    assert closed(electorate, yes, electorate - yes, 0) is PASSED
    assert closed(electorate, yes - 1, electorate - yes + 1, 0) is REJECTED


def test_another_rule_is_obeyed():
    counts = {"electorate": 9, "yes": 5, "no": 4, "abstain": 0, "is_closed": True}
    assert tally(**counts, threshold_percent=60) is REJECTED
    assert tally(**counts, threshold_percent=55) is PASSED
    assert tally(**counts, minimum_ballots=10) is INQUORATE


@pytest.mark.parametrize(
    "change",
    [
        {"electorate": -1},
        {"yes": -1},
        {"no": 7},
        {"abstain": 3},
        {"threshold_percent": 0},
        {"threshold_percent": 101},
        {"minimum_ballots": 0},
    ],
)
def test_impossible_counts_are_refused(change):
    counts = {"electorate": 6, "yes": 3, "no": 1, "abstain": 0, "is_closed": True}
    with pytest.raises(ValueError, match=r"must|exceed"):
        tally(**(counts | change))


def test_a_swing_is_a_first_valid_vote_or_another_result():
    assert swing((1, 1), (2, 1)) is Swing.QUORUM
    assert swing((2, 0), (2, 1)) is Swing.QUORUM
    assert swing((2, 2), (3, 2)) is Swing.FLIP
    assert swing((2, 1), (2, 2)) is Swing.FLIP
    assert swing((3, 1), (3, 2)) is None
    assert swing((1, 0), (1, 1)) is None


def test_the_last_quarter_and_what_it_extends_to_are_exact():
    assert [is_late(at, 100, 500) for at in (399, 400, 499)] == [False, True, True]
    for at in range(400, 500):
        assert extension(at, 100, 500) == at + 100
    assert extension(402, 100, 503) == max(503, 402 + 403 // 4)
