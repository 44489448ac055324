"""Awards: recomputable by anyone from what was recorded, in any order of bids, with the stake put up."""

import pytest

from services import meta_task_market
from services.domain.auction import AwardRule, AwardTerms, SealedBid, decide_award
from services.domain.events import EventType
from services.domain.states import EndReason, Standing, TaskState
from services.store import sql, tables
from tests.plugins.platforms import RESERVE, WINDOW_SECONDS

GRANT = 100_000_000_000
STAKE = RESERVE * 20 // 100


def recompute(award):
    """Decide an award again from its own record, as any outsider can."""
    bids = [
        SealedBid(**{name: value for name, value in bid.items() if name not in ("theta", "score")})
        for bid in award["inputs"]["bids"]
    ]
    inputs = award["inputs"]
    terms = AwardTerms(
        rule=AwardRule(inputs["rule"]),
        value_microcredits=RESERVE,
        stake_microcredits=award["stake_microcredits"],
        seed=award["seed"],
        **{
            name: inputs[name]
            for name in ("cooling", "quantile", "entrant_rate", "entry_jobs", "is_entry_full")
        },
    )
    return decide_award(bids, terms)


def test_the_best_bid_wins_and_puts_up_its_stake(market, requester):
    bidders = [market.agent() for _ in range(4)]
    task_id = market.post(requester)
    for number, agent_id in enumerate(bidders):
        market.bid(agent_id, task_id, 300_000 + 100_000 * number)
    assert market.close_windows() == {"awarded": 1, "without_bids": 0}

    award, task = market.row(tables.award, task_id=task_id), market.task(task_id)
    assert (task["state"], task["awarded_agent_id"], task["attempt_count"]) == (
        TaskState.AWARDED,
        award["agent_id"],
        1,
    )
    assert award["stake_microcredits"] == STAKE
    assert market.balance(award["agent_id"]) == GRANT - STAKE
    again = recompute(award)
    assert (again.agent_id, again.price_microcredits) == (award["agent_id"], award["price_microcredits"])
    drawn = {bid["agent_id"]: (bid["theta"], bid["score"]) for bid in award["inputs"]["bids"]}
    assert drawn == {agent_id: (theta, score) for agent_id, theta, score in again.draws}
    assert set(drawn) == set(bidders)


def test_records_enter_the_award(market, requester):
    good, bad = market.agent(), market.agent()
    for _ in range(3):
        market.done(requester, good)
        market.done(requester, bad, is_good=False)
    task_id = market.post(requester)
    for agent_id in (good, bad):
        market.bid(agent_id, task_id)
    market.close_windows()
    seen = {bid["agent_id"]: bid for bid in market.row(tables.award, task_id=task_id)["inputs"]["bids"]}
    assert seen[good]["type_successes"] == seen[good]["all_successes"] == pytest.approx(2.966, abs=0.001)
    assert (seen[good]["type_failures"], seen[bad]["type_successes"]) == (0, 0)


@pytest.mark.parametrize("byte", [1, 2, 3])
def test_the_order_in_which_bids_came_changes_nothing(market, requester, byte):
    bidders = [market.agent() for _ in range(4)]
    tasks = []
    for order in ((0, 1, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)):
        tasks.append(market.post(requester))
        for position in order:
            market.bid(bidders[position], tasks[-1], 400_000 + 20_000 * position)
    market.pass_seconds(WINDOW_SECONDS)
    with market.write() as tx:
        meta_task_market.award_due(tx, lambda size: bytes([byte]) * size)
    awards = [market.row(tables.award, task_id=task_id) for task_id in tasks]
    assert len({(award["agent_id"], award["price_microcredits"]) for award in awards}) == 1


def test_claimed_confidence_changes_nothing(market, requester):
    first, second = market.agent(), market.agent()
    outcomes = []
    for confidences in ((0, 100), (100, 0)):
        task_id = market.post(requester)
        for agent_id, confidence in zip((first, second), confidences, strict=True):
            market.bid(agent_id, task_id, 500_000, confidence)
        market.pass_seconds(WINDOW_SECONDS)
        with market.write() as tx:
            meta_task_market.award_due(tx, lambda size: b"\x01" * size)
        outcomes.append(market.row(tables.award, task_id=task_id)["agent_id"])
    assert outcomes[0] == outcomes[1]


def test_before_the_window_closes_nothing_is_awarded(market, requester, worker):
    task_id = market.post(requester)
    market.bid(worker, task_id)
    market.pass_seconds(WINDOW_SECONDS - 0.000_001)
    assert market.award() == {"awarded": 0, "without_bids": 0}
    market.pass_seconds(0.000_001)
    assert market.award() == {"awarded": 1, "without_bids": 0}
    assert market.award() == {"awarded": 0, "without_bids": 0}


def test_the_award_is_said(market, requester, worker):
    task_id = market.awarded(requester, worker)
    event = market.row(tables.event, type=EventType.TASK_AWARDED)
    assert event["payload"] == {"task_id": task_id, "agent_id": worker, "attempt_number": 1}


def test_nobody_bids_another_window_opens_until_the_deadline(market, requester):
    task_id = market.post(requester, deadline_us=700 * 1_000_000)
    assert market.close_windows() == {"awarded": 0, "without_bids": 1}
    assert market.task(task_id)["state"] == TaskState.BIDDING
    assert market.close_windows() == {"awarded": 0, "without_bids": 1}
    task = market.task(task_id)
    assert (task["state"], task["end_reason"]) == (TaskState.EXPIRED, EndReason.NO_BIDS)
    assert market.balance(requester) == GRANT


def test_a_late_bidder_gets_the_second_window(market, requester, worker):
    task_id = market.post(requester)
    market.close_windows()
    market.bid(worker, task_id)
    market.close_windows()
    assert market.task(task_id)["awarded_agent_id"] == worker


def test_after_the_deadline_nothing_is_awarded(market, requester, worker):
    """The award job may come after the deadline; it must not give out arms for a task that is over."""
    task_id = market.post(requester, deadline_us=400 * 1_000_000)
    market.bid(worker, task_id)
    market.pass_seconds(400)
    assert market.award() == {"awarded": 0, "without_bids": 0}
    assert market.expire() == {"lapsed": 0, "unclaimed": 0, "late": 1}
    task = market.task(task_id)
    assert (task["state"], task["end_reason"]) == (TaskState.EXPIRED, EndReason.DEADLINE_PASSED)


def test_a_bidder_suspended_meanwhile_does_not_win(market, requester, worker):
    other = market.agent()
    task_id = market.post(requester)
    market.bid(worker, task_id, 1)
    market.bid(other, task_id, RESERVE)
    with market.write() as tx:
        sql.update(tx, tables.agent, {"id": worker}, standing=Standing.SUSPENDED)
    market.close_windows()
    assert market.task(task_id)["awarded_agent_id"] == other


def test_who_cannot_put_up_the_stake_does_not_win(market, requester):
    poor = market.agent(is_vouched=False)
    task_id = market.post(requester, reserve_price_microcredits=4_000_000_000)
    market.bid(poor, task_id)
    assert market.close_windows() == {"awarded": 0, "without_bids": 1}
    assert market.balance(poor) == 100_000_000


def test_one_purse_does_not_back_two_stakes(market, requester):
    poor = market.agent(is_vouched=False)
    for _ in range(2):
        market.bid(poor, market.post(requester, reserve_price_microcredits=400_000_000))
    assert market.close_windows() == {"awarded": 1, "without_bids": 1}
    assert market.balance(poor) == 100_000_000 - 80_000_000
