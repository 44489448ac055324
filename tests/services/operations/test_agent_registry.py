"""Who may act: registration with a grant, names and keys once, scopes that bind, activity noted sparingly."""

import pytest

from services.domain.errors import ConflictError, ForbiddenError, NotFoundError
from services.domain.states import Scope, Standing
from services.operations import agent_registry
from services.store import tables


def register(market, name, *, is_vouched=False, scopes=(Scope.BID,)):
    with market.write("operator") as tx:
        return agent_registry.register(
            tx, name=name, owner="o", scopes=scopes, is_vouched=is_vouched,
            key_hash=agent_registry.key_hash(f"key of {name}"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("is_vouched", "standing", "grant"),
    [(True, Standing.PROBATION, 100_000_000_000), (False, Standing.SHADOW, 100_000_000)],
)
def test_a_new_agent_has_a_standing_and_a_grant(market, is_vouched, standing, grant):
    agent_id = register(market, "ada", is_vouched=is_vouched)
    row = market.row(tables.agent, id=agent_id)
    assert (row["standing"], row["settled_jobs"], row["trial_failures"]) == (standing, 0, 0)
    assert market.balance(agent_id) == grant


def test_a_name_is_taken_once_and_costs_nothing_twice(market):
    register(market, "ada")
    treasury = market.balance("treasury")
    with pytest.raises(ConflictError) as refusal:
        register(market, "ada")
    assert (refusal.value.code, refusal.value.field) == ("name_taken", "name")
    assert market.balance("treasury") == treasury


def test_the_key_finds_its_agent_and_is_not_stored(market):
    agent_id = register(market, "ada", scopes=(Scope.VOTE, Scope.BID))
    with market.read() as tx:
        found = agent_registry.authenticate(tx, agent_registry.key_hash("key of ada"))
        assert agent_registry.authenticate(tx, agent_registry.key_hash("key of eve")) is None
    assert (found.agent_id, found.name, found.actor) == (agent_id, "ada", f"agent:{agent_id}")
    assert found.scopes == {Scope.BID, Scope.VOTE}
    assert "key of ada" not in str(dict(market.row(tables.agent, id=agent_id)))


def test_a_key_may_do_what_its_scopes_say_and_no_more(market):
    register(market, "ada", scopes=(Scope.BID,))
    with market.read() as tx:
        principal = agent_registry.authenticate(tx, agent_registry.key_hash("key of ada"))
    principal.require(Scope.BID)
    with pytest.raises(ForbiddenError, match="lacks the scope"):
        principal.require(Scope.VOTE)


def test_nobody_is_not_found(market):
    with market.read() as tx, pytest.raises(NotFoundError, match="no agent 999"):
        agent_registry.get(tx, 999)


def test_activity_is_written_when_it_is_news(market, worker):
    row = market.row(tables.agent, id=worker)
    market.pass_seconds(1)
    now_us = market.platform.store.clock.now_us()
    assert agent_registry.is_stale(row, now_us), "the first sign of life is news"
    with market.write() as tx:
        agent_registry.touch(tx, worker)
    row = market.row(tables.agent, id=worker)
    assert row["last_active_at_us"] == now_us
    assert not agent_registry.is_stale(row, now_us + 9_000_000)
    assert agent_registry.is_stale(row, now_us + 10_000_000)
