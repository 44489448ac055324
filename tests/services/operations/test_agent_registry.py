"""Who may act: registration with a grant, names and keys once, scopes that bind, activity noted sparingly."""

import threading

import pytest

from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.states import Scope, Standing
from services.operations import agent_registry
from services.store import sql, tables


def register(market, name, *, owner="o", **how):
    with market.write("operator") as tx:
        return register_in(tx, name, owner, **how)


def register_in(tx, name, owner, *, is_vouched=False, scopes=(Scope.BID,)):
    key_hash = agent_registry.key_hash(f"key of {name}")
    return agent_registry.register(
        tx, name=name, owner=owner, scopes=scopes, is_vouched=is_vouched, key_hash=key_hash
    )


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


def test_one_owner_has_one_spelling(market):
    """In owner mode each owner is a ballot: none is made by case, letters that look alike, or separators."""
    first = register(market, "ada", owner=" acme ")
    assert market.row(tables.agent, id=first)["owner"] == "acme"
    for number, owner in enumerate(("Acme", "аcme", "ac-me", "ａｃｍｅ", "acme\u200b", "acmé")):
        with pytest.raises(ConflictError) as refusal:
            register(market, f"eve {number}", owner=owner)
        assert (refusal.value.code, refusal.value.arguments["owner"]) == ("owner_resembles", "acme"), owner
    for number, owner in enumerate(("", " … ", "\u200b", "a" * 81)):
        with pytest.raises(InvalidValueError) as refusal:
            register(market, f"eve {number}", owner=owner)
        assert refusal.value.code == "owner_not_a_name", owner
    with market.write("system:test") as tx:  # as they may have been registered before
        sql.update(tx, tables.agent, {"id": register_in(tx, "bob", "other")}, owner="Acme")
    assert {row["owner"] for row in market.rows(tables.agent)} >= {"acme", "Acme"}
    for name, owner in (("cyd", "Acme"), ("dan", "acme"), ("eva", "acme 2")):
        register(market, name, owner=owner)


def test_of_two_look_alike_owners_at_once_one_is_registered(market):
    together = threading.Barrier(2)
    outcomes = []

    def run(name, owner):
        together.wait()
        try:
            register(market, name, owner=owner)
            outcomes.append("registered")
        except ConflictError as refusal:
            outcomes.append(refusal.code)

    threads = [threading.Thread(target=run, args=pair) for pair in (("ada", "acme"), ("bob", "Acme"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["owner_resembles", "registered"]


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
