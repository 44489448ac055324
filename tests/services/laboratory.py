"""A laboratory for layers 5 to 7: real services over either engine, with ended tasks planted as plain rows.

`Laboratory` saves the tests the market: a user task is inserted as it would stand after its end. Everything
from the proposal on is the platform's own code, one transaction per act, on a virtual clock.
"""

import json
import random
from dataclasses import dataclass, field, replace

from app.bootstrap import Platform
from services import ab_sandbox, event_bus, evolution_ledger, proposal_system
from services.domain import assignment, sequential
from services.domain.bet import BetPlan, BetState, Record
from services.domain.clock import HOUR_US, seconds
from services.domain.states import BallotChoice, Leg, ProposalState, Scope
from services.operations import agent_registry, assignments, measuring, production_config
from services.proposal_system import ProposalDraft
from services.store import sql, tables, views

TYPE = "research_synthesis"
TIMEOUT = "research_synthesis.timeout_seconds"
OTHER_TYPE = "monte_carlo"
MINIMUM_PERIOD_SECONDS = 300
VOTING_PERIOD_SECONDS = 86_400


def assign(tx, task_id, *, agent_id, award_seed):
    """Assign one task as the award does, write its exposures, and return its values."""
    task = sql.find(tx, tables.task, id=task_id)
    assigner = assignments.Assigner(tx, (task["type"],))
    fixed = assigner.assign(task, agent_id=agent_id, seed=award_seed)
    assigner.write()
    return fixed


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
                winner = self.voters[number % len(self.voters)] if self.voters else None
                self.plant(
                    tx, type_=type_, state=state, awarded_agent_id=winner, awarded_at_us=tx.now_us,
                    ended_at_us=tx.now_us,
                )  # fmt: skip

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
        """Insert one task row, and note it as the market does."""
        shared = {"public": {}, "private": {}, "reserve_price_microcredits": 1, "attempt_count": 1}
        times = dict.fromkeys(("posted_at_us", "bids_close_at_us", "deadline_at_us"), tx.now_us)
        row = {"kind": kind, "type": type_, "maximum_attempts": 2, **shared, **times}
        task_id = sql.insert(tx, tables.task, **{**row, **values})
        measuring.note_posted(tx, [task_id])
        if values.get("ended_at_us") is not None:
            measuring.note_ended(tx, [task_id])
        return task_id

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
        with self.write() as tx:
            return self.award(tx, type_=type_, award_seed=award_seed, agent_id=agent_id)

    def assign_many(self, count, **how):
        """Assign so many tasks in one transaction; return a list of (task id, values)."""
        with self.write() as tx:
            return [self.award(tx, **how) for _ in range(count)]

    def award(self, tx, *, type_=TYPE, kind="user", award_seed=None, agent_id=None, **task):
        """Plant an awarded task and fix its values as the award does; return (task id, values)."""
        task_id = self.plant(tx, kind=kind, type_=type_, state="awarded", awarded_at_us=tx.now_us, **task)
        fixed = assign(
            tx, task_id, agent_id=agent_id or self.proposer, award_seed=award_seed or f"{task_id:016x}"
        )
        payload = {name: value.to_payload() for name, value in fixed.values.items()}
        sql.update(tx, tables.task, {"id": task_id}, effective_values=payload, is_holdout=fixed.is_holdout)
        return task_id, fixed.values

    def end(self, task_id, *, is_success):
        """End a task and let the sandbox hear of it; return how many legs ended by it."""
        return self.end_many({task_id: is_success})

    def end_many(self, successes):
        """End tasks (id → success) in one transaction, let the sandbox hear of each, and evaluate once."""
        with self.write() as tx:
            concerned = set()
            for task_id, is_success in successes.items():
                state = "settled" if is_success else "failed"
                sql.update(tx, tables.task, {"id": task_id}, state=state, ended_at_us=tx.now_us)
                concerned.update(ab_sandbox.record_outcome(tx, task_id))
        return self.evaluate_these(sorted(concerned))

    def measured(self, count, measure, rng, **how):
        """Assign so many tasks; each ends by `measure(arm, rng)` → (success, seconds taken, price or None).

        All are heard of once the slowest has ended; a price is paid by a planted award.
        """
        assigned = self.assign_many(count, **how)
        started_us = self.now_us
        ends = {task_id: measure(values[TIMEOUT].arm or 0, rng) for task_id, values in assigned}
        self.pass_seconds(max(took for _, took, _ in ends.values()))
        with self.write() as tx:
            for task_id, (is_success, took, price) in ends.items():
                state, ended_at_us = "settled" if is_success else "failed", started_us + seconds(took)
                sql.update(tx, tables.task, {"id": task_id}, state=state, ended_at_us=ended_at_us)
                if price is not None:
                    shared = {"rule": "planted", "seed": "", "stake_microcredits": 0, "inputs": {}}
                    sql.insert(
                        tx, tables.award, task_id=task_id, attempt_number=1, agent_id=self.proposer,
                        price_microcredits=price, awarded_at_us=started_us, **shared,
                    )  # fmt: skip
                ab_sandbox.record_outcome(tx, task_id)
            ab_sandbox.evaluate_running(tx)
        return assigned

    def hear(self, task_id):
        """Let the sandbox hear that a task ended; return how many legs ended by it."""
        with self.write() as tx:
            return self.evaluate_these(ab_sandbox.record_outcome(tx, task_id), tx)

    def evaluate_these(self, numbers, tx=None):
        """Evaluate some experiments; return how many legs ended."""
        if tx is None:
            with self.write() as made:
                return self.evaluate_these(numbers, made)
        return sum(ab_sandbox.evaluate(tx, number) for number in numbers)

    def start_placebo(self, tx):
        return ab_sandbox.start_placebo(tx, self.platform.context.entropy)

    def evaluate(self):
        with self.write() as tx:
            return ab_sandbox.evaluate_running(tx)

    def experiment(self, experiment_id):
        return self.row(tables.experiment, id=experiment_id)

    def probation(self, experiment_id):
        return self.row(tables.probation, experiment_id=experiment_id)

    def exposures(self, experiment_id, **where):
        """Return an experiment's exposures in assignment order."""
        found = self.rows(tables.exposure, experiment_id=experiment_id, **where)
        return sorted(found, key=lambda row: row["ordinal"])

    def work(self, count, rates, rng, *, parameter=TIMEOUT, step=0.0, **how):
        """Assign so many tasks and end them, `step` seconds later, with these success rates by value's arm.

        A task without an arm (holdout, other type) succeeds at the control's rate.
        """
        assigned = self.assign_many(count, **how)
        if step:
            self.pass_seconds(step)
        arms = {task_id: values[parameter].arm or 0 for task_id, values in assigned}
        self.end_many({task_id: rng.random() < rates[arm] for task_id, arm in arms.items()})
        return assigned

    def run_experiment(self, experiment_id, rates=(0.3, 0.95), seed=11, at_most=400, batch=10, **how):
        """Work in batches until the leg that runs has its verdict; return the experiment."""
        rng = random.Random(seed)
        running = self.experiment(experiment_id)["state"]
        for _ in range(0, at_most, batch):
            self.work(batch, rates, rng, **how)
            if self.experiment(experiment_id)["state"] != running:
                break
        return self.experiment(experiment_id)

    def won(self, rates=(0.3, 0.95), **changes):
        """Return an experiment whose trial has ended as a win (its event not delivered yet)."""
        experiment = self.run_experiment(self.running(**changes), rates)
        assert experiment["verdict"] == "win", dict(experiment)
        return experiment

    def promoted(self, **changes):
        """Return an experiment whose value is in production, on probation."""
        experiment = self.won(**changes)
        self.deliver()
        assert self.value().source == "promoted"
        return self.experiment(experiment["id"])

    def confirmed(self, rates=(0.3, 0.95), at_most=1_000, **changes):
        """Return an experiment whose promotion has held in probation."""
        experiment = self.promoted(rates=rates, **changes)
        self.run_experiment(experiment["id"], rates, at_most=at_most, batch=50)
        self.deliver()
        assert self.experiment(experiment["id"])["state"] == "confirmed"
        return self.experiment(experiment["id"])

    def leg_records(self, experiment_id, leg=Leg.TRIAL):
        """Return the records of a leg of single tasks, made from its exposures by this test's own rule."""
        row = self.experiment(experiment_id)
        first, started_us = 0, row["started_at_us"]
        exposures = [found for found in self.exposures(experiment_id) if found["is_folded"]]
        later = self.rows(tables.probation, experiment_id=experiment_id)
        end = later[0]["first_ordinal"] if later else len(exposures)
        if leg is Leg.PROBATION:
            first, started_us, end = end, later[0]["started_at_us"], 10**9
        mine = [found for found in exposures if first <= found["ordinal"] < end]
        return [
            Record(
                place,
                found["unit"],
                found["arm"],
                found["share"],
                found["outcome"],
                found["stratum"],
                found["assigned_at_us"] - started_us,
                found["is_resolved"],
            )
            for place, found in enumerate(mine)
        ]

    def replayed(self, experiment_id, leg=Leg.TRIAL):
        """Return a leg's bet recomputed from its exposures alone."""
        trial = BetPlan.from_payload(self.experiment(experiment_id)["plan"])
        result = sequential.replay(trial, self.leg_records(experiment_id))
        if leg is Leg.TRIAL:
            return result
        stored = BetPlan.from_payload(self.probation(experiment_id)["plan"])
        share, cap = stored.treatment_share, stored.cap_tasks
        plan, state = sequential.start_probation(
            trial, result.state, alpha=stored.alpha, share=share, cap_tasks=cap
        )
        assert plan == stored
        return sequential.replay(plan, self.leg_records(experiment_id, leg), state)

    def bet(self, experiment_id, leg=Leg.TRIAL):
        """Return what the store remembers of a leg's bet."""
        row = self.probation(experiment_id) if leg is Leg.PROBATION else self.experiment(experiment_id)
        return BetState.from_payload(row["bet_state"])

    def folded(self, experiment_id):
        """Return the ordinals of the exposures that were bet on."""
        return [row["ordinal"] for row in self.exposures(experiment_id) if row["is_folded"]]

    def arm_seed(self, experiment_id, arm, task_id=None):
        """Return an award seed that puts the next task into this arm (not for windows)."""
        row = self.experiment(experiment_id)
        salt = row["salt"]
        if row["state"] == "probation":
            salt = self.probation(experiment_id)["salt"]
        key = task_id or max(found["id"] for found in self.rows(tables.task)) + 1
        seeds = (f"{number:016x}" for number in range(10_000))
        share = row["treatment_share"]
        return next(seed for seed in seeds if assignment.arm_of(salt, f"{key}:{seed}", share) == arm)

    def assign_arm(self, experiment_id, arm):
        """Assign the next task, with the first award seed that puts it into this arm; return its id."""
        return self.assign(award_seed=self.arm_seed(experiment_id, arm))[0]

    def other_type(self, type_=OTHER_TYPE, tasks=60):
        """Return what a proposal on another task type's timeout needs, by a proposer of its own."""
        self.ended_tasks(tasks, type_=type_)
        failed = self.rows(tables.task, type=type_, state="failed")[:5]
        parameter = f"{type_}.timeout_seconds"
        to = str(int(float(self.value(parameter).value) * 2))
        evidence = tuple(row["id"] for row in failed)
        return {"proposer": self.agent(Scope.PROPOSE), "parameter": parameter, "to": to, "evidence": evidence}

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

    def payloads(self, kind):
        """Return the payloads of all ledger entries of a type, in order."""
        return [json.loads(row["leaf"])["payload"] for row in self.rows(tables.ledger_entry, type=kind)]

    def everything_public(self, experiment_id):
        """Return all that a reader can get hold of, as one text."""
        with self.read() as tx:
            shown = [
                views.get_experiment(tx, experiment_id),
                views.list_experiments(tx),
                views.list_laps(tx),
                views.list_entries(tx, oldest_first=True, limit=500),
                views.list_proposals(tx),
                views.get_parameter(tx, self.platform.registry, TIMEOUT),
                [views.get_task(tx, row["task_id"]) for row in sql.find_all(tx, tables.exposure)],
                [row["payload"] for row in sql.find_all(tx, tables.event)],
            ]
        text = json.dumps(shown) + b"".join(self.export()).decode()
        tasks = [row["effective_values"] for row in self.rows(tables.task)]
        return text + json.dumps(tasks)

    def export(self):
        with self.read() as tx:
            return list(evolution_ledger.export_lines(tx, self.platform.signer))

    def audit(self):
        return evolution_ledger.verify_export(self.export())
