"""Any history of holds, settlements, voids, expiries and limits, against a plain model of what must be left.

The model is one dictionary and no database: what is free in each scope is the cap minus what its own holds
say. Whatever the governor accepts or refuses, the model must accept or refuse too.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.domain.budget import Resource, breaches, parse_key
from services.domain.clock import DAY_US
from services.domain.errors import ConflictError, InvalidValueError
from services.operations import budget_governor
from services.operations.budget_governor import HoldTerms
from services.store import budgets, sql, tables
from tests.plugins.platforms import broken_books

AGENTS = 2
WORKFLOWS = (None, "report")
SECONDS = (5, 40)
CAPS = {"agent": 60, "workflow": 80, "day": 100}

hold = st.tuples(
    st.just("hold"),
    st.integers(0, AGENTS - 1),
    st.integers(1, 70),
    st.sampled_from(WORKFLOWS),
    st.sampled_from(SECONDS),
)
settle = st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 70))
void = st.tuples(st.just("void"), st.integers(0, 9))
wait = st.tuples(st.just("wait"), st.integers(1, 30))
expire = st.tuples(st.just("expire"))
limit = st.tuples(st.just("limit"), st.sampled_from(sorted(CAPS)), st.integers(0, 120))
histories = st.lists(st.one_of(hold, hold, settle, void, wait, expire, limit), max_size=25)


@dataclass
class Model:
    """Caps by scope, and the holds that were made: [scopes, amount, end, state, used]."""

    agents: list
    limits: dict = field(default_factory=lambda: dict(CAPS))
    holds: list = field(default_factory=list)
    now: float = 0.0

    def kind(self, scope):
        return scope.partition(":")[0]

    def used(self, scope):
        """Return (reserved, spent) of a scope."""
        mine = [one for one in self.holds if scope in one[0]]
        reserved = sum(one[1] for one in mine if one[3] == "held")
        return reserved, sum(one[4] for one in mine)

    def free(self, scope):
        return max(0, self.limits[self.limited(scope)] - sum(self.used(scope)))

    def limited(self, scope):
        """Only the first agent is limited later; the second keeps its cap."""
        return "second" if scope == f"agent:{self.agents[1]}" else self.kind(scope)


class History:
    """One history on one UTC day of its own, acted out by the governor and the model side by side."""

    def __init__(self, market, agents):
        self.market, self.model = market, Model(agents)
        self.model.limits["second"] = CAPS["agent"]
        self.ids = []
        day_us = market.platform.store.clock.now_us() % DAY_US
        market.platform.store.clock.advance(DAY_US - day_us)
        for name, cap in CAPS.items():
            self.limit(name, cap)
        self.set(f"agent:{agents[1]}", CAPS["agent"])

    def set(self, text, amount):
        with self.market.write("operator") as tx:
            key = parse_key(text)
            return budget_governor.set_limit(tx, key, Resource.TOKENS, amount, reason="a test")

    def limit(self, name, amount):
        text = {"agent": f"agent:{self.model.agents[0]}", "workflow": "workflow:acme/report", "day": "day"}[
            name
        ]
        self.set(text, amount)
        self.model.limits[name] = amount

    def hold(self, who, amount, workflow, seconds):
        agent_id = self.model.agents[who]
        scopes = [f"agent:{agent_id}", *([f"workflow:acme/{workflow}"] if workflow else []), "day"]
        fits = all(self.model.free(scope) >= amount for scope in scopes)
        terms = HoldTerms(agent_id, Resource.TOKENS, amount, workflow=workflow, expires_in_seconds=seconds)
        if fits:
            with self.market.write() as tx:
                self.ids.append((budget_governor.hold(tx, terms).hold_id, agent_id))
            self.model.holds.append([scopes, amount, self.model.now + seconds, "held", 0])
            return
        tight = next(scope for scope in scopes if self.model.free(scope) < amount)
        with pytest.raises(ConflictError) as refused, self.market.write() as tx:
            budget_governor.hold(tx, terms)
        assert refused.value.arguments["budget"] == tight

    def settle(self, place, amount):
        self.resolve(place, "settled", amount)

    def void(self, place):
        self.resolve(place, "voided", 0)

    def resolve(self, place, state, amount):
        if place >= len(self.ids):
            return
        (hold_id, agent_id), one = self.ids[place], self.model.holds[place]
        may = one[3] == "held" and self.model.now < one[2] and amount <= one[1]
        if may:
            self.act(hold_id, agent_id, state, amount)
            one[3:] = [state, amount]
            return
        with pytest.raises((ConflictError, InvalidValueError)):
            self.act(hold_id, agent_id, state, amount)

    def act(self, hold_id, agent_id, state, amount):
        with self.market.write() as tx:
            if state == "settled":
                budget_governor.settle(tx, hold_id, agent_id=agent_id, amount=amount)
            else:
                budget_governor.void(tx, hold_id, agent_id=agent_id)

    def wait(self, seconds):
        self.market.pass_seconds(seconds)
        self.model.now += seconds

    def expire(self):
        with self.market.write() as tx:
            found = budget_governor.expire_due(tx)["expired"]
        due = [one for one in self.model.holds if one[3] == "held" and one[2] <= self.model.now]
        assert found == len(due)
        for one in due:
            one[3] = "expired"

    def check(self):
        """Compare every scope with the model, and the books with their own recount."""
        with self.market.read() as tx:
            lines = budgets.all_lines(tx)
            assert breaches(lines) == []
            assert budgets.recounted(tx) == lines
            period = parse_key("day").period(tx.now_us)
        for line in lines:
            if line.period == period:
                assert (line.reserved, line.spent) == self.model.used(str(line.key)), line
                assert line.free == self.model.free(str(line.key)), line


@pytest.fixture
def agents(market):
    """Two agents of one owner that have both posted in its workflow."""
    made = [market.agent(owner="acme") for _ in range(AGENTS)]
    with market.write() as tx:
        for agent_id in made:
            shared = {"kind": "user", "type": "monte_carlo", "state": "bidding", "public": {}, "private": {}}
            times = dict.fromkeys(("posted_at_us", "bids_close_at_us", "deadline_at_us"), tx.now_us)
            sql.insert(
                tx, tables.task, requester_id=agent_id, workflow="report", reserve_price_microcredits=1,
                attempt_count=0, maximum_attempts=1, **shared, **times,
            )  # fmt: skip
    return made


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=histories)
def test_the_governor_does_what_the_model_says(market, agents, acts):
    history = History(market, agents)
    for name, *arguments in acts:
        getattr(history, name)(*arguments)
        history.check()
    history.wait(100)
    history.expire()
    history.check()
    with market.read() as tx:
        assert broken_books(tx) == []
    assert market.rows(tables.budget_hold, state="held") == []
