"""Replaying an award: what was decided comes out again, and whatever was changed afterwards is named."""

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.auction import AwardRule, AwardTerms, SealedBid, decide_award
from services.domain.award_replay import (
    EARLIER_RULE,
    PlacedBid,
    RecordedAward,
    ReplaySources,
    outcome_mark,
    outcome_of,
    replay_award,
)
from services.domain.reputation import Outcome, Record, StandingRules, refold
from services.domain.states import OutcomeKind, Standing

TYPE = "summarise"
RULES = StandingRules(12, 2, 5)
VALUE, STAKE = 1_000_000, 50_000
AT = 1_000
SETTINGS = {
    "market.cooling": ["4"],
    "market.guard_quantile": ["0.1"],
    "market.entry_jobs": ["5"],
    "market.entry_percent": ["10"],
    "market.counterparty_jobs": ["2"],
    "market.crash_limit": ["12"],
    "market.stake_percent": ["5"],
}

outcomes = st.builds(
    Outcome,
    st.sampled_from([OutcomeKind.VERIFIED, OutcomeKind.FAILED, OutcomeKind.CRASHED]),
    st.sampled_from([TYPE, "classify"]),
    st.sampled_from([None, 7]),
    st.just(None),
)
check = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def inputs_of(sealed, decision, terms, excluded):
    """Return what the market records of an award besides its row."""
    drawn = {draw.agent_id: draw for draw in decision.draws}
    return {
        "rule": int(terms.rule),
        "value_microcredits": terms.value_microcredits,
        "cooling": terms.cooling,
        "quantile": terms.quantile,
        "entrant_rate": terms.entrant_rate,
        "entry_jobs": terms.entry_jobs,
        "is_entry_full": terms.is_entry_full,
        "outcome_mark": 99,
        "counterparty_jobs": RULES.counterparty_jobs,
        "bids": [
            {
                **{name: getattr(bid, name) for name in SealedBid.__slots__},
                "theta": drawn[bid.agent_id].theta,
                "score": drawn[bid.agent_id].score,
            }
            for bid in sealed
        ],
        "excluded": excluded,
    }


def recorded(asks, histories, *, rule=AwardRule.COOLED, tried=(), poor=(), is_entry_full=False, seed="5eed"):
    """Return the sources of an award decided and recorded as the market does it; None without a winner."""
    states = {agent: refold(history, RULES, is_vouched=False) for agent, history in histories.items()}
    excluded, sealed = [], []
    for agent, ask in asks.items():
        state = states[agent]
        record = state.records.get(TYPE, Record())
        reason = (
            "suspended"
            if state.standing is Standing.SUSPENDED
            else "tried"
            if agent in tried
            else "stake_short"
            if agent in poor
            else None
        )
        if reason:
            excluded.append({"agent_id": agent, "reason": reason})
            continue
        weights = (record.success_weight, record.failure_weight, state.success_weight, state.failure_weight)
        sealed.append(SealedBid(agent, agent + 100, ask, *weights, state.settled_jobs))
    terms = AwardTerms(rule, VALUE, STAKE, seed, 4.0, 0.1, 0.4, 5, is_entry_full)
    decision = decide_award(sealed, terms)
    if decision is None:
        return None
    inputs = inputs_of(sealed, decision, terms, excluded)
    award = RecordedAward(
        task_id=1,
        task_type=TYPE,
        attempt_number=1,
        agent_id=decision.agent_id,
        rule=rule.label,
        seed=seed,
        price_microcredits=decision.price_microcredits,
        stake_microcredits=STAKE,
        is_unproven=decision.is_unproven,
        awarded_at_us=AT,
        value_microcredits=VALUE,
        escrow_microcredits=STAKE,
        rule_fixed=int(rule),
        inputs=json.loads(json.dumps(inputs)),
    )
    bids = [PlacedBid(agent + 100, agent, ask, AT - 1) for agent, ask in asks.items()]
    return ReplaySources(award, bids, histories, frozenset(), frozenset(tried), SETTINGS)


def work(verified, failed, *, kind=TYPE):
    return [Outcome(OutcomeKind.VERIFIED, kind)] * verified + [Outcome(OutcomeKind.FAILED, kind)] * failed


@pytest.fixture
def sources():
    histories = {1: work(30, 2), 2: work(10, 3), 3: [], 4: work(0, 20), 5: work(9, 1)}
    asks = {1: 500_000, 2: 450_000, 3: 400_000, 4: 100_000, 5: 300_000}
    return recorded(asks, histories, tried=(5,))


def with_award(sources, **changes):
    return replace(sources, award=replace(sources.award, **changes))


def with_inputs(sources, **changes):
    return with_award(sources, inputs={**sources.award.inputs, **changes})


def with_input_bid(sources, agent, **changes):
    bids = [
        {**item, **(changes if item["agent_id"] == agent else {})} for item in sources.award.inputs["bids"]
    ]
    return with_inputs(sources, bids=bids)


def said(sources):
    return {difference.what for difference in replay_award(sources).differences}


@check
@given(
    st.dictionaries(st.integers(1, 6), st.integers(1, VALUE), min_size=1),
    st.lists(st.lists(outcomes, max_size=40), min_size=6, max_size=6),
    st.sampled_from(list(AwardRule)),
    st.sets(st.integers(1, 6), max_size=2),
    st.booleans(),
)
def test_what_was_recorded_comes_out_again(asks, histories, rule, tried, is_entry_full):
    known = dict(enumerate(histories, start=1))
    sources = recorded(asks, known, rule=rule, tried=tried, is_entry_full=is_entry_full)
    if sources is not None:
        found = replay_award(sources)
        assert found.is_confirmed, found
        assert found.decision.agent_id == sources.award.agent_id


def test_suspended_and_tried_bidders_are_left_out_again(sources):
    assert {item["agent_id"]: item["reason"] for item in sources.award.inputs["excluded"]} == {
        4: "suspended",
        5: "tried",
    }
    assert replay_award(sources).is_confirmed


def test_another_winner_or_price_is_named(sources):
    loser = next(agent for agent in (1, 2, 3) if agent != sources.award.agent_id)
    assert said(with_award(sources, agent_id=loser)) == {"winner"}
    price = sources.award.price_microcredits
    (difference,) = replay_award(with_award(sources, price_microcredits=price + 1)).differences
    assert str(difference) == f"price: recorded {price + 1}, recomputed {price}"
    assert said(with_award(sources, is_unproven=not sources.award.is_unproven)) == {"winner is unproven"}


def test_another_seed_gives_other_draws(sources):
    assert {"draw of agent 1", "draw of agent 2", "draw of agent 3"} <= said(
        with_award(sources, seed="other")
    )


def test_a_changed_ask_is_named(sources):
    bids = [replace(bid, ask_microcredits=1) if bid.agent_id == 2 else bid for bid in sources.bids]
    assert {"ask of agent 2", "score of agent 2"} <= said(replace(sources, bids=bids))


def test_a_record_that_does_not_follow_from_the_outcomes_is_named(sources):
    assert said(with_input_bid(sources, 2, type_successes=40.0)) == {
        "record of agent 2: successes at this type"
    }
    changed = replace(sources, outcomes={**sources.outcomes, 2: work(11, 3)})
    assert {"record of agent 2: jobs", "record of agent 2: successes in all"} <= said(changed)


def test_a_bid_that_was_passed_over_in_silence_is_named(sources):
    kept = [item for item in sources.award.inputs["bids"] if item["agent_id"] != 1]
    found = replay_award(with_inputs(sources, bids=kept)).differences
    assert [str(one) for one in found] == ["missing bid of agent 1: recorded missing, recomputed judged"]


def test_a_bid_that_nobody_placed_is_named(sources):
    bids = [bid for bid in sources.bids if bid.agent_id != 3]
    assert "bid of agent 3" in said(replace(sources, bids=bids))


def test_a_bid_placed_after_the_award_belongs_to_a_later_one(sources):
    later = PlacedBid(900, 9, 1, AT)
    assert replay_award(replace(sources, bids=[*sources.bids, later])).is_confirmed
    assert said(replace(sources, bids=[*sources.bids, replace(later, placed_at_us=AT - 1)])) >= {
        "missing bid of agent 9"
    }


@pytest.mark.parametrize("reason", ["suspended", "tried", "because"])
def test_an_exclusion_without_ground_is_named(sources, reason):
    excluded = [*sources.award.inputs["excluded"], {"agent_id": 1, "reason": reason}]
    kept = [item for item in sources.award.inputs["bids"] if item["agent_id"] != 1]
    found = replay_award(with_inputs(sources, bids=kept, excluded=excluded)).differences
    assert str(found[0]) == f"bid of agent 1: recorded {reason}, recomputed judged"


def test_a_suspended_or_tried_bidder_that_was_judged_is_named(sources):
    suspended = replace(sources, outcomes={**sources.outcomes, 1: work(0, 20)})
    assert "bid of agent 1" in said(suspended)
    assert "bid of agent 2" in said(replace(sources, tried=frozenset({2, 5})))


def test_a_short_stake_is_taken_as_recorded_unless_the_balance_is_known():
    asks, histories = {1: 500_000, 2: 400_000}, {1: work(9, 1), 2: work(9, 1)}
    sources = recorded(asks, histories, poor=(2,))
    assert replay_award(sources).is_confirmed
    assert replay_award(replace(sources, balances={1: STAKE, 2: STAKE - 1})).is_confirmed
    assert "bid of agent 2" in said(replace(sources, balances={1: STAKE, 2: STAKE}))
    assert "bid of agent 1" in said(replace(sources, balances={1: STAKE - 1, 2: 0}))


def test_terms_that_are_not_those_of_the_records_are_named(sources):
    assert said(with_award(sources, rule="lowest-price")) == {"rule"}
    assert said(with_award(sources, escrow_microcredits=STAKE - 1)) == {"stake in escrow"}
    assert said(with_award(sources, rule_fixed=1)) == {"rule in force for the task"}
    assert "reserve price" in said(with_award(sources, value_microcredits=VALUE + 1))
    assert "entry full" in said(replace(sources, newest_unproven=[True] * 10 + [False] * 90))
    assert replay_award(replace(sources, newest_unproven=[True] * 9 + [False] * 91 + [True])).is_confirmed
    assert "entrant rate" in said(replace(sources, entrant_outcomes=[True, False]))


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("market.cooling", "8", "market.cooling"),
        ("market.guard_quantile", "0.2", "market.guard_quantile"),
        ("market.entry_jobs", "6", "market.entry_jobs"),
        ("market.counterparty_jobs", "3", "market.counterparty_jobs"),
        ("market.stake_percent", "6", "stake"),
    ],
)
def test_a_setting_that_was_not_in_force_is_named(sources, name, value, named):
    assert said(replace(sources, settings={**SETTINGS, name: [value]})) == {named}
    assert replay_award(replace(sources, settings={**SETTINGS, name: [value, *SETTINGS[name]]})).is_confirmed
    assert replay_award(replace(sources, settings={})).is_confirmed


def test_the_limit_of_crashes_decides_who_was_suspended(sources):
    crashes = [Outcome(OutcomeKind.CRASHED, TYPE)] * 3
    outcomes = {**sources.outcomes, 1: [*work(30, 2), *crashes]}
    assert "bid of agent 1" not in said(replace(sources, outcomes=outcomes))
    strict = {**SETTINGS, "market.crash_limit": ["3"]}
    assert "bid of agent 1" in said(replace(sources, outcomes=outcomes, settings=strict))


def test_the_learned_entrant_rate_is_folded_anew(sources):
    rate = (1 * 0.995 + 1) / (2 * 0.995 + 1)
    told = with_inputs(sources, entrant_rate=rate)
    assert "entrant rate" not in said(replace(told, entrant_outcomes=[True]))


def test_an_award_of_an_earlier_rule_is_not_compared(sources):
    earlier = {"cooling": 4.0, "bids": [{"agent_id": 1, "ask_microcredits": 5, "theta": 0.5, "score": 1.0}]}
    found = replay_award(with_award(sources, rule="cooled-thompson-second-score", inputs=earlier))
    assert (found.problem, found.differences, found.is_confirmed) == (EARLIER_RULE, (), False)
    assert outcome_mark(earlier) is None
    assert outcome_mark(sources.award.inputs) == 99


@pytest.mark.parametrize(
    "damage",
    [
        {"rule": 17},
        {"rule": "cooled"},
        {"bids": [{}]},
        {"bids": None},
        {"bids": ["text"]},
        {"excluded": [1]},
        {"cooling": float("nan")},
        {"entrant_rate": 1.0},
        {"entry_jobs": float("inf")},
    ],
)
def test_damaged_inputs_are_said_and_not_raised(sources, damage):
    found = replay_award(with_inputs(sources, **damage))
    assert found.problem.startswith("the recorded inputs cannot be read: ")
    assert not found.is_confirmed


@pytest.mark.parametrize("name", ["value_microcredits", "counterparty_jobs", "excluded", "quantile"])
def test_missing_inputs_are_said_and_not_raised(sources, name):
    inputs = copy.deepcopy(dict(sources.award.inputs))
    del inputs[name]
    assert name in replay_award(with_award(sources, inputs=inputs)).problem


def test_no_bid_left_is_said(sources):
    assert "winner" in said(replace(sources, bids=[]))


def test_an_outcome_is_read_from_its_row():
    row = {"kind": "crashed", "task_type": TYPE, "requester_id": 7, "confidence_percent": 90, "id": 3}
    assert outcome_of(row) == Outcome(OutcomeKind.CRASHED, TYPE, 7, 90)
