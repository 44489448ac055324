"""A laboratory for layers 5 to 7: real services over either engine, with ended tasks planted as plain rows.

`Laboratory` saves the tests the market: a user task is inserted as it would stand after its end. Everything
from the proposal on is the platform's own code, one transaction per act, on a virtual clock.
"""

import random
from dataclasses import dataclass, field, replace

from app.bootstrap import Platform
from services import ab_sandbox, event_bus, evolution_ledger, proposal_system
from services.domain.clock import HOUR_US, seconds
from services.domain.states import BallotChoice, ProposalState, Scope
from services.operations import agent_registry, assignments, production_config
from services.proposal_system import ProposalDraft
from services.store import sql, tables

TYPE = "research_synthesis"
TIMEOUT = "research_synthesis.timeout_seconds"
MINIMUM_PERIOD_SECONDS = 300
VOTING_PERIOD_SECONDS = 86_400


@dataclass
class Laboratory:
    """Acts on one platform: proposer, six voters, ended tasks, and everything up to a promotion."""

    platform: Platform
    proposer: int = 0
    voters: list[int] = field(default_factory=list)
    names: int = 0

    def set_up(self, voters: int = 6, tasks: int = 60) -> "Laboratory":
        """Register proposer and voters, and let 60 % of `tasks` research tasks have succeeded."""
        self.proposer = self.agent(Scope.PROPOSE, Scope.VOTE, Scope.BID)
        self.voters = [self.agent(Scope.VOTE) for _ in range(voters)]
        self.ended_tasks(tasks)
        self.platform.store.clock.advance(HOUR_US)
        return self

    def ended_tasks(self, count, *, successes_of_five=3, type_=TYPE):
        """Plant `count` ended user tasks, so many of five verified."""
        with self.write() as tx:
            for number in range(count):
                state = "settled" if number % 5 < successes_of_five else "failed"
                self.plant(tx, type_=type_, state=state, ended_at_us=tx.now_us)

    @property
    def now_us(self) -> int:
        return self.platform.store.clock.now_us()

    def write(self, actor="system:test"):
        return self.platform.store.write(actor=actor)

    def read(self):
        return self.platform.store.read()

    def rows(self, table, **where):
        with self.read() as tx:
            return sql.find_all(tx, table, order_by=next(iter(table.primary_key)).name, **where)

    def row(self, table, **where):
        found = self.rows(table, **where)
        assert len(found) == 1, f"{len(found)} rows of {table.name} with {where}"
        return found[0]

    def pass_seconds(self, value):
        self.platform.store.clock.advance(seconds(value))

    def agent(self, *scopes, owner=None, is_vouched=True):
        self.names += 1
        name = f"agent_{self.names}"
        with self.write("operator") as tx:
            return agent_registry.register(
                tx, name=name, owner=owner or name, scopes=scopes, is_vouched=is_vouched, key_hash=name
            )

    def task(self, kind="user", type_=TYPE, state="awarded", **values):
        """Plant one task row and return its id."""
        with self.write() as tx:
            return self.plant(tx, kind=kind, type_=type_, state=state, **values)

    def plant(self, tx, *, kind="user", type_=TYPE, **values):
        """Insert one task row."""
        shared = {"public": {}, "private": {}, "reserve_price_microcredits": 1, "attempt_count": 1}
        times = dict.fromkeys(("posted_at_us", "bids_close_at_us", "deadline_at_us"), tx.now_us)
        row = {"kind": kind, "type": type_, "maximum_attempts": 2, **shared, **times}
        return sql.insert(tx, tables.task, **{**row, **values})

    def ended_task(self, *, is_success, **values):
        state = "settled" if is_success else "failed"
        return self.task(state=state, **{"ended_at_us": self.now_us, **values})

    def failing(self, count=5):
        """Return the ids of some failed research tasks: evidence."""
        return tuple(row["id"] for row in self.rows(tables.task, type=TYPE, state="failed")[:count])

    def draft(self, **changes):
        made = ProposalDraft(TIMEOUT, "180", "0.25", "they time out", self.failing(), 400, 7, None)
        return replace(made, **changes)

    def file(self, proposer=None, **changes):
        agent_id = self.proposer if proposer is None else proposer
        draft = self.draft(**changes)
        with self.write(f"agent:{agent_id}") as tx:
            return proposal_system.file_proposal(tx, self.platform.registry, draft, agent_id)

    def cast(self, proposal_id, agent_id, choice=BallotChoice.FOR, reason="", forecast=None):
        with self.write(f"agent:{agent_id}") as tx:
            return proposal_system.cast_ballot(
                tx, proposal_id=proposal_id, agent_id=agent_id, choice=choice, reason=reason,
                forecast_percent=forecast,
            )  # fmt: skip

    def tally(self):
        with self.write("system:vote_tally") as tx:
            return proposal_system.tally_due(tx)

    def state(self, proposal_id):
        return ProposalState(self.row(tables.proposal, id=proposal_id)["state"])

    def deliver(self):
        return event_bus.drain(self.platform.store, self.platform.subscribers)

    def passed(self, **changes):
        """Return a proposal that was voted into the sandbox (its event not delivered yet)."""
        proposal_id = self.file(**changes)
        for agent_id in self.voters[:4]:
            self.cast(proposal_id, agent_id)
        self.pass_seconds(MINIMUM_PERIOD_SECONDS)
        self.tally()
        return proposal_id

    def running(self, **changes):
        """Return an experiment that runs."""
        proposal_id = self.passed(**changes)
        self.deliver()
        return self.row(tables.experiment, proposal_id=proposal_id)["id"]

    def assign(self, type_=TYPE, award_seed=None, agent_id=None):
        """Plant an awarded task, resolve its values as the award does, and return (task id, values)."""
        task_id = self.task(type_=type_)
        with self.write() as tx:
            task = sql.find(tx, tables.task, id=task_id)
            seed = award_seed or f"{task_id:016x}"
            fixed = assignments.resolve_for_task(
                tx, task, agent_id=agent_id or self.proposer, award_seed=seed
            )
            values = fixed.values
            payload = {name: value.to_payload() for name, value in values.items()}
            sql.update(
                tx, tables.task, {"id": task_id}, effective_values=payload, is_holdout=fixed.is_holdout
            )
        return task_id, values

    def end(self, task_id, *, is_success):
        """End a task and let the sandbox hear of it."""
        state = "settled" if is_success else "failed"
        with self.write() as tx:
            sql.update(tx, tables.task, {"id": task_id}, state=state, ended_at_us=tx.now_us)
        return self.hear(task_id)

    def hear(self, task_id):
        """Let the sandbox hear that a task ended; return how many experiments ended by it."""
        with self.write() as tx:
            return sum(ab_sandbox.evaluate(tx, number) for number in ab_sandbox.record_outcome(tx, task_id))

    def evaluate(self):
        with self.write() as tx:
            return ab_sandbox.evaluate_running(tx)

    def run_experiment(self, experiment_id, rates=(0.3, 0.95), seed=11, at_most=400):
        """Assign and end tasks with these success rates by arm until the verdict; return the experiment."""
        rng = random.Random(seed)
        for _ in range(at_most):
            task_id, values = self.assign()
            self.end(task_id, is_success=rng.random() < rates[values[TIMEOUT].arm])
            found = self.row(tables.experiment, id=experiment_id)
            if found["verdict"] is not None:
                return found
        return self.row(tables.experiment, id=experiment_id)

    def won(self, **changes):
        """Return an experiment that has ended as a win (its event not delivered yet)."""
        experiment = self.run_experiment(self.running(**changes))
        assert experiment["verdict"] == "win", dict(experiment)
        return experiment

    def promoted(self, **changes):
        """Return an experiment whose value is in production."""
        experiment = self.won(**changes)
        self.deliver()
        assert self.value().source == "promoted"
        return experiment

    def roll_back(self, reason="it hurts", parameter=TIMEOUT):
        with self.write("operator") as tx:
            registry = self.platform.registry
            return evolution_ledger.rollback(tx, registry, parameter=parameter, reason=reason)

    def value(self, name=TIMEOUT):
        with self.read() as tx:
            return production_config.effective(tx, name)

    def types(self):
        """Return the types of all ledger entries in order."""
        return [row["type"] for row in self.rows(tables.ledger_entry)]

    def export(self):
        with self.read() as tx:
            return list(evolution_ledger.export_lines(tx, self.platform.signer))

    def audit(self):
        return evolution_ledger.verify_export(self.export())
