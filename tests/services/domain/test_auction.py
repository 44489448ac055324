"""The award rule: order and claims change nothing, and the truth is about the best ask."""

import inspect
import random
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain import auction
from services.domain.auction import SealedBid, decide_award, draw_theta, expected_rate, score_of

VALUE, STAKE = 1_000_000, 50_000
ROUNDS = 600

weights = st.floats(0, 80, allow_nan=False)


@st.composite
def bid_lists(draw, least=1):
    asks = draw(st.lists(st.integers(1, VALUE), min_size=least, max_size=8))
    return [
        SealedBid(number + 1, ask, s, f, s + draw(weights), f + draw(weights))
        for number, ask in enumerate(asks)
        for s, f in [(draw(weights), draw(weights))]
    ]


def decide(bids, seed="s", *, value=VALUE, stake=STAKE, cooling=4.0):
    return decide_award(bids, value_microcredits=value, stake_microcredits=stake, seed=seed, cooling=cooling)


def newcomer(agent_id, ask):
    return SealedBid(agent_id, ask, 0, 0, 0, 0)


def proven(agent_id, ask, successes, failures):
    return SealedBid(agent_id, ask, successes, failures, successes, failures)


check = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@check
@given(bid_lists(), st.text(max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_bids_changes_nothing(bids, seed, rng):
    shuffled = list(bids)
    rng.shuffle(shuffled)
    assert decide(shuffled, seed) == decide(bids, seed)


@check
@given(bid_lists(), st.text(max_size=8))
def test_the_winner_is_paid_at_least_its_ask_and_at_most_the_reserve(bids, seed):
    decision = decide(bids, seed)
    ask = next(bid.ask_microcredits for bid in bids if bid.agent_id == decision.agent_id)
    assert ask <= decision.price_microcredits <= VALUE
    assert decision.stake_microcredits == STAKE


@check
@given(bid_lists(), st.text(max_size=8), st.data())
def test_a_lower_ask_never_loses_what_a_higher_ask_wins(bids, seed, data):
    before = decide(bids, seed)
    position = next(n for n, bid in enumerate(bids) if bid.agent_id == before.agent_id)
    lower = data.draw(st.integers(1, bids[position].ask_microcredits))
    changed = [*bids]
    changed[position] = replace(bids[position], ask_microcredits=lower)
    after = decide(changed, seed)
    assert after.agent_id == before.agent_id
    assert before.price_microcredits - 1 <= after.price_microcredits <= before.price_microcredits


@check
@given(bid_lists(least=2), st.text(max_size=8))
def test_the_price_is_the_highest_ask_that_still_wins(bids, seed):
    decision = decide(bids, seed)
    price = decision.price_microcredits

    def winner_at(ask):
        asked = [replace(b, ask_microcredits=ask) if b.agent_id == decision.agent_id else b for b in bids]
        return decide(asked, seed).agent_id

    ask = next(bid.ask_microcredits for bid in bids if bid.agent_id == decision.agent_id)
    if price - 1 >= ask:
        assert winner_at(price - 1) == decision.agent_id
    if price + 2 <= VALUE:
        assert winner_at(price + 2) != decision.agent_id


def test_the_highest_score_wins_and_every_draw_is_kept():
    bids = [proven(1, 500_000, 30, 2), proven(2, 300_000, 4, 20), newcomer(3, 400_000)]
    decision = decide(bids)
    best = max(decision.thetas, key=lambda row: row[2])
    assert best[0] == decision.agent_id
    for bid, (agent_id, theta, score) in zip(bids, decision.thetas, strict=True):
        assert agent_id == bid.agent_id
        assert theta == draw_theta(bid, "s", 4.0)
        assert score == pytest.approx(theta * (VALUE - bid.ask_microcredits + STAKE) - STAKE)


def test_a_lone_bid_is_paid_the_reserve_and_no_bid_is_no_award():
    assert decide([newcomer(1, 400_000)]).price_microcredits == VALUE
    assert decide([]) is None
    assert decide([newcomer(1, VALUE + 1)]) is None


def test_a_tie_goes_to_the_lower_ask_and_then_to_the_older_agent(monkeypatch):
    monkeypatch.setattr(auction, "draw_theta", lambda *_: 0.0)  # certain to fail: every ask scores the same
    assert decide([newcomer(2, 400_000), newcomer(1, 400_000)]).agent_id == 1
    assert decide([newcomer(2, 300_000), newcomer(1, 400_000)]).agent_id == 2


def test_claimed_confidence_cannot_enter():
    names = {field.name for field in fields(SealedBid)} | set(inspect.signature(decide_award).parameters)
    assert not [name for name in names if "confidence" in name or "claim" in name or "placed" in name]


def test_records_are_shrunk_from_type_to_agent_to_entrant():
    assert expected_rate(newcomer(1, 1)) == pytest.approx((0.7, 6.0))
    elsewhere = SealedBid(1, 1, 0, 0, 40, 0)
    here = SealedBid(1, 1, 40, 0, 40, 0)
    assert 0.7 < expected_rate(elsewhere)[0] < expected_rate(here)[0] < 1
    assert expected_rate(here)[1] == 46


def test_the_draw_is_narrower_when_cooled_and_with_more_record():
    def spread(bid, cooling):
        drawn = [draw_theta(bid, str(number), cooling) for number in range(400)]
        return max(drawn) - min(drawn)

    assert spread(newcomer(1, 1), 16) < spread(newcomer(1, 1), 1)
    assert spread(proven(1, 1, 70, 30), 4) < spread(newcomer(1, 1), 4)


def test_a_failing_agent_does_not_win_by_price_alone():
    good, bad = proven(1, 700_000, 50, 2), proven(2, 50_000, 3, 40)
    wins = sum(decide([good, bad], str(seed)).agent_id == 1 for seed in range(200))
    assert wins > 190


def test_a_newcomer_gets_a_chance_beside_a_middling_agent():
    wins = sum(
        decide([proven(1, 500_000, 35, 15), newcomer(2, 500_000)], str(n)).agent_id == 2 for n in range(200)
    )
    assert 10 < wins < 190


def profit_of(factor):
    """Return the mean profit of an agent that asks `factor` times the pay at which it breaks even."""
    rng = random.Random(11)
    total = 0.0
    for number in range(ROUNDS):
        skill, cost = 0.9, rng.uniform(200_000, 600_000)
        even = (cost + (1 - skill) * STAKE) / skill
        ask = min(VALUE, max(1, int(even * factor)))
        rivals = [proven(n, int(rng.uniform(350_000, 900_000)), 45, 5) for n in (2, 3, 4)]
        decision = decide([proven(1, ask, 45, 5), *rivals], str(number))
        if decision.agent_id == 1:
            total += skill * decision.price_microcredits - (1 - skill) * STAKE - cost
    return total / ROUNDS


def test_asking_what_the_work_costs_is_about_the_best():
    truthful = profit_of(1.0)
    assert truthful > 0
    others = {factor: profit_of(factor) / truthful for factor in (0.5, 0.7, 1.15, 1.3, 1.6)}
    assert max(others.values()) <= 1.02, others
    assert others[1.6] < 0.8, others
    assert others[0.5] < 0.9, others


def test_the_score_falls_in_the_ask_and_rises_in_the_rate():
    assert score_of(0.8, 400_000, VALUE, STAKE) > score_of(0.8, 500_000, VALUE, STAKE)
    assert score_of(0.9, 400_000, VALUE, STAKE) > score_of(0.8, 400_000, VALUE, STAKE)
    assert score_of(0.0, 1, VALUE, STAKE) == -STAKE
