"""`nacre market replay`: a confirmed award is one line and code 0; a difference is named with code 1."""

import pytest

from services.store import sql, tables


@pytest.fixture
def database_of(platform):
    return "--database", platform.settings.database_url


def test_an_award_is_confirmed(nacre, market, database_of, requester, worker):
    task_id = market.done(requester, worker)
    ran = nacre("market", "replay", "--task", task_id, *database_of)
    assert (ran.code, ran.err) == (0, "")
    said = f"attempt 1: agent {worker} at 1,000,000 micro-credits, by cooled-draw-second-score from 1 bid"
    assert ran.out == f"{said}: confirmed\n"
    told = nacre("market", "replay", "--task", task_id, "--json", *database_of).json
    assert (told["task_id"], told["is_confirmed"], len(told["awards"])) == (task_id, True, 1)


def test_a_difference_is_named_and_the_code_is_1(nacre, market, database_of, requester, worker):
    task_id = market.awarded(requester, worker)
    with market.write() as tx:
        sql.update(tx, tables.bid, {"task_id": task_id}, ask_microcredits=7)
    ran = nacre("market", "replay", "--task", task_id, *database_of)
    assert ran.code == 1
    assert f"attempt 1: ask of agent {worker}: recorded 500000, recomputed 7" in ran.out.splitlines()
    assert ran.err == "nacre: attempt 1 is not confirmed: 2 differences\n"
    assert nacre("market", "replay", "--task", task_id, "--json", *database_of).code == 1


def test_an_award_of_an_earlier_rule_is_not_confirmed(nacre, market, database_of, requester, worker):
    task_id = market.awarded(requester, worker)
    with market.write() as tx:
        sql.update(tx, tables.award, {"task_id": task_id}, inputs={"cooling": 4.0, "bids": []})
    ran = nacre("market", "replay", "--task", task_id, *database_of)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "attempt 1: recorded under an earlier rule; cannot be replayed\n"


def test_what_there_is_not_is_refused_by_name(nacre, market, database_of, requester):
    ran = nacre("market", "replay", "--task", 10**6, *database_of)
    assert ran.code == 1
    assert "there is no task 1000000" in ran.err
    ran = nacre("market", "replay", "--task", market.post(requester), *database_of)
    assert ran.code == 1
    assert "has not been awarded" in ran.err
    assert nacre("market", "replay", "--task", 0, *database_of).code == 2
