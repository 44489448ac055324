"""The loop as one table: observe → diagnose → propose → vote → experiment → learn → promote.

The only file that knows all layers. `STAGES` says for each stage what it hears, what it does and what it
says; each stage's word is what the next one hears. `BOOKKEEPING` holds the subscribers that keep the rest in
step: verifying results, resolving exposures, closing proposals, investigations and laps. It holds no rule.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from services import ab_sandbox, evolution_ledger, meta_task_market, observatory, proposal_system
from services.domain.clock import seconds
from services.domain.errors import ConflictError
from services.domain.events import DeliveredEvent, Event, EventType
from services.domain.known_answers import KnownAnswers
from services.domain.parameters import ParameterRegistry
from services.domain.states import LIVE_PROPOSALS, Leg, ProposalState, TaskKind
from services.event_bus import Subscriber, each, publish
from services.operations import production_config
from services.store import market, sql, tables
from services.store.tx import Store, Tx

INVESTIGATION = "investigation"


class Verify(Protocol):
    """The platform's verifiers: whether a result stands, and why, as a JSON object."""

    def __call__(
        self,
        task_type: str,
        public: Mapping[str, object],
        private: Mapping[str, object],
        result: Mapping[str, object],
    ) -> tuple[bool, Mapping[str, object]]:
        """Return (is it verified, reason and measures); never raises for what an agent sent."""
        ...


@dataclass(frozen=True, slots=True)
class LoopContext:
    """What handlers and jobs need from outside: the registry, recorded randomness, the verifiers.

    `known_answers` gives, by task type, results whose worth is known, for the probes of correctness;
    `now_us` is the store's clock, by which a slow verifier is noticed. `notary` signs checkpoints of the
    ledger, `keeper` keeps them in a second place, `auditor` remembers how far this process has audited it.
    """

    registry: ParameterRegistry
    entropy: Callable[[int], bytes]
    verify: Verify
    known_answers: Mapping[str, KnownAnswers] = field(default_factory=dict)
    now_us: Callable[[], int] | None = None
    notary: evolution_ledger.Notary | None = None
    keeper: evolution_ledger.NoteKeeper | None = None
    auditor: evolution_ledger.Auditor = field(default_factory=evolution_ledger.Auditor)


HandleMany = Callable[[Tx, Sequence[tuple[DeliveredEvent, object]]], None]
Handler = Callable[[Tx, DeliveredEvent, object, LoopContext], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. `does` is what the platform does when it hears; None where agents do it over the API."""

    name: str
    hears: EventType
    does: Handler | None
    says: EventType
    summary: str


def look(tx: Tx, _event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Observe: open episodes for what fell, close those that recovered."""
    observatory.observe(tx)


def open_investigation(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Diagnose: post one meta-task for the episode, with the evidence."""
    episode_id = event.integer("episode_id")
    if observatory.get_episode(tx, episode_id)["meta_task_id"] is not None:
        return
    terms = meta_task_market.TaskTerms(
        kind=TaskKind.META,
        type=INVESTIGATION,
        public=dict(observatory.gather_evidence(tx, episode_id)),
        private={},
        requester_id=None,
        reserve_price_microcredits=int(
            production_config.number(tx, "investigation.reserve_price_microcredits")
        ),
        deadline_us=seconds(production_config.number(tx, "investigation.deadline_seconds")),
    )
    task_id = meta_task_market.post_task(tx, terms)
    observatory.attach_investigation(tx, episode_id, task_id)
    facts = {"task_id": task_id, "episode_id": episode_id}
    publish(tx, Event(EventType.INVESTIGATION_POSTED, f"task:{task_id}", facts))


def start_experiment(tx: Tx, event: DeliveredEvent, _prepared: object, context: LoopContext) -> None:
    """Experiment: send the passed change into the sandbox."""
    ab_sandbox.start_experiment(tx, context.registry, event.integer("proposal_id"), context.entropy)


def record_verdict(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Learn: write the verdict with its evidence into the ledger."""
    evolution_ledger.record_verdict(tx, event.integer("experiment_id"), leg_of(event))


def apply_verdict(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Promote: put the tested value into production, or refuse it."""
    evolution_ledger.apply_verdict(tx, event.integer("experiment_id"), leg_of(event))


def start_probation(tx: Tx, event: DeliveredEvent, _prepared: object, context: LoopContext) -> None:
    """Keep a share of tasks on the old value until the promotion is confirmed."""
    ab_sandbox.start_probation(tx, event.integer("experiment_id"), context.entropy)


def leg_of(event: DeliveredEvent) -> Leg:
    """Return the leg that an event is about; one that names none is about the trial."""
    return Leg(str(event.payload.get("leg", Leg.TRIAL)))


STAGES: tuple[Stage, ...] = (
    Stage("observe", EventType.SNAPSHOT_TAKEN, look, EventType.ANOMALY_DETECTED,
          "the observatory sees a metric leave its band"),
    Stage("diagnose", EventType.ANOMALY_DETECTED, open_investigation, EventType.INVESTIGATION_POSTED,
          "a meta-task with the evidence is posted; agents bid on it"),
    Stage("propose", EventType.INVESTIGATION_POSTED, None, EventType.PROPOSAL_FILED,
          "the agent that won it files a typed change from what it found"),
    Stage("vote", EventType.PROPOSAL_FILED, None, EventType.PROPOSAL_PASSED,
          "the frozen electorate votes the change into the sandbox"),
    Stage("experiment", EventType.PROPOSAL_PASSED, start_experiment, EventType.EXPERIMENT_CONCLUDED,
          "half of the tasks get the new value until the bet is decided"),
    Stage("learn", EventType.EXPERIMENT_CONCLUDED, record_verdict, EventType.VERDICT_RECORDED,
          "the verdict and its evidence go into the ledger"),
    Stage("promote", EventType.VERDICT_RECORDED, apply_verdict, EventType.PARAMETER_PROMOTED,
          "the tested value goes into production and is read back"),
)  # fmt: skip


def verify_results(
    store: Store, events: Sequence[DeliveredEvent], executor: Executor | None, context: LoopContext
) -> Sequence[object]:
    """Run the verifiers on submitted results, outside any transaction; None for what needs none."""
    with store.read() as tx:
        found = market.handed_in(tx, [event.integer("attempt_id") for event in events])

    def verify(event: DeliveredEvent) -> object:
        row = found.get(event.integer("attempt_id"))
        if row is None or row["kind"] == TaskKind.META:
            return None
        return context.verify(row["type"], row["public"], row["private"], row["handoff"]["changed"])

    return each(executor, verify, events)


def settle_result(tx: Tx, event: DeliveredEvent, prepared: object, _context: LoopContext) -> None:
    """Settle a task by what the verifier found."""
    settle_results(tx, [(event, prepared)])


def settle_results(tx: Tx, items: Sequence[tuple[DeliveredEvent, object]]) -> None:
    """Settle tasks by what the verifier found of each."""
    verdicts = [
        meta_task_market.Verdict(event.integer("attempt_id"), *prepared)
        for event, prepared in items
        if isinstance(prepared, tuple)
    ]
    if verdicts:
        meta_task_market.settle_all(tx, verdicts)


def resolve_exposures(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Note a task's outcome on its exposures and evaluate the experiments concerned."""
    resolve_many(tx, [(event, None)])


def resolve_many(tx: Tx, items: Sequence[tuple[DeliveredEvent, object]]) -> None:
    """Note the outcomes of tasks on their exposures, then evaluate the experiments concerned."""
    tasks = [event.integer("task_id") for event, _ in items]
    for experiment_id in ab_sandbox.record_outcomes(tx, tasks):
        ab_sandbox.evaluate(tx, experiment_id)


def close_without_proposal(tx: Tx, _event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Give up the episode of an investigation that ended without a proposal that lives or was promoted."""
    if tx.lap is None:
        return
    undecided = (*LIVE_PROPOSALS, ProposalState.PROMOTED)
    if sql.find(tx, tables.proposal, lap_id=tx.lap, state=undecided) is None:
        observatory.give_up(tx, tx.lap, "no_proposal")


def close_promoted(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Close a proposal whose value is in production; its lap goes on until the metric is back."""
    proposal_system.finish(tx, event.integer("proposal_id"), ProposalState.PROMOTED, "promoted")


def close_refused(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Close a proposal that the evidence did not support, with its investigation and its lap."""
    proposal_id = event.integer("proposal_id")
    _close_investigation(tx, proposal_id, is_supported=True, reason="the change was tested and refused")
    proposal_system.finish(tx, proposal_id, ProposalState.REFUSED, str(event.payload["reason"]))
    _give_up(tx, "refused")


def close_undecided(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Close the investigation and the lap of a proposal that never reached an experiment."""
    state = str(event.payload["state"])
    _close_investigation(
        tx, event.integer("proposal_id"), is_supported=False, reason=f"the proposal was {state}"
    )
    _give_up(tx, state)


def close_recovered(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Close the investigation and the lap of an episode whose metric is back."""
    found = sql.find_all(tx, tables.proposal, lap_id=tx.lap, state=ProposalState.PROMOTED)
    task_id = event.payload.get("meta_task_id")
    if isinstance(task_id, int):
        reason = "the metric is back after the promoted change" if found else "the metric is back by itself"
        meta_task_market.close_investigation(tx, task_id, is_supported=bool(found), reason=reason)
    if tx.lap is not None:
        observatory.close_lap(tx, tx.lap, "promoted" if found else "recovered")


def close_given_up(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Close the investigation of a promoted change that did not bring the metric back: it won."""
    task_id = event.payload.get("meta_task_id")
    if isinstance(task_id, int):
        reason = "the change was promoted, the metric is not back"
        meta_task_market.close_investigation(tx, task_id, is_supported=True, reason=reason)


def close_rolled_back(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Mark the proposal whose promoted value was taken out again."""
    proposal_id = event.integer("proposal_id")
    where = {"id": proposal_id, "state": ProposalState.PROMOTED}
    if sql.update(tx, tables.proposal, where, state=ProposalState.ROLLED_BACK):
        return
    if sql.find(tx, tables.proposal, id=proposal_id, state=ProposalState.TESTING) is not None:
        msg = f"the promotion of proposal {proposal_id} has yet to be noted"
        raise ConflictError(msg)


def open_for_check(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Open an episode for a component whose check of correctness fails."""
    observatory.report_failing(tx, str(event.payload["component"]))


def close_for_check(tx: Tx, event: DeliveredEvent, _prepared: object, _context: LoopContext) -> None:
    """Close the episode of a component whose check gives the expected answers again."""
    observatory.report_healthy(tx, str(event.payload["component"]))


def _close_investigation(tx: Tx, proposal_id: int, *, is_supported: bool, reason: str) -> None:
    proposal = sql.find(tx, tables.proposal, id=proposal_id)
    if proposal is not None and proposal["meta_task_id"] is not None:
        meta_task_market.close_investigation(
            tx, proposal["meta_task_id"], is_supported=is_supported, reason=reason
        )


def _give_up(tx: Tx, outcome: str) -> None:
    if tx.lap is not None:
        observatory.give_up(tx, tx.lap, outcome)


BOOKKEEPING: Mapping[str, tuple[EventType, Handler]] = {
    "verify": (EventType.RESULT_SUBMITTED, settle_result),
    "resolve": (EventType.TASK_ENDED, resolve_exposures),
    "close_without_proposal": (EventType.INVESTIGATION_ENDED, close_without_proposal),
    "start_probation": (EventType.PARAMETER_PROMOTED, start_probation),
    "close_promoted": (EventType.PARAMETER_PROMOTED, close_promoted),
    "close_refused": (EventType.CHANGE_REFUSED, close_refused),
    "close_undecided": (EventType.PROPOSAL_CLOSED, close_undecided),
    "close_recovered": (EventType.ANOMALY_RECOVERED, close_recovered),
    "close_given_up": (EventType.EPISODE_GIVEN_UP, close_given_up),
    "close_rolled_back": (EventType.PARAMETER_ROLLED_BACK, close_rolled_back),
    "open_for_check": (EventType.CHECK_FAILED, open_for_check),
    "close_for_check": (EventType.CHECK_RECOVERED, close_for_check),
}


def subscribers(context: LoopContext) -> dict[str, Subscriber]:
    """Return every subscriber of the bus by name, bound to the context."""
    table: dict[str, tuple[EventType, Handler]] = {
        stage.name: (stage.hears, stage.does) for stage in STAGES if stage.does is not None
    }
    return {
        name: _subscriber(name, hears, does, context)
        for name, (hears, does) in {**table, **BOOKKEEPING}.items()
    }


MANY: Mapping[str, HandleMany] = {"verify": settle_results, "resolve": resolve_many}
"""Subscribers that take many events in one transaction."""


def _subscriber(name: str, hears: EventType, does: Handler, context: LoopContext) -> Subscriber:
    def handle(tx: Tx, event: DeliveredEvent, prepared: object) -> None:
        does(tx, event, prepared, context)

    def prepare_many(
        store: Store, events: Sequence[DeliveredEvent], executor: Executor | None
    ) -> Sequence[object]:
        return verify_results(store, events, executor, context)

    is_prepared = does is settle_result
    return Subscriber(name, (hears,), handle, prepare_many if is_prepared else None, MANY.get(name))
