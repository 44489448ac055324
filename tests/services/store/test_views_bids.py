"""An agent's own bids: every reason of a loss by its code, and nothing that belongs to others."""

import json

import pytest

from services.domain.lost_bids import BidReason, BidState, bidders, scored, why_lost
from services.domain.states import TaskState
from services.operations import accounts, standing
from services.store import sql, tables, views


@pytest.fixture
def rival(market):
    """A second worker."""
    return market.agent()


def bids_of(market, agent_id, **asked):
    with market.read() as tx:
        return views.list_bids(tx, agent_id=agent_id, **asked)["items"]


def bid_in(tx, agent_id, task_id):
    (found,) = [
        item for item in views.list_bids(tx, agent_id=agent_id)["items"] if item["task_id"] == task_id
    ]
    return found


def bid_of(market, agent_id, task_id):
    with market.read() as tx:
        return bid_in(tx, agent_id, task_id)


def told(item):
    return item["state"], item["reason"] and item["reason"]["code"]


def contested(market, requester, worker, rival, asks=(400_000, 900_000)):
    """Return (task, winner, loser) of a task that both bid on, by any draw."""
    task_id = market.post(requester)
    market.bid(worker, task_id, asks[0])
    market.bid(rival, task_id, asks[1])
    market.close_windows()
    winner = market.task(task_id)["awarded_agent_id"]
    return task_id, winner, rival if winner == worker else worker


def test_while_the_window_is_open_nothing_is_told_of_others(market, requester, worker, rival):
    task_id = market.post(requester)
    market.bid(worker, task_id, 400_001, 90)
    market.bid(rival, task_id, 700_003)
    mine = bid_of(market, worker, task_id)
    assert told(mine) == ("open", "window_open")
    assert mine["bids_close_at"] in mine["reason"]["sentence"]
    assert (mine["ask_microcredits"], mine["confidence_percent"]) == (400_001, 90)
    assert (mine["bidders"], mine["winner"], mine["score"], mine["theta"]) == (None, None, None, None)
    assert "700003" not in json.dumps(mine)
    market.pass_seconds(301)
    assert told(bid_of(market, worker, task_id)) == ("open", "award_pending")


def test_a_lost_bid_says_by_how_much_and_to_whom_but_not_the_others_ask(market, requester, worker, rival):
    task_id, winner, loser = contested(market, requester, worker, rival, asks=(400_001, 910_007))
    lost, won = bid_of(market, loser, task_id), bid_of(market, winner, task_id)
    assert told(lost) == ("lost", "outscored")
    assert told(won) == ("won", None)
    assert lost["bidders"] == won["bidders"] == 2
    assert lost["winner"]["agent_id"] == winner
    assert lost["winner"]["score"] == won["score"] > lost["score"]
    assert 0 < lost["theta"] < 1
    with market.read() as tx:
        (award,) = views.get_task(tx, task_id)["awards"]
    assert lost["winner"]["price_microcredits"] == award["price_microcredits"]
    asks = {worker: "400001", rival: "910007"}
    assert asks[winner] not in json.dumps(lost).replace(str(award["price_microcredits"]), "")
    assert "credits against your" in lost["reason"]["sentence"]


def test_suspended_short_of_stake_and_cancelled_each_have_their_code(market, requester, worker, rival):
    task_id = market.post(requester)
    for agent_id in (worker, rival, third := market.agent()):
        market.bid(agent_id, task_id)
    with market.write("operator") as tx:
        standing.suspend(tx, worker, reason="it copies")
        accounts.move(
            tx,
            kind="fine",
            debit=accounts.agent_account(rival),
            credit=accounts.TREASURY,
            amount_microcredits=accounts.balance_microcredits(tx, accounts.agent_account(rival)),
        )
    market.close_windows()
    assert told(bid_of(market, third, task_id)) == ("won", None)
    assert told(bid_of(market, worker, task_id)) == ("lost", "suspended")
    short = bid_of(market, rival, task_id)
    assert told(short) == ("lost", "stake_short")
    assert "0.2 credits" in short["reason"]["sentence"]
    assert short["bidders"] == 3
    other = market.post(requester)
    market.bid(third, other)
    market.cancel(other, requester)
    assert told(bid_of(market, third, other)) == ("closed_without_award", "task_cancelled")


def test_a_bid_that_could_never_win_expires_with_its_task(market, requester, worker):
    task_id = market.post(requester, deadline_us=400 * 1_000_000)
    market.bid(worker, task_id)
    with market.write("operator") as tx:
        standing.suspend(tx, worker, reason="it copies")
    market.close_windows()
    assert market.task(task_id)["state"] == "expired"
    assert told(bid_of(market, worker, task_id)) == ("closed_without_award", "task_expired")


def test_whoever_let_a_lease_lapse_reads_that_it_had_its_try(market, requester, worker, rival):
    task_id, first, second = contested(market, requester, worker, rival)
    market.pass_seconds(3_600)
    market.expire()
    if market.task(task_id)["state"] == "bidding":
        sealed = bid_of(market, second, task_id)
        assert told(sealed)[0] == "open"
        assert sealed["winner"] is None
        market.award()
    assert market.task(task_id)["awarded_agent_id"] == second
    assert told(bid_of(market, second, task_id)) == ("won", None)
    lapsed = bid_of(market, first, task_id)
    assert told(lapsed) == ("won", "tried_before")
    assert "tries a task twice" in lapsed["reason"]["sentence"]


def test_states_filter_and_pages_follow_each_other(market, requester, worker, rival):
    decided = [contested(market, requester, worker, rival)[0] for _ in range(3)]
    cancelled = market.post(requester)
    market.bid(worker, cancelled)
    market.cancel(cancelled, requester)
    open_ = market.post(requester)
    market.bid(worker, open_)
    everything = bids_of(market, worker)
    assert [item["task_id"] for item in everything] == [open_, cancelled, *reversed(decided)]
    for state in BidState:
        only = bids_of(market, worker, state=state)
        assert only == [item for item in everything if item["state"] == state]
    with market.read() as tx:
        first = views.list_bids(tx, agent_id=worker, limit=2)
        rest = views.list_bids(tx, agent_id=worker, limit=9, cursor=first["next_cursor"])
    assert first["items"] + rest["items"] == everything
    assert rest["next_cursor"] is None
    assert bids_of(market, requester) == []


def test_a_task_that_takes_bids_again_seals_what_its_awards_told(market, requester, worker, rival):
    task_id, first, second = contested(market, requester, worker, rival)
    market.lease(first, task_id)
    with market.read() as tx:
        before = views.get_task(tx, task_id)
    assert before["awards"][0]["inputs"]["bids"]
    with market.write() as tx:
        closes = tx.now_us + 1_000_000
        sql.update(tx, tables.task, {"id": task_id}, state=TaskState.BIDDING, bids_close_at_us=closes)
        shown = views.get_task(tx, task_id)
        own = bid_in(tx, first, task_id), bid_in(tx, second, task_id)
    assert shown["bids"] == []
    assert (shown["awards"][0]["inputs"], shown["awards"][0]["price_microcredits"]) == (None, None)
    assert (told(own[0])[0], told(own[1])) == ("won", ("open", "window_open"))
    assert own[1]["winner"] is None


INPUTS = {
    "entry_jobs": 5,
    "is_entry_full": True,
    "bids": [
        {"agent_id": 1, "theta": 0.0, "score": -50_000.0},
        {"agent_id": 2, "theta": 0.7, "score": 90_000.0},
    ],
    "excluded": [{"agent_id": 3, "reason": "tried"}],
}


@pytest.mark.parametrize(
    ("agent_id", "code", "words"),
    [
        (1, BidReason.ENTRY_GUARD, "fewer than 5 jobs"),
        (3, BidReason.TRIED_BEFORE, "tries a task twice"),
        (4, BidReason.NOT_CONSIDERED, "came after the award"),
    ],
)
def test_reasons_are_read_from_the_recorded_inputs(agent_id, code, words):
    found, sentence = why_lost(
        INPUTS, agent_id=agent_id, winner_id=2, stake_microcredits=50_000, rule="the-rule"
    )
    assert found is code
    assert words in sentence


def test_awards_of_an_earlier_form_still_give_a_reason():
    old = {"bids": [{"agent_id": 1}, {"agent_id": 2}]}
    assert why_lost(old, agent_id=1, winner_id=2, stake_microcredits=0, rule="old") == (
        BidReason.OUTSCORED, "Another bid came first under the rule old.",
    )  # fmt: skip
    assert bidders(old) == 2
    assert bidders({}) == 0
    assert (scored({}, 1).theta, scored({}, 1).score) == (None, None)
