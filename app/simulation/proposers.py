"""The scenarios' agents that change the platform: proposers with ideas, and an electorate that lets them try.

Stands in a scenario's world beside the fleet. Each kind of work has a proposer of its own owner; it files one
idea at a time, stating an effect that the platform admits, or files from an investigation that it has won.
Whether an idea is any good stands in the environment, where no agent looks.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from app.simulation.environment import Change, Environment, expit, logit
from app.simulation.fleet import ASK_MICROCREDITS, Fleet
from app.simulation.stage import Stage, acting
from services import meta_task_market, proposal_system
from services.domain.errors import ConflictError, NacreError
from services.domain.handoff import Handoff
from services.domain.states import (
    LIVE_EXPERIMENTS,
    LIVE_PROPOSALS,
    BallotChoice,
    Scope,
    TaskKind,
    TaskState,
)
from services.meta_task_market import SubmittedOutcome
from services.operations import agent_registry, production_config
from services.proposal_system import ProposalDraft
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

FACTORS = (0.6, 0.7, 0.8, 1.25, 1.4, 1.6)
LONGER = Decimal(2)
LONGEST = Decimal(360)
IDEAS_AT_ONCE = 100
"""How many ideas in a row a proposer drops, when each is too small to be tested, before it waits."""
DECIMALS = Decimal("0.0001")
SMALLEST_EFFECT = 0.005
HEADROOM = 0.98
WARM_UP_TASKS = 50
ELECTORATE = 5
AGAINST = 1
TOUCHED_EVERY_SECONDS = 86_400
CAP_DAYS = 7
PAUSE_SECONDS = 2.0
"""How long after a trial its kind's next proposal is filed: longer than the cool-off of a repeated one."""
TOO_SMALL = frozenset({"admission_refused", "confirmation_refused"})
"""Codes of refusals for what the caps cannot show: the idea is dropped, no larger gain is claimed."""


class Idea(NamedTuple):
    """What somebody thinks of: the gain claimed, and (the truth) what it adds to the log-odds of success.

    The claim is in points of the success rate, or in log-odds where `claimed_log_odds` is given.
    """

    effect: float
    log_odds: float
    claimed_log_odds: float | None = None

    def claim(self, rate: float) -> float:
        """Return the gain that is claimed at a success rate."""
        if self.claimed_log_odds is None:
            return self.effect
        return expit(logit(rate) + self.claimed_log_odds) - rate


@dataclass
class Seat:
    """A proposer of one kind of work, the proposal it waits for, what is under test by proposal."""

    kind: str
    agent_id: int
    proposal_id: int | None = None
    freed_seconds: float = 0.0
    tested: dict[int, str] = field(default_factory=dict)


class Filed(NamedTuple):
    """One line of the truth table: a proposal and what it truly adds in log-odds."""

    proposal_id: int
    log_odds: float
    effect: float


@dataclass
class Proposers:
    """One seat per kind of work, five electors of whom the first is against, and the truth about all filings.

    With `laps` a proposer files only from an investigation of one of that many laps; else each
    takes the next idea as soon as its last trial is over (its probation goes on beside the next trial).
    `suffixes` are the parameters of a kind that may be asked for, `cap_tasks` is the most a trial may take.
    """

    stage: Stage
    environment: Environment
    fleet: Fleet
    rng: random.Random
    ideas: Iterator[Idea]
    suffixes: Sequence[str]
    cap_tasks: int
    warm_up_seconds: float
    laps: int | None = None
    proposals: int | None = None
    seats: dict[str, Seat] = field(default_factory=dict)
    electors: list[int] = field(default_factory=list)
    filed: list[Filed] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    dropped: list[Idea] = field(default_factory=list)
    unvoted: list[int] = field(default_factory=list)
    touched_seconds: float = 0.0
    is_exhausted: bool = False

    def __post_init__(self) -> None:
        """Register one proposer per kind of work, each of its own owner, and the electors."""
        scopes = (Scope.BID, Scope.PROPOSE)
        for kind in self.environment.levels:
            name = f"proposer_{kind}"
            self.seats[kind] = Seat(kind, self.stage.register(name, *scopes, owner=name))
        names = [f"elector_{number}" for number in range(ELECTORATE)]
        self.electors = [self.stage.register(name, Scope.VOTE, owner=name) for name in names]

    def act(self) -> None:
        """Free what was decided, vote on what is open, and file what comes next."""
        self._stay_active()
        self._free_seats()
        self._vote()
        if self.laps is not None:
            self._investigate(self.laps)
            return
        for seat in self.seats.values():
            if seat.proposal_id is None and self._may_file(seat):
                self._file(seat, None)

    @property
    def undecided(self) -> int:
        """Return how many proposals are not decided for good."""
        return sum(len(seat.tested) for seat in self.seats.values())

    def is_idle(self, kind: str) -> bool:
        """Tell whether nothing of this kind is tested, and nothing will be."""
        return self.is_exhausted and not self.seats[kind].tested

    def _stay_active(self) -> None:
        """Let the electors show a sign of life, as agents that ask for work do."""
        now_seconds = self.stage.elapsed_seconds
        if now_seconds - self.touched_seconds < TOUCHED_EVERY_SECONDS:
            return
        self.touched_seconds = now_seconds
        with self.stage.write(self.electors[0]) as tx:
            for agent_id in self.electors:
                agent_registry.touch(tx, agent_id)

    def _may_file(self, seat: Seat) -> bool:
        """Tell whether there is evidence, a free parameter, and anything left to file."""
        now_seconds = self.stage.elapsed_seconds
        is_early = now_seconds < max(self.warm_up_seconds, seat.freed_seconds + PAUSE_SECONDS)
        is_unseen = len(self.fleet.ended.get(seat.kind, ())) < WARM_UP_TASKS
        if is_early or is_unseen or not self._free_parameters(seat):
            return False
        if self.laps is not None:  # an investigation that was won is filed from, the last ones too
            return True
        self.is_exhausted = self.is_exhausted or len(self.filed) == self.proposals
        return not self.is_exhausted

    def _free_parameters(self, seat: Seat) -> list[str]:
        names = (f"{seat.kind}.{suffix}" for suffix in self.suffixes)
        return [name for name in names if name not in seat.tested.values()]

    def _free_seats(self) -> None:
        """Free seats whose trial is over; where probation is over too, the environment forgets the change."""
        seats = {number: seat for seat in self.seats.values() for number in seat.tested}
        if not seats:
            return
        with self.stage.platform.store.read() as tx:
            live = sql.find_all(tx, tables.proposal, id=tuple(seats), state=LIVE_PROPOSALS)
            tested = sql.find_all(tx, tables.experiment, proposal_id=tuple(seats), state=LIVE_EXPERIMENTS)
        voted_or_tried = {row["id"] for row in live}
        undecided = voted_or_tried | {row["proposal_id"] for row in tested}
        for number, seat in seats.items():
            if number == seat.proposal_id and number not in voted_or_tried:
                seat.proposal_id, seat.freed_seconds = None, self.stage.elapsed_seconds
            if number not in undecided:
                self.environment.settle(seat.tested.pop(number))

    def _vote(self) -> None:
        """Let the electors vote on what was filed in the step before, until each vote is decided."""
        if not self.unvoted:
            return
        with self.stage.write(self.electors[0]) as tx:
            for number in self.unvoted:
                for place, agent_id in enumerate(self.electors):
                    if not self._cast(acting(tx, agent_id), number, agent_id, is_against=place < AGAINST):
                        break
        self.unvoted.clear()

    @staticmethod
    def _cast(tx: Tx, number: int, agent_id: int, *, is_against: bool) -> bool:
        """Cast one ballot; tell whether the vote was still open."""
        try:
            proposal_system.cast_ballot(
                tx,
                proposal_id=number,
                agent_id=agent_id,
                choice=BallotChoice.AGAINST if is_against else BallotChoice.FOR,
                reason="I doubt it." if is_against else "",
                forecast_percent=20 if is_against else 80,
            )
        except ConflictError:
            return False
        return True

    def _investigate(self, laps: int) -> None:
        """Bid on the open investigations, and file from those that were won."""
        states = (TaskState.BIDDING, TaskState.AWARDED)
        with self.stage.platform.store.read() as tx:
            tasks = sql.find_all(tx, tables.task, kind=TaskKind.META, state=states)
        for task in tasks:
            seat = self._investigator(task)
            if seat is None or task["lap_id"] > laps:
                continue
            if task["state"] == TaskState.AWARDED:
                self._work_on(seat, task)
            else:
                self._bid(seat, task["id"])

    def _investigator(self, task: Row) -> Seat | None:
        """Return who looks into a drop: its winner, its kind's proposer, or any free one."""
        kind, winner = str(task["public"]["key"]), task["awarded_agent_id"]
        free = [seat for seat in self.seats.values() if seat.proposal_id is None]
        fitting = [seat for seat in free if seat.kind == kind or kind not in self.seats]
        return next((seat for seat in fitting if winner in (None, seat.agent_id)), None)

    def _bid(self, seat: Seat, task_id: int) -> None:
        with self.stage.write(seat.agent_id) as tx:
            known = sql.find(tx, tables.bid, task_id=task_id, agent_id=seat.agent_id)
            if known is None:
                meta_task_market.place_bid(
                    tx,
                    agent_id=seat.agent_id,
                    task_id=task_id,
                    ask_microcredits=ASK_MICROCREDITS,
                    confidence_percent=None,
                )

    def _work_on(self, seat: Seat, task: Row) -> None:
        if not self._may_file(seat):
            return
        with self.stage.write(seat.agent_id) as tx:
            lease = meta_task_market.take_lease(tx, agent_id=seat.agent_id, task_id=task["id"])
        self._file(seat, task["id"])
        found: dict[str, Any] = {"proposal_id": seat.proposal_id, "finding": "simulated"}
        with self.stage.write(seat.agent_id) as tx:
            meta_task_market.submit_result(
                tx,
                agent_id=seat.agent_id,
                task_id=task["id"],
                fencing_token=lease.fencing_token,
                outcome=SubmittedOutcome.COMPLETED,
                failure_reason=None,
                handoff=Handoff("looked", found, ""),
            )

    def _file(self, seat: Seat, meta_task_id: int | None) -> None:
        """File the next idea that can be tested; those whose gain is too small for the caps are dropped."""
        for _ in range(IDEAS_AT_ONCE):
            idea = next(self.ideas, None)
            if idea is None:
                self.is_exhausted = True
                return
            code = self._try(seat, idea, meta_task_id)
            if code is None:
                return
            self.refused[code] += 1
            self.dropped.append(idea)
            if code not in TOO_SMALL:
                return

    def _try(self, seat: Seat, idea: Idea, meta_task_id: int | None) -> str | None:
        """File one idea; return the code of its refusal, or None where it was taken."""
        rate, evidence = self.fleet.seen(seat.kind)
        effect = min(max(idea.claim(rate), SMALLEST_EFFECT), (1.0 - rate) * HEADROOM)
        draft = self._draft(seat, effect, evidence, meta_task_id)
        try:
            with self.stage.write(seat.agent_id) as tx:
                number = proposal_system.file_proposal(tx, self.stage.platform.registry, draft, seat.agent_id)
                row = sql.find(tx, tables.proposal, id=number)
        except NacreError as error:
            return error.code
        assert row is not None  # noqa: S101 (inserted in this transaction)
        self._take(seat, Filed(number, idea.log_odds, effect), str(row["to_value"]), draft.parameter)
        return None

    def _draft(
        self, seat: Seat, effect: float, evidence: Sequence[int], meta_task_id: int | None
    ) -> ProposalDraft:
        """Return a change of one of the kind's free parameters: a time limit doubled, a dial by a factor."""
        parameter = self.rng.choice(self._free_parameters(seat))
        with self.stage.platform.store.read() as tx:
            before = Decimal(production_config.effective(tx, parameter).value)
        if parameter.endswith("_seconds"):
            to = before * LONGER if before * LONGER <= LONGEST else before / LONGER
        else:
            to = (before * Decimal(str(self.rng.choice(FACTORS)))).quantize(DECIMALS)
        return ProposalDraft(
            parameter=parameter,
            to=format(to, "f"),
            expected_effect=f"{effect:.4f}",
            root_cause="simulated",
            evidence=tuple(evidence),
            cap_tasks=self.cap_tasks,
            cap_days=CAP_DAYS,
            meta_task_id=meta_task_id,
        )

    def _take(self, seat: Seat, filed: Filed, value: str, parameter: str) -> None:
        seat.proposal_id = filed.proposal_id
        seat.tested[filed.proposal_id] = parameter
        self.filed.append(filed)
        self.unvoted.append(filed.proposal_id)
        change = Change(parameter, value, filed.log_odds)
        self.environment.propose(seat.kind, change, self.stage.elapsed_seconds)
