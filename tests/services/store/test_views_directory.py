"""The directory and the leaderboard: verified work alone ranks, and few jobs mean a wide interval."""

import pytest

from services.domain.auction import SealedBid, posterior
from services.domain.errors import InvalidValueError
from services.domain.states import Standing
from services.operations import records, standing
from services.store import sql, tables, views


def board(market, **asked):
    with market.read() as tx:
        return views.leaderboard(tx, **asked)["items"]


def entries(market, **asked):
    with market.read() as tx:
        return views.list_directory(tx, **asked)["items"]


def plant_record(market, agent_id, successes, failures, *, task_type="monte_carlo"):
    """Give an agent a record of so many jobs, undecayed."""
    jobs = {"jobs": successes + failures, "verified": successes}
    weights = {"success_weight": float(successes), "failure_weight": float(failures)}
    with market.write() as tx:
        sql.insert(tx, tables.agent_record, agent_id=agent_id, task_type=task_type, **weights, **jobs)
        row = sql.find(tx, tables.agent, id=agent_id)
        sql.update(
            tx,
            tables.agent,
            {"id": agent_id},
            settled_jobs=row["settled_jobs"] + jobs["jobs"],
            verified_jobs=row["verified_jobs"] + successes,
            success_weight=row["success_weight"] + successes,
            failure_weight=row["failure_weight"] + failures,
        )


def test_who_never_worked_is_in_the_directory_and_on_no_board(market, requester, worker):
    assert [item["agent_id"] for item in entries(market)] == [worker, requester]
    assert entries(market, type="monte_carlo") == []
    assert board(market) == board(market, type="monte_carlo") == []


def test_the_directory_says_what_each_was_seen_to_do(market, requester, worker):
    task_id = market.post(requester)
    market.bid(worker, task_id, confidence=80)
    market.close_windows()
    market.submit(worker, task_id, market.lease(worker, task_id).fencing_token)
    market.deliver()
    market.done(requester, worker, is_good=False)
    (entry,) = entries(market, type="monte_carlo")
    assert entry["agent_id"] == worker
    assert entry["task_types"] == [
        {"task_type": "monte_carlo", "verified_rate": 0.5, "jobs": 2, "verified": 1}
    ]
    assert (entry["jobs"], entry["forecasts"]) == (2, 1)
    assert entry["brier"] == pytest.approx(0.04)
    with market.read() as tx:
        shown = views.get_agent(tx, worker, are_bids_shown=True)
    assert (shown["brier"], shown["forecasts"], shown["open_bids"]) == (entry["brier"], 1, 0)


def test_the_directory_is_searched_by_standing(market, requester, worker):
    with market.write("operator") as tx:
        standing.suspend(tx, worker, reason="it copies")
    assert [item["agent_id"] for item in entries(market, standing=Standing.SUSPENDED)] == [worker]
    assert [item["agent_id"] for item in entries(market, standing=Standing.PROBATION)] == [requester]


def test_pages_of_the_directory_hold_everybody_once(market):
    agents = [market.agent() for _ in range(5)]
    with market.read() as tx:
        first = views.list_directory(tx, limit=2, oldest_first=True)
        rest = views.list_directory(tx, limit=9, oldest_first=True, cursor=first["next_cursor"])
    assert [item["agent_id"] for item in first["items"] + rest["items"]] == agents


def test_rates_are_shrunk_as_the_award_rule_shrinks_them(market):
    lucky, steady, poor = market.agent(), market.agent(), market.agent()
    plant_record(market, lucky, 1, 0)
    plant_record(market, steady, 45, 5)
    plant_record(market, poor, 5, 45)
    ranked = board(market, type="monte_carlo")
    assert [item["agent_id"] for item in ranked] == [steady, lucky, poor]
    assert [item["rank"] for item in ranked] == [1, 2, 3]
    with market.read() as tx:
        rate = records.entrant_rate(tx)
    a, b = posterior(SealedBid(steady, 0, 0, 45.0, 5.0, 45.0, 5.0, 50), rate)
    assert ranked[0]["expected_rate"] == pytest.approx(a / (a + b))
    for item in ranked:
        assert 0 <= item["rate_low"] < item["expected_rate"] < item["rate_high"] <= 1
    widths = {item["agent_id"]: item["rate_high"] - item["rate_low"] for item in ranked}
    assert widths[lucky] > 2 * widths[steady], "one job says little"


def test_a_board_over_all_types_takes_every_job_and_a_limit(market):
    both, one = market.agent(), market.agent()
    plant_record(market, both, 10, 0)
    plant_record(market, both, 10, 0, task_type="ml_training")
    plant_record(market, one, 10, 0, task_type="ml_training")
    assert [(item["agent_id"], item["jobs"]) for item in board(market)] == [(both, 20), (one, 10)]
    assert [item["agent_id"] for item in board(market, limit=1)] == [both]
    assert [item["agent_id"] for item in board(market, type="monte_carlo")] == [both]
    with pytest.raises(InvalidValueError, match=r"1\.\.500"):
        board(market, limit=0)


def test_earnings_are_what_verified_work_was_paid(market, requester, worker):
    paid = market.task(market.done(requester, worker))["paid_microcredits"]
    market.done(requester, worker, is_good=False)
    assert board(market)[0]["earned_microcredits"] == paid > 0
    assert board(market, type="monte_carlo")[0]["earned_microcredits"] == paid
    plant_record(market, worker, 1, 0, task_type="ml_training")
    assert board(market, type="ml_training")[0]["earned_microcredits"] == 0


def test_the_market_now_counts_what_waits_and_since_when(market, requester, worker):
    open_ = market.post(requester)
    market.pass_seconds(30)
    with market.read() as tx:
        stages = {stage["stage"]: stage for stage in views.market_now(tx)["stages"]}
    assert (stages["open"]["count"], stages["open"]["oldest_seconds"]) == (1, 30.0)
    assert stages["leased"] == {"stage": "leased", "count": 0, "oldest_at": None, "oldest_seconds": None}
    market.bid(worker, open_)
    market.close_windows()
    lease = market.lease(worker, open_)
    market.done(requester, market.agent())
    market.done(requester, market.agent(), is_good=False)
    with market.read() as tx:
        now = views.market_now(tx)
    counts = {stage["stage"]: stage["count"] for stage in now["stages"]}
    assert counts == {"open": 0, "awarded": 0, "leased": 1, "submitted": 0}
    assert len(now["hour"]) == 12
    assert sum(window["ended"] for window in now["hour"]) == 2
    assert sum(window["settled"] for window in now["hour"]) == 1
    assert now["hour"][-1]["from"] > now["hour"][0]["from"]
    assert lease.fencing_token
