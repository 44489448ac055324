"""The market as a state machine: real verbs in whatever order comes up, every invariant after every step.

Two requesters (one nobody vouched for), five workers (one poor, one of a requester's own house), a clock, the
platform's jobs, an operator. Verbs come as batches with hostile items among them. Drawn once per history: the
award rule, how failures are retried, and how long a task then waits.
"""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services import meta_task_market
from services.domain.budget import Resource
from services.domain.clock import seconds
from services.domain.errors import NacreError
from services.domain.handoff import Handoff
from services.domain.market_invariants import MOVES
from services.domain.states import TASK_ENDS, EndReason, EscrowState, Scope, TaskState
from services.meta_task_market import (
    Claim,
    NewBid,
    NewResult,
    Renewal,
    SubmittedOutcome,
    TaskTerms,
    Verdict,
)
from services.operations import agent_registry, budget_governor, standing
from services.operations.budget_governor import HoldTerms
from services.store import tables
from tests.plugins.platforms import TASK_TYPE, Market, platform_over
from tests.services.meta_task_market import market_invariants

DAY_SECONDS = 24 * 3_600
JUMPS = (0.5, 9, 61, 310, 1_200)
RESERVES = (1, 19, 1_000_000, 3_000_000_000, 0, -1, 10**15 + 1)
WORKFLOWS = (None, None, "nightly", "w" * 81, "")
QUICK = {"market.crash_limit": "3", "market.suspension_seconds": "60", "market.entry_jobs": "2"}
NOWHERE = 10**9
which = st.integers(0, 11)


class MarketMachine(RuleBasedStateMachine):
    """One history; `new_database` gives it a database of its own, `steps` counts over all of them."""

    steps = 0
    new_database = staticmethod(lambda _folder: "")

    @initialize(
        award_rule=st.integers(0, 5),
        is_retried=st.booleans(),
        wait=st.sampled_from([0, 30]),
        attempts=st.integers(1, 4),
    )
    def open(self, award_rule, is_retried, wait, attempts):
        self.folder = tempfile.TemporaryDirectory()
        starting = {
            **QUICK,
            f"{TASK_TYPE}.award_rule": str(award_rule),
            f"{TASK_TYPE}.retry_failures": str(int(is_retried)),
            f"{TASK_TYPE}.retry_wait_seconds": str(wait),
            f"{TASK_TYPE}.maximum_attempts": str(attempts),
        }
        path = Path(self.folder.name)
        self.platform = platform_over(self.new_database(path), path, starting_values=starting)
        self.market = Market(self.platform)
        self.requesters = [self.agent("house", is_vouched=True), self.agent("street", is_vouched=False)]
        self.workers = [self.agent(f"shop-{number}", is_vouched=number != 3) for number in range(4)]
        self.workers.append(self.agent("house", is_vouched=True))
        self.states, self.resolved, self.tokens, self.holds, self.swept_at_us = {}, {}, [], [], 0
        self.post_some([(0, 2, 2, 0)] * 3)
        self.bid_some([(agent, task, 30 + 10 * agent, 80) for agent in range(5) for task in range(3)])
        self.windows_close()
        self.winners_work(is_good=True, is_slow=False)

    def agent(self, owner, *, is_vouched):
        name = f"agent-{next(self.market.names)}"
        with self.market.write("operator") as tx:
            return agent_registry.register(
                tx, name=name, owner=owner, scopes=list(Scope), is_vouched=is_vouched, key_hash=name
            )

    def teardown(self):
        if not hasattr(self, "market"):
            return
        self.let_everything_end()
        self.platform.close()
        self.folder.cleanup()

    # --- acting

    def act(self, verb, *arguments, moves=1):
        """Act in one transaction, or be refused; either way tasks have moved along the diagram."""
        try:
            with self.market.write("agent:1") as tx:
                return verb(tx, *arguments)
        except NacreError:
            return None
        finally:
            self.note_states(moves)

    def note_states(self, moves):
        for row in self.market.rows(tables.task):
            before = self.states.get(row["id"], TaskState.BIDDING)
            reached = {before}
            for _ in range(moves):
                reached |= {after for state in reached for after in MOVES[state]}
            assert row["state"] in reached, f"A6: {before} → {row['state']}"
            self.states[row["id"]] = TaskState(row["state"])

    def pick(self, things, number):
        return things[number % len(things)] if things else NOWHERE

    def task_ids(self, *states):
        return [number for number, state in self.states.items() if not states or state in states]

    @property
    def everybody(self):
        return [*self.workers, *self.requesters]

    # --- requesters

    @rule(
        items=st.lists(
            st.tuples(which, st.integers(0, 6), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=4
        )
    )
    def post_some(self, items):
        terms = [
            TaskTerms(
                kind="user",
                type=TASK_TYPE,
                public={},
                private={},
                requester_id=self.pick(self.requesters, number),
                reserve_price_microcredits=RESERVES[reserve],
                deadline_us=seconds((340, 700, DAY_SECONDS, 10)[deadline]),
                workflow=WORKFLOWS[workflow],
            )
            for number, reserve, deadline, workflow in items
        ]
        before = len(self.market.rows(tables.task))
        answers = self.act(meta_task_market.post_tasks, terms) or []
        posted = [answer for answer in answers if isinstance(answer, int)]
        assert len(self.market.rows(tables.task)) == before + len(posted), "a refused item was written"

    @rule(number=which, task=which)
    def cancel(self, number, task):
        agent_id = self.pick([*self.requesters, None], number)
        task_id = self.pick(self.task_ids(), task)
        self.act(lambda tx: meta_task_market.cancel_task(tx, task_id=task_id, agent_id=agent_id))

    # --- workers

    @rule(
        items=st.lists(
            st.tuples(which, which, st.integers(-1, 101), st.sampled_from([None, 0, 80, 100, 101])),
            min_size=1,
            max_size=6,
        )
    )
    def bid_some(self, items):
        tasks = {row["id"]: row for row in self.market.rows(tables.task)}
        now_us = self.platform.store.clock.now_us()
        bids = []
        for number, task, percent, confidence in items:
            task_id = self.pick(list(tasks), task)
            reserve = tasks[task_id]["reserve_price_microcredits"] if tasks else 100
            ask = reserve * percent // 100
            bids.append(NewBid(self.pick(self.everybody, number), task_id, ask, confidence))
        before = len(self.market.rows(tables.bid))
        answers = self.act(meta_task_market.place_bids, bids) or []
        placed = [bid for bid, answer in zip(bids, answers, strict=False) if isinstance(answer, int)]
        assert len(self.market.rows(tables.bid)) == before + len(placed), "a refused item was written"
        for bid in placed:
            task = tasks[bid.task_id]
            is_open = task["state"] == TaskState.BIDDING and now_us < task["bids_close_at_us"]
            assert is_open, "A3: a bid after the window closed"

    @rule(items=st.lists(st.tuples(which, which), min_size=1, max_size=4))
    def anybody_leases(self, items):
        every = self.task_ids()
        self.lease([Claim(self.pick(self.everybody, one), self.pick(every, task)) for one, task in items])

    @rule()
    def winners_lease(self):
        waiting = self.market.rows(tables.task, state=TaskState.AWARDED)
        self.lease([Claim(row["awarded_agent_id"], row["id"]) for row in waiting])

    def lease(self, claims):
        answers = self.act(meta_task_market.take_leases, claims) or []
        for claim, answer in zip(claims, answers, strict=False):
            if not isinstance(answer, NacreError):
                task = self.market.task(claim.task_id)
                assert (task["awarded_agent_id"], task["state"]) == (claim.agent_id, TaskState.LEASED), "A4"
                self.tokens.append((claim.agent_id, claim.task_id, answer.fencing_token))

    @rule(items=st.lists(st.tuples(which, st.integers(0, 1)), min_size=1, max_size=4))
    def renew_some(self, items):
        picked = [self.pick(self.tokens, token) for token, _ in items if self.tokens]
        renewals = [Renewal(agent_id, task_id, token) for agent_id, task_id, token in picked]
        self.act(meta_task_market.renew_leases, [*renewals, Renewal(1, NOWHERE, NOWHERE)])

    @rule(
        items=st.lists(
            st.tuples(which, st.booleans(), st.sampled_from([None, None, "timed_out", "verified"])),
            min_size=1,
            max_size=4,
        ),
        is_live=st.booleans(),
    )
    def submit_some(self, items, is_live):
        live = set(self.task_ids(TaskState.LEASED))
        tokens = [item for item in self.tokens if item[1] in live] if is_live else self.tokens
        self.hand_in(
            [(*tokens[token % len(tokens)], good, failed) for token, good, failed in items if tokens]
        )

    @rule(is_good=st.booleans(), is_slow=st.booleans())
    def winners_work(self, is_good, is_slow):
        self.winners_lease()
        self.market.pass_seconds(40 if is_slow else 0.5)
        live = {row["id"] for row in self.market.rows(tables.attempt, state="leased")}
        self.hand_in([(*item, is_good, None) for item in self.tokens if item[2] in live])
        self.deliver()

    def hand_in(self, items):
        results = [
            NewResult(
                agent_id=agent_id,
                task_id=task_id,
                fencing_token=token,
                outcome=SubmittedOutcome.FAILED if failed else SubmittedOutcome.COMPLETED,
                failure_reason=EndReason(failed) if failed else None,
                handoff=Handoff("worked", {"is_good": is_good}, ""),
            )
            for agent_id, task_id, token, is_good, failed in items
        ]
        before = {row["id"]: row for row in self.market.rows(tables.attempt)}
        grace_us = seconds(1)
        answers = (self.act(meta_task_market.submit_results, results) or []) if results else []
        taken = set()
        for result, answer in zip(results, answers, strict=False):
            if isinstance(answer, NacreError):
                continue
            attempt = before[result.fencing_token]
            late_us = self.platform.store.clock.now_us() - attempt["allowed_until_us"]
            assert (attempt["state"], late_us <= grace_us) == ("leased", True), "A5: a stale token worked"
            assert result.fencing_token not in taken, "A8: a result was taken twice"
            taken.add(result.fencing_token)

    # --- the platform

    @rule(jump=st.sampled_from(JUMPS))
    def time_passes(self, jump):
        self.market.pass_seconds(jump)

    @rule()
    def windows_close(self):
        self.market.pass_seconds(300)
        self.award()

    @rule()
    def award(self):
        self.act(meta_task_market.award_due, self.platform.context.entropy)

    @rule()
    def expire(self):
        self.act(meta_task_market.expire_due, self.platform.context.entropy, moves=2)
        self.swept_at_us = self.platform.store.clock.now_us()

    @rule()
    def deliver(self):
        self.market.deliver()
        self.note_states(moves=2)

    @rule(items=st.lists(st.tuples(which, st.booleans()), min_size=1, max_size=4))
    def settle_some(self, items):
        """Settle submitted attempts in a batch, some of them twice and some that are not there."""
        waiting = [row["id"] for row in self.market.rows(tables.attempt, state="submitted")]
        verdicts = [Verdict(self.pick(waiting, number), good, {"reason": "batch"}) for number, good in items]
        answers = self.act(meta_task_market.settle_all, verdicts) or []
        settled = [one.attempt_id for one, is_new in zip(verdicts, answers, strict=False) if is_new]
        assert len(settled) == len(set(settled)), "A8: an attempt was settled twice"

    # --- standing and budgets

    @rule(number=which)
    def suspend(self, number):
        self.act(lambda tx: standing.suspend(tx, self.pick(self.workers, number), reason="a look"))

    @rule(number=which)
    def reinstate(self, number):
        self.act(lambda tx: standing.reinstate(tx, self.pick(self.workers, number), reason="mended"))

    @rule(number=which)
    def come_back(self, number):
        self.act(lambda tx: standing.come_back(tx, self.pick(self.workers, number)))

    @rule(number=which, amount=st.sampled_from([0, 1, 500, 10**9]), task=which, is_for_task=st.booleans())
    def hold_budget(self, number, amount, task, is_for_task):
        task_id = self.pick(self.task_ids(), task) if is_for_task else None
        agent_id = self.pick(self.everybody, number)
        terms = HoldTerms(agent_id, Resource.TOKENS, amount, task_id=task_id, expires_in_seconds=60)
        found = self.act(budget_governor.hold, terms)
        if found:
            self.holds.append((found.hold_id, agent_id))

    @rule(number=which, amount=st.sampled_from([-1, 0, 1, 400, 10**9]), is_void=st.booleans())
    def resolve_budget(self, number, amount, is_void):
        if self.holds:
            hold_id, agent_id = self.pick(self.holds, number)
            if is_void:
                self.act(lambda tx: budget_governor.void(tx, hold_id, agent_id=agent_id))
            else:
                self.act(lambda tx: budget_governor.settle(tx, hold_id, agent_id=agent_id, amount=amount))

    @rule()
    def expire_budgets(self):
        self.act(budget_governor.expire_due)

    # --- what must hold

    @invariant()
    def rows_hold_together(self):
        type(self).steps += 1
        if hasattr(self, "market"):
            market_invariants.check(self.platform.store, self.swept_at_us)

    @invariant()
    def each_hold_is_resolved_once(self):
        for row in self.market.rows(tables.escrow) if hasattr(self, "market") else ():
            before = self.resolved.get(row["id"], EscrowState.HELD)
            assert before in (EscrowState.HELD, row["state"]), "M5: a hold was resolved twice"
            self.resolved[row["id"]] = row["state"]

    def let_everything_end(self):
        """A7: whatever has happened, every task ends once its deadline and its last lease have passed."""
        for _ in range(3):
            self.market.pass_seconds(DAY_SECONDS)
            self.expire()
            self.deliver()
            self.expire_budgets()
        left = [row["state"] for row in self.market.rows(tables.task) if row["state"] not in TASK_ENDS]
        assert left == [], "A7: a task did not end"
        assert self.market.balance("escrow") == 0
        market_invariants.check(self.platform.store)


def run_machine(new_database, *, examples, steps):
    """Run so many histories of so many steps and return how many steps were taken."""

    class Machine(MarketMachine):
        pass

    Machine.steps = 0
    Machine.new_database = staticmethod(new_database)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.generate,),  # a history costs seconds: shrinking one would cost an hour
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Machine.steps
