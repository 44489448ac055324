"""Any history of the market keeps its invariants: agents and jobs act in whatever order comes up."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services.domain.errors import NacreError
from services.domain.states import TASK_ENDS, EndReason, EscrowState, TaskState
from services.store import tables
from tests.plugins.databases import url_of_file
from tests.plugins.platforms import Market, platform_over
from tests.services.meta_task_market import market_invariants

BIDDING, AWARDED, LEASED, SUBMITTED = (
    TaskState.BIDDING,
    TaskState.AWARDED,
    TaskState.LEASED,
    TaskState.SUBMITTED,
)
SETTLED, FAILED, CANCELLED, EXPIRED = TASK_ENDS
DIAGRAM = {
    BIDDING: {AWARDED, CANCELLED, EXPIRED},
    AWARDED: {LEASED, BIDDING, FAILED, CANCELLED},
    LEASED: {SUBMITTED, BIDDING, FAILED, CANCELLED},
    SUBMITTED: {SETTLED, FAILED},
}
DAY_SECONDS = 24 * 3_600
JUMPS = (0.5, 9, 61, 300, 1_200)
which = st.integers(0, 7)


class MarketHistory(RuleBasedStateMachine):
    """Two requesters, four workers (one of them poor), a clock, and the platform's jobs."""

    new_database = staticmethod(lambda _folder: "")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.platform = platform_over(self.new_database(Path(self.folder.name)), Path(self.folder.name))
        self.market = Market(self.platform)
        self.requesters = [self.market.agent(), self.market.agent()]
        self.workers = [self.market.agent(is_vouched=number != 3) for number in range(4)]
        self.states, self.holds, self.tokens = {}, {}, []

    def teardown(self):
        self.let_everything_end()
        self.platform.close()
        self.folder.cleanup()

    def attempt(self, verb, *arguments, **named):
        """Act, or be refused; either way the states have moved along the diagram, one step at a time."""
        try:
            return verb(*arguments, **named)
        except NacreError:
            return None
        finally:
            self.note_states()

    def note_states(self):
        for row in self.market.rows(tables.task):
            before = self.states.get(row["id"], BIDDING)
            self.states[row["id"]] = row["state"]
            assert row["state"] in {before, *DIAGRAM.get(before, ())}, f"A6: {before} → {row['state']}"

    def pick(self, things, number):
        return things[number % len(things)] if things else 0

    def task_ids(self):
        return [row["id"] for row in self.market.rows(tables.task)]

    def in_state(self, state):
        return [row["id"] for row in self.market.rows(tables.task, state=state)]

    @rule(
        number=which,
        reserve=st.sampled_from([1, 19, 1_000_000, 3_000_000_000]),
        deadline=st.sampled_from([340, 700, DAY_SECONDS]),
        bidders=st.integers(0, 4),
    )
    def post(self, number, reserve, deadline, bidders):
        terms = {"reserve_price_microcredits": reserve, "deadline_us": deadline * 1_000_000}
        task_id = self.attempt(self.market.post, self.pick(self.requesters, number), **terms)
        for worker in self.workers[:bidders]:
            self.attempt(self.market.bid, worker, task_id, max(1, reserve * (worker % 5 + 3) // 10))

    @initialize()
    def a_market_at_work(self):
        for number in range(3):
            self.post(number, reserve=1_000_000, deadline=DAY_SECONDS, bidders=4)
        self.attempt(self.market.close_windows)
        self.winner_leases(0)

    @rule(is_good=st.booleans(), is_slow=st.booleans())
    def winners_work(self, is_good, is_slow):
        for _ in self.in_state(AWARDED):
            self.winner_leases(0)
        self.market.pass_seconds(0.5 if not is_slow else 40)
        for _ in self.in_state(LEASED):
            self.holder_submits(0, is_good=is_good, failed=None)
        self.attempt(self.market.deliver)

    @rule(number=which, task=which, percent=st.integers(1, 101))
    def bid(self, number, task, percent):
        task_id = self.pick(self.task_ids(), task)
        if not task_id:
            return
        before, now_us = self.market.task(task_id), self.platform.store.clock.now_us()
        ask = max(1, before["reserve_price_microcredits"] * percent // 100)
        if self.attempt(self.market.bid, self.pick(self.workers + self.requesters, number), task_id, ask):
            is_open = before["state"] == BIDDING and now_us < before["bids_close_at_us"]
            assert is_open, "A3: a bid after the window closed"

    @rule(jump=st.sampled_from(JUMPS))
    def time_passes(self, jump):
        self.market.pass_seconds(jump)

    @rule()
    def windows_close(self):
        self.attempt(self.market.close_windows)

    @rule()
    def award(self):
        self.attempt(self.market.award)

    @rule()
    def expire(self):
        self.attempt(self.market.expire)

    @rule()
    def deliver(self):
        self.attempt(self.market.deliver)

    @rule(task=which)
    def winner_leases(self, task):
        task_id = self.pick(self.in_state(AWARDED), task)
        if task_id:
            self.take(self.market.task(task_id)["awarded_agent_id"], task_id)

    @rule(number=which, task=which)
    def anybody_leases(self, number, task):
        self.take(self.pick(self.workers, number), self.pick(self.task_ids(), task))

    def take(self, agent_id, task_id):
        lease = self.attempt(self.market.lease, agent_id, task_id)
        if lease:
            task = self.market.task(task_id)
            assert (task["awarded_agent_id"], task["state"]) == (agent_id, LEASED), "A4: a foreign lease"
            self.tokens.append((agent_id, task_id, lease.fencing_token))

    @rule(token=which, is_good=st.booleans(), failed=st.sampled_from([None, None, EndReason.TIMED_OUT]))
    def holder_submits(self, token, is_good, failed):
        live = set(self.in_state(LEASED))
        self.hand_in([item for item in self.tokens if item[1] in live], token, is_good, failed)

    @rule(token=which)
    def anybody_submits(self, token):
        self.hand_in(self.tokens, token, is_good=True, failed=None)

    def hand_in(self, tokens, token, is_good, failed):
        if not tokens:
            return
        agent_id, task_id, number = tokens[token % len(tokens)]
        before = self.market.row(tables.attempt, id=number)
        submit = self.market.submit
        if self.attempt(submit, agent_id, task_id, number, is_good=is_good, failed=failed):
            late_us = self.platform.store.clock.now_us() - before["expires_at_us"]
            assert (before["state"], late_us <= 1_000_000) == (LEASED, True), "A5, A8: a stale token worked"

    @rule(task=which)
    def cancel(self, task):
        task_id = self.pick(self.task_ids(), task)
        if task_id % 3 == 1:
            self.attempt(self.market.cancel, task_id, self.market.task(task_id)["requester_id"])

    @invariant()
    def rows_hold_together(self):
        market_invariants.check(self.platform.store)

    @invariant()
    def each_hold_is_resolved_once(self):
        for row in self.market.rows(tables.escrow):
            before = self.holds.get(row["id"], EscrowState.HELD)
            assert before in (EscrowState.HELD, row["state"]), "M5: a hold was resolved twice"
            self.holds[row["id"]] = row["state"]

    def let_everything_end(self):
        """A7: whatever has happened, every task ends once its deadline and its last lease have passed."""
        for _ in range(4):
            self.market.pass_seconds(DAY_SECONDS)
            self.attempt(self.market.expire)
            self.attempt(self.market.deliver)
        left = [row["state"] for row in self.market.rows(tables.task) if row["state"] not in TASK_ENDS]
        assert left == [], "A7: a task did not end"
        assert self.market.balance("escrow") == 0
        market_invariants.check(self.platform.store)


def run(new_database, *, examples, steps):
    class History(MarketHistory):
        pass

    History.new_database = staticmethod(new_database)
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_history_keeps_the_invariants_on_sqlite(sqlite_template):
    def copy(folder):
        path = folder / "nacre.db"
        shutil.copyfile(sqlite_template, path)
        return url_of_file(path)

    run(copy, examples=50, steps=30)


def test_any_history_keeps_the_invariants_on_postgresql(postgresql_server, postgresql_template):
    names = []

    def copy(_folder):
        names.append(postgresql_server.create_database(template=postgresql_template))
        return postgresql_server.url(names[-1])

    try:
        run(copy, examples=5, steps=25)
    finally:
        for name in names:
            postgresql_server.drop_database(name)


def test_a_broken_market_is_noticed(migrated_sqlite_url, tmp_path):
    """The checks can fail: each of these spoilt rows is named by its invariant."""
    platform = platform_over(migrated_sqlite_url, tmp_path)
    market = Market(platform)
    requester, worker = market.agent(), market.agent()
    task_id = market.awarded(requester, worker)
    token = market.lease(worker, task_id).fencing_token
    market_invariants.check(platform.store)
    for name, statement in {
        "M1": "UPDATE journal_entry SET amount_microcredits = amount_microcredits + 1 WHERE id = 1",
        "M2": "UPDATE account SET balance_microcredits = balance_microcredits + 1 WHERE owner = 'agent:1'",
        "M4": "UPDATE escrow SET amount_microcredits = amount_microcredits + 1 WHERE id = 1",
        "M5": "UPDATE escrow SET attempt_number = 9 WHERE purpose = 'stake'",
        "A4": f"UPDATE attempt SET state = 'lapsed' WHERE id = {token}",
        "A2": "UPDATE award SET price_microcredits = price_microcredits - 1",
        "S1": f"UPDATE agent SET settled_jobs = 1 WHERE id = {worker}",
    }.items():
        with platform.store.engine.connect() as connection:
            connection.exec_driver_sql(statement)
            with pytest.raises(AssertionError, match=name):
                market_invariants.check(SameConnection(connection, platform.store))
    platform.close()


class SameConnection:
    """A store that reads through a connection whose change is never committed."""

    def __init__(self, connection, store):
        self.connection, self.store = connection, store

    def read(self):
        return self

    def __enter__(self):
        return market_invariants.Tx(self.connection, 0, "test", None, {})

    def __exit__(self, *_):
        return None
