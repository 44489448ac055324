"""Replays over a real platform: every award of a market at work comes out again; what is changed is named."""

import contextlib
import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.domain.auction import AwardRule
from services.domain.award_replay import EARLIER_RULE
from services.domain.errors import ConflictError, NacreError
from services.domain.states import ValueSource
from services.operations import accounts, production_config, standing
from services.store import sql, tables, views
from services.store.views import replays
from tests.plugins.platforms import RESERVE, TASK_TYPE

ROUNDS = 8


def replayed(market, task_id, **options):
    with market.read() as tx:
        return views.replay_task(tx, task_id, is_operator=True, **options)


def change(market, table, where, **values):
    with market.write() as tx:
        assert sql.update(tx, table, where, **values)


def worked_on(market, task_id, agent_id, *, is_good):
    market.submit(agent_id, task_id, market.lease(agent_id, task_id).fencing_token, is_good=is_good)
    market.deliver()


@pytest.fixture
def busy(market, requester):
    """A market with some history: five agents, one of them poor at it; return (agents, the awarded tasks)."""
    rng = random.Random(5)
    agents = [market.agent(is_vouched=number < 2) for number in range(5)]
    stranger = market.agent(is_vouched=False)
    tasks = []
    for _ in range(ROUNDS):
        posted = [market.post(who) for who in (requester, stranger)]
        for task_id in posted:
            for agent in agents:
                market.bid(agent, task_id, rng.randrange(200_000, 800_000), rng.choice([None, 60, 99]))
        market.close_windows()
        for task_id in posted:
            winner = market.task(task_id)["awarded_agent_id"]
            worked_on(market, task_id, winner, is_good=winner != agents[3] and rng.random() < 0.8)
        tasks += posted
    return agents, tasks


def test_every_award_of_a_market_at_work_comes_out_again(market, busy):
    _, tasks = busy
    winners = set()
    for task_id in tasks:
        found = replayed(market, task_id)
        (award,) = found["awards"]
        assert found["is_confirmed"], award["differences"]
        assert award["problem"] is None
        assert (
            award["recomputed"]["agent_id"] == award["agent_id"] == market.task(task_id)["awarded_agent_id"]
        )
        assert award["recomputed"]["price_microcredits"] == award["price_microcredits"]
        winners.add(award["agent_id"])
    assert len(winners) > 1


@pytest.mark.parametrize("rule", list(AwardRule))
def test_under_every_rule_the_award_comes_out_again(market, requester, rule):
    change(market, tables.parameter, {"name": f"{TASK_TYPE}.award_rule"}, value=str(int(rule)))
    task_id = market.post(requester)
    for number in range(4):
        market.bid(market.agent(), task_id, 300_000 + 50_000 * number)
    market.close_windows()
    (award,) = replayed(market, task_id)["awards"]
    assert award["rule"] == rule.label
    assert award["is_confirmed"], award["differences"]


def test_a_take_over_is_replayed_too_without_who_had_tried(market, requester):
    first, second = market.agent(), market.agent()
    task_id = market.post(requester)
    market.bid(first, task_id)
    market.bid(second, task_id)
    market.close_windows()
    market.pass_seconds(120)
    market.expire()
    found = replayed(market, task_id)
    assert [award["attempt_number"] for award in found["awards"]] == [1, 2]
    assert {award["agent_id"] for award in found["awards"]} == {first, second}
    assert found["is_confirmed"], [award["differences"] for award in found["awards"]]


def test_suspended_and_short_bidders_are_left_out_again(market, requester):
    suspended, short, able = market.agent(), market.agent(is_vouched=False), market.agent()
    task_id = market.post(requester)
    for agent in (suspended, short, able):
        market.bid(agent, task_id)
    everything = market.balance(short)
    with market.write("operator") as tx:
        standing.suspend(tx, suspended, reason="its results were copied")
        accounts.move(
            tx,
            kind="fee",
            debit=accounts.agent_account(short),
            credit=accounts.TREASURY,
            amount_microcredits=everything,
        )
    market.close_windows()
    (award,) = replayed(market, task_id)["awards"]
    inputs = market.row(tables.award, task_id=task_id)["inputs"]
    assert {one["agent_id"]: one["reason"] for one in inputs["excluded"]} == {
        suspended: "suspended",
        short: "stake_short",
    }
    assert award["is_confirmed"], award["differences"]


class UndoneError(Exception):
    """Ends a transaction so that nothing of it stays."""


def named_after(market, task_id, *acts):
    """Return what a replay names after these acts on the rows, which are undone again."""
    with contextlib.suppress(UndoneError), market.write() as tx:
        for act in acts:
            assert act(tx)
        (award,) = views.replay_task(tx, task_id, is_operator=True)["awards"]
        raise UndoneError
    return {one["what"] for one in award["differences"]}


def test_whatever_was_changed_afterwards_is_named(market, busy):
    agents, tasks = busy
    task_id = tasks[-1]
    trusted = market.rows(tables.agent_outcome, requester_id=None, kind="verified")
    agent = trusted[0]["agent_id"]
    winner = market.task(task_id)["awarded_agent_id"]
    loser = next(one for one in agents if one != winner)

    def changed(table, values, **where):
        return lambda tx: sql.update(tx, table, where, **values)

    def gone(table, condition):
        return lambda tx: tx.connection.execute(table.delete().where(condition)).rowcount

    award, bid, outcome = tables.award, tables.bid, tables.agent_outcome
    of_bid = (bid.c.task_id == task_id) & (bid.c.agent_id == agent)
    for act, named in (
        (changed(award, {"agent_id": loser}, task_id=task_id), {"winner"}),
        (changed(award, {"price_microcredits": 1}, task_id=task_id), {"price"}),
        (changed(award, {"seed": "00"}, task_id=task_id), {f"draw of agent {winner}"}),
        (changed(award, {"rule": "first-come"}, task_id=task_id), {"rule"}),
        (changed(award, {"stake_microcredits": 1}, task_id=task_id), {"stake", "stake in escrow"}),
        (changed(tables.parameter_change, {"value": "8"}, name="market.cooling"), {"market.cooling"}),
        (changed(tables.parameter_change, {"value": "9"}, name="market.stake_percent"), {"stake"}),
        (changed(bid, {"ask_microcredits": 7}, task_id=task_id, agent_id=agent), {f"ask of agent {agent}"}),
        (changed(tables.task, {"reserve_price_microcredits": RESERVE + 1}, id=task_id), {"reserve price"}),
        (
            changed(outcome, {"kind": "crashed"}, agent_id=agent),
            {f"record of agent {agent}: successes in all", f"record of agent {agent}: failures at this type"},
        ),
        (gone(bid, of_bid), {f"bid of agent {agent}"}),
        (gone(outcome, outcome.c.agent_id == agent), {f"record of agent {agent}: jobs", "entrant rate"}),
    ):
        assert named <= named_after(market, task_id, act)
    assert replayed(market, task_id)["is_confirmed"]


def test_an_award_of_an_earlier_rule_is_answered_and_not_compared(market, requester, worker):
    task_id = market.awarded(requester, worker)
    earlier = {"cooling": 4.0, "bids": [{"agent_id": worker, "ask_microcredits": 1}]}
    change(market, tables.award, {"task_id": task_id}, rule="cooled-thompson-second-score", inputs=earlier)
    found = replayed(market, task_id)
    (award,) = found["awards"]
    assert (award["problem"], award["differences"], award["recomputed"]) == (EARLIER_RULE, [], None)
    assert not found["is_confirmed"]


def test_without_an_award_there_is_nothing_to_replay(market, requester):
    assert replayed(market, 10**9) is None
    with pytest.raises(ConflictError, match="has not been awarded"):
        replayed(market, market.post(requester))


def test_sealed_bids_are_replayed_for_an_operator_alone(market, requester, worker):
    task_id = market.awarded(requester, worker)
    market.pass_seconds(120)
    market.expire()
    assert market.task(task_id)["state"] == "bidding"
    assert replayed(market, task_id)["is_confirmed"]
    with market.read() as tx, pytest.raises(ConflictError, match="sealed"):
        views.replay_task(tx, task_id)


def test_a_replay_that_would_take_long_is_for_an_operator(market, requester, worker, monkeypatch):
    task_id = market.done(requester, worker)
    with market.read() as tx:
        assert views.replay_task(tx, task_id)["is_confirmed"]
        monkeypatch.setattr(replays, "OUTCOMES_HIGHEST", 0)
        with pytest.raises(ConflictError, match="1 outcomes; over 0 an operator replays"):
            views.replay_task(tx, task_id)
        assert views.replay_task(tx, task_id, is_operator=True)["is_confirmed"]


def test_awards_of_racing_writers_come_out_again(market, requester):
    """What an award had seen is fixed by its mark, also where outcomes are recorded beside it."""
    agents = [market.agent(is_vouched=number < 3) for number in range(4)]

    def has_few():
        return min(len(market.rows(tables.agent_outcome)), len(market.rows(tables.award))) < 12

    def trade(seed):
        rng = random.Random(seed)
        for number in itertools.count():
            if number >= 6 and not has_few():
                return
            task_id = market.post(requester)
            for agent in agents:
                with contextlib.suppress(NacreError):  # another thread has let the window pass
                    market.bid(agent, task_id, rng.randrange(200_000, 800_000))
            market.close_windows()
            with contextlib.suppress(NacreError):
                winner = market.task(task_id)["awarded_agent_id"]
                worked_on(market, task_id, winner or agents[0], is_good=rng.random() < 0.7)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(trade, range(4)))
    awarded = {row["task_id"] for row in market.rows(tables.award)}
    for task_id in sorted(awarded):
        found = replayed(market, task_id)
        assert found["is_confirmed"], [award["differences"] for award in found["awards"]]


def test_a_setting_that_has_moved_since_is_taken_as_it_was_then(market, requester, worker):
    first = market.awarded(requester, worker)
    market.pass_seconds(3_600)
    with market.write("operator") as tx:
        production_config.change(
            tx,
            "market.cooling",
            expected_version=1,
            value="8",
            source=ValueSource.OVERRIDE,
            experiment_id=None,
        )
    market.pass_seconds(3_600)
    second = market.awarded(requester, worker)
    for task_id, cooling in ((first, 4), (second, 8)):
        assert market.row(tables.award, task_id=task_id)["inputs"]["cooling"] == cooling
        assert replayed(market, task_id)["is_confirmed"]
