"""Statements, accounts and the audit over HTTP: for the agent itself and the operator, and nobody else."""

import pytest
from sqlalchemy import text

from app.api import money_examples as examples

GRANT = 100_000_000_000


@pytest.fixture
def agent(world, pi_task):
    made = world.agent("requester")
    made.post("/tasks", pi_task)
    return made


def test_an_agent_reads_its_own_statement(world, agent, pi_task):
    told = agent.get("/agents/me/statement").json()
    assert list(told) == list(examples.STATEMENT)
    assert list(told["items"][0]) == list(examples.STATEMENT["items"][0])
    assert list(told["totals"][0]) == list(examples.STATEMENT["totals"][0])
    price = pi_task["reserve_price_microcredits"]
    assert told["closing_balance_microcredits"] == told["live_balance_microcredits"] == GRANT - price
    assert [row["amount_microcredits"] for row in told["items"]] == [-price, GRANT]
    assert [row["balance_microcredits"] for row in told["items"]] == [GRANT - price, GRANT]
    assert told["items"][0]["counterparty"] == "escrow"
    assert told == agent.get(f"/agents/{agent.agent_id}/statement").json()
    assert told == world.operator.get(f"/agents/{agent.agent_id}/statement").json()


def test_nobody_reads_another_s_statement(world, agent, problem_of):
    other = world.agent("other")
    problem = problem_of(other.get(f"/agents/{agent.agent_id}/statement"), 403, "forbidden")
    assert problem["field"] == "path.agent_id"
    problem_of(world.operator.get("/agents/me/statement"), 403, "forbidden")
    problem_of(world.operator.get("/agents/999/statement"), 404, "not_found")


def test_pages_and_periods(world, agent):
    first = agent.get("/agents/me/statement", limit=1, order="oldest").json()
    rest = agent.get("/agents/me/statement", limit=1, order="oldest", cursor=first["next_cursor"]).json()
    kinds = [page["items"][0]["kind"] for page in (first, rest)]
    assert (kinds, rest["next_cursor"]) == (["grant", "hold_reserve"], None)
    later = agent.get("/agents/me/statement", **{"from": "2026-01-02"}).json()
    assert later["opening_balance_microcredits"] == later["closing_balance_microcredits"]
    assert later["items"] == []
    assert agent.get("/agents/me/statement", to="2026-01-01T00:00:00Z").json()["items"] == []


@pytest.mark.parametrize(
    "wrong", ["yesterday", "2026-13-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00"]
)
def test_a_wrong_instant_is_named(sqlite_world, problem_of, wrong):
    agent = sqlite_world.agent("requester")
    answer = agent.get("/agents/me/statement", **{"from": wrong})
    assert problem_of(answer, 422, "invalid_value")["field"] == "query.from"


def test_an_end_before_the_beginning_is_named(sqlite_world, problem_of):
    agent = sqlite_world.agent("requester")
    answer = agent.get("/agents/me/statement", **{"from": "2026-01-03", "to": "2026-01-02"})
    assert problem_of(answer, 422, "invalid_value")["field"] == "query.to"


def test_the_operator_sees_every_account(world, agent, problem_of):
    page = world.operator.get("/money/accounts").json()
    assert list(page["items"][0]) == list(examples.ACCOUNT)
    names = {row["account"] for row in page["items"]}
    assert names == {"treasury", "escrow", f"agent:{agent.agent_id}"}
    treasury = world.operator.get("/money/accounts/treasury/statement").json()
    assert treasury["closing_balance_microcredits"] == -GRANT
    named = world.operator.get("/money/accounts/requester/statement").json()
    assert named["account"] == f"agent:{agent.agent_id}"
    problem_of(world.operator.get("/money/accounts/nobody/statement"), 404, "not_found")
    for path in ("/money/accounts", "/money/accounts/treasury/statement", "/money/audit"):
        problem_of(agent.get(path), 403, "forbidden")


def test_the_audit_says_whether_the_books_are_sound(world, agent):
    told = world.operator.get("/money/audit").json()
    assert list(told) == list(examples.AUDIT)
    assert [list(check) for check in told["checks"]] == [list(examples.AUDIT["checks"][0])] * 6
    assert told["ok"] is True
    with world.platform.store.write(actor="test") as tx:
        tx.connection.execute(text("UPDATE account SET balance = balance + 1 WHERE owner = 'escrow'"))
    told = world.operator.get("/money/audit").json()
    assert told["ok"] is False
    assert {check["invariant"] for check in told["checks"] if not check["ok"]} == {"M2", "M4"}
