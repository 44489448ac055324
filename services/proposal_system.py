"""Layer 5, the proposal system: typed changes, a frozen electorate, ballots, and the exact tally.

Stands between diagnosis and the sandbox: votes decide whether a change is tested, never whether it is kept.
Everything that would have to be refused later is refused at filing, by name. It never reads the text of a
proposal or of a ballot to decide anything.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from services.domain import sequential
from services.domain.bet import Verdict
from services.domain.canonical import digest_hex
from services.domain.clock import DAY_US, seconds
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.parameters import ParameterRegistry, Risk, check_change
from services.domain.states import TASK_ENDS, BallotChoice, ProposalState, Standing, TaskKind
from services.domain.tally import TallyOutcome, tally
from services.event_bus import publish
from services.operations import agent_registry, audit_log, production_config, review_queue
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

METRIC = "task_success"
BASE_RATE_TASKS = 200
TRAFFIC_WINDOW_US = DAY_US
LEAST_EFFECT = Decimal("0.001")
"""No experiment can show less with the tasks that a cap allows."""
EFFECT_LENGTH = 32
STATE_OF_OUTCOME = {
    TallyOutcome.PASSED: ProposalState.PASSED,
    TallyOutcome.REJECTED: ProposalState.REJECTED,
    TallyOutcome.INQUORATE: ProposalState.INQUORATE,
}


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """What an agent asks for. `expected_effect` is the gain in success rate, as decimal text in (0, 1)."""

    parameter: str
    to: str
    expected_effect: str
    root_cause: str
    evidence: tuple[int, ...]
    cap_tasks: int
    cap_days: int
    meta_task_id: int | None


@dataclass(frozen=True, slots=True)
class Admission:
    """What the experiment would need at the current traffic."""

    base_rate: float
    effect: Decimal
    tasks: int


def file_proposal(tx: Tx, registry: ParameterRegistry, draft: ProposalDraft, proposer_id: int) -> int:
    """File a proposal, freeze its electorate, open the vote; return its id.

    Raises InvalidValueError (code names the rule) for a change the loop may not ask for, evidence that does
    not stand, or an experiment that cannot be finished; ConflictError for a live or cooling-off twin.
    """
    tx = audit_log.take_turn(tx)
    owner = _require_standing(tx, proposer_id)["owner"]
    parameter = registry.get(draft.parameter)
    current = production_config.effective(tx, parameter.name)
    to_value = check_change(parameter, current.value, draft.to)
    if parameter.risk is Risk.GATED:
        msg = f"{parameter.name} is GATED: a person has to change it"
        raise InvalidValueError(msg, field="parameter", code="parameter_gated")
    _check_evidence(tx, parameter.task_type, draft.evidence)
    admission = _admit(tx, parameter.task_type, draft)
    content_hash = digest_hex(
        {"parameter": parameter.name, "from": current.value, "to": to_value, "metric": METRIC}
    )
    _check_rivals(tx, parameter.name, owner, content_hash)
    lap = _lap_of(tx, draft.meta_task_id, proposer_id)
    return _insert(
        tx.in_lap(lap),
        draft,
        proposer_id,
        (current.value, to_value),
        current.version,
        content_hash,
        admission,
    )


def cast_ballot(
    tx: Tx,
    *,
    proposal_id: int,
    agent_id: int,
    choice: BallotChoice,
    reason: str,
    forecast_percent: int | None,
) -> int:
    """Cast one elector's ballot, then decide if the vote can be decided; return the ballot's id.

    Raises ForbiddenError for strangers to the electorate, ConflictError for a closed vote or a second ballot,
    InvalidValueError for a "no" without a reason or a forecast outside 0 to 100.
    """
    tx = audit_log.take_turn(tx)
    proposal = _get(tx, proposal_id)
    if proposal["state"] != ProposalState.OPEN or tx.now_us >= proposal["closes_at_us"]:
        msg = f"the vote on proposal {proposal_id} is closed (it is {proposal['state']})"
        raise ConflictError(msg, field="proposal_id", code="vote_closed", state=proposal["state"])
    _require_standing(tx, agent_id)
    if sql.find(tx, tables.elector, proposal_id=proposal_id, agent_id=agent_id) is None:
        msg = f"this agent is not in the electorate that was frozen when proposal {proposal_id} was filed"
        raise ForbiddenError(msg, field="proposal_id")
    if choice is BallotChoice.AGAINST and not reason.strip():
        msg = "a vote against needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    if forecast_percent is not None and not 0 <= forecast_percent <= 100:  # noqa: PLR2004 (per cent)
        msg = "the forecast must be 0 to 100 per cent"
        raise InvalidValueError(msg, field="body.forecast_percent")
    tx = tx.in_lap(proposal["lap_id"])
    refusal = ConflictError(
        "this agent has voted already; ballots are final", field="proposal_id", code="already_voted"
    )
    ballot_id = sql.insert_unique(
        tx,
        tables.ballot,
        refusal,
        proposal_id=proposal_id,
        agent_id=agent_id,
        choice=choice,
        forecast_percent=forecast_percent,
        reason=reason,
        cast_at_us=tx.now_us,
    )
    audit_log.append(
        tx,
        EntryType.BALLOT,
        {
            "proposal_id": proposal_id,
            "voter": f"agent:{agent_id}",
            "choice": str(choice),
            "forecast_percent": forecast_percent,
            "reason_sha256": audit_log.keep_blob(tx, "reason", reason.encode()),
        },
    )
    publish(tx, Event(EventType.BALLOT_CAST, f"proposal:{proposal_id}", {"proposal_id": proposal_id}))
    if tx.now_us >= proposal["minimum_until_us"]:
        _decide(tx, proposal)
    return ballot_id


def withdraw(tx: Tx, *, proposal_id: int, agent_id: int) -> None:
    """Take a proposal back before its first ballot; raise ForbiddenError or ConflictError otherwise."""
    tx = audit_log.take_turn(tx)
    proposal = _get(tx, proposal_id)
    if proposal["proposer_id"] != agent_id:
        msg = f"proposal {proposal_id} was filed by somebody else"
        raise ForbiddenError(msg, field="proposal_id")
    if proposal["state"] != ProposalState.OPEN or governance.ballot_counts(tx, proposal_id):
        msg = f"proposal {proposal_id} is {proposal['state']} or has ballots; it stays"
        raise ConflictError(msg, field="proposal_id", state=proposal["state"])
    tx = tx.in_lap(proposal["lap_id"])
    audit_log.append(tx, EntryType.WITHDRAWN, {"proposal_id": proposal_id})
    _close(tx, proposal, ProposalState.WITHDRAWN, "withdrawn by its proposer")


def tally_due(tx: Tx) -> dict[str, int]:
    """Decide every vote that can be decided now, and expire passed proposals that never started."""
    tx = audit_log.take_turn(tx)
    due = governance.open_and_due(tx)
    decided = sum(_decide(tx.in_lap(proposal["lap_id"]), proposal) for proposal in due)
    grace_us = seconds(production_config.number(tx, "consensus.start_grace_seconds"))
    passed = sql.find_all(tx, tables.proposal, lock=True, state=ProposalState.PASSED)
    late = [row for row in passed if row["decided_at_us"] + grace_us <= tx.now_us]
    for proposal in late:
        in_lap = tx.in_lap(proposal["lap_id"])
        audit_log.append(in_lap, EntryType.EXPIRED, {"proposal_id": proposal["id"]})
        _close(in_lap, proposal, ProposalState.EXPIRED, "no experiment could start within the grace period")
    return {"open": len(due), "decided": decided, "expired": len(late)}


def finish(tx: Tx, proposal_id: int, state: ProposalState, reason: str) -> None:
    """Close a tested proposal, and score every forecast (Brier) by whether the experiment won.

    An invalid experiment says nothing about a forecast: none is scored.
    """
    where = {"id": proposal_id, "state": ProposalState.TESTING}
    sql.update(tx, tables.proposal, where, state=state, ended_at_us=tx.now_us, end_reason=reason[:120])
    experiment = sql.find(tx, tables.experiment, proposal_id=proposal_id)
    if experiment is None or experiment["verdict"] in (None, Verdict.INVALID):
        return
    won = 1.0 if experiment["verdict"] == Verdict.WIN else 0.0
    for ballot in sql.find_all(tx, tables.ballot, proposal_id=proposal_id):
        if ballot["forecast_percent"] is not None:
            brier = (ballot["forecast_percent"] / 100 - won) ** 2
            sql.update(tx, tables.ballot, {"id": ballot["id"]}, brier=brier)


def _get(tx: Tx, proposal_id: int) -> Row:
    row = sql.find(tx, tables.proposal, lock=True, id=proposal_id)
    if row is None:
        msg = f"there is no proposal {proposal_id}"
        raise NotFoundError(msg, field="proposal_id")
    return row


def _check_evidence(tx: Tx, task_type: str, evidence: tuple[int, ...]) -> None:
    if not evidence or len(set(evidence)) != len(evidence):
        msg = "evidence must name at least one ended task, each once"
        raise InvalidValueError(msg, field="body.evidence", code="evidence_unknown")
    known = governance.ended_tasks(tx, evidence)
    wrong = [number for number in evidence if number not in known or known[number]["type"] != task_type]
    if wrong:
        msg = f"task {wrong[0]} is no ended {task_type} task; evidence must be what the parameter governs"
        raise InvalidValueError(msg, field="body.evidence", code="evidence_unknown")


def _admit(tx: Tx, task_type: str, draft: ProposalDraft) -> Admission:
    """Refuse an experiment whose needed tasks do not fit its cap or the traffic."""
    try:
        effect = Decimal(draft.expected_effect)
    except InvalidOperation:
        effect = Decimal(0)
    if not effect.is_finite() or not LEAST_EFFECT <= effect < 1 or len(f"{effect:f}") > EFFECT_LENGTH:
        msg = f"the expected effect must be a gain in success rate: a decimal from {LEAST_EFFECT} to under 1"
        raise InvalidValueError(msg, field="body.expected_effect", code="effect_out_of_bounds")
    verified, ended = governance.recent_outcomes(tx, task_type, BASE_RATE_TASKS)
    base = verified / ended if ended else 0.0
    if not ended or base + float(effect) > 1:
        msg = (
            f"{task_type} succeeds in {base:.0%} of {ended} recent tasks; a gain of {effect} is not possible"
        )
        raise InvalidValueError(msg, field="body.expected_effect", code="effect_too_large")
    alpha = production_config.number(tx, "sandbox.alpha")
    needed = sequential.admission_tasks(base, float(effect), alpha)
    floor = int(production_config.number(tx, "sandbox.minimum_tasks"))
    count, first_us = governance.posted_since(tx, task_type, tx.now_us - TRAFFIC_WINDOW_US)
    per_day = count * DAY_US / max(1, tx.now_us - (first_us or tx.now_us))
    if max(needed, floor) > draft.cap_tasks or needed > per_day * draft.cap_days:
        msg = f"{needed} tasks are needed (at least {floor}); the cap allows {draft.cap_tasks}, "
        msg += f"traffic brings {per_day * draft.cap_days:.0f} in {draft.cap_days} days"
        raise InvalidValueError(msg, field="body.cap_tasks", code="admission_refused", needed_tasks=needed)
    return Admission(base, effect, needed)


def _require_standing(tx: Tx, agent_id: int) -> Row:
    """Return the agent's row; raise ForbiddenError when it is suspended."""
    row = agent_registry.get(tx, agent_id)
    if row["standing"] == Standing.SUSPENDED:
        msg = "a suspended agent can neither propose nor vote; an operator can reinstate it"
        raise ForbiddenError(msg)
    return row


def _check_rivals(tx: Tx, parameter: str, owner: str, content_hash: str) -> None:
    """Refuse a second live proposal of a parameter or of an owner (whoever files holds the turn)."""
    live = sql.find(
        tx,
        tables.proposal,
        parameter=parameter,
        state=(ProposalState.OPEN, ProposalState.PASSED, ProposalState.TESTING),
    )
    live_id = live["id"] if live else governance.live_of_owner(tx, owner)
    if live_id is not None:
        raise _already_live(f"proposal {live_id}", proposal_id=live_id)
    cool_off_us = seconds(production_config.number(tx, "consensus.cool_off_seconds"))
    twin = governance.same_content_since(tx, content_hash, tx.now_us - cool_off_us)
    if twin is not None:
        msg = f"proposal {twin} asked for the same change; it may be asked again "
        msg += f"{cool_off_us // 1_000_000} s after its end"
        raise ConflictError(msg, field="to", code="resubmission_cool_off", proposal_id=twin)


def _already_live(what: str, **arguments: object) -> ConflictError:
    msg = f"{what} is live; one at a time per parameter and per owner"
    return ConflictError(msg, field="parameter", code="proposal_already_live", **arguments)


def _lap_of(tx: Tx, meta_task_id: int | None, proposer_id: int) -> int | None:
    if meta_task_id is None:
        return tx.lap
    task = sql.find(tx, tables.task, id=meta_task_id, kind=TaskKind.META)
    if task is None or task["awarded_agent_id"] != proposer_id or task["state"] in TASK_ENDS:
        msg = f"task {meta_task_id} is not an investigation that this agent works on"
        raise InvalidValueError(msg, field="body.meta_task_id", code="meta_task_unknown")
    lap: int | None = task["lap_id"]
    return lap


def _insert(
    tx: Tx,
    draft: ProposalDraft,
    proposer_id: int,
    values: tuple[str, str],
    from_version: int,
    content_hash: str,
    admission: Admission,
) -> int:
    jobs = int(production_config.number(tx, "consensus.minimum_settled_jobs"))
    electors = governance.eligible_voters(tx, proposer_id=proposer_id, minimum_settled_jobs=jobs)
    closes = tx.now_us + seconds(production_config.number(tx, "consensus.voting_period_seconds"))
    minimum = tx.now_us + seconds(production_config.number(tx, "consensus.minimum_period_seconds"))
    proposal_id = sql.insert_unique(
        tx,
        tables.proposal,
        _already_live(f"a proposal on {draft.parameter}"),
        lap_id=tx.lap,
        meta_task_id=draft.meta_task_id,
        proposer_id=proposer_id,
        parameter=draft.parameter,
        from_value=values[0],
        to_value=values[1],
        from_version=from_version,
        metric=METRIC,
        expected_effect=format(admission.effect, "f"),
        cap_tasks=draft.cap_tasks,
        cap_days=draft.cap_days,
        admission_tasks=admission.tasks,
        base_rate=admission.base_rate,
        root_cause=draft.root_cause,
        evidence=list(draft.evidence),
        content_hash=content_hash,
        risk=str(Risk.OPEN),
        state=ProposalState.OPEN,
        yes=0,
        no=0,
        abstain=0,
        electorate=len(electors),
        opened_at_us=tx.now_us,
        minimum_until_us=min(minimum, closes),
        closes_at_us=closes,
    )
    sql.insert_many(
        tx, tables.elector, [{"proposal_id": proposal_id, "agent_id": number} for number in electors]
    )
    _record_filing(tx, proposal_id, electors)
    publish(tx, Event(EventType.PROPOSAL_FILED, f"proposal:{proposal_id}", {"proposal_id": proposal_id}))
    return proposal_id


def _record_filing(tx: Tx, proposal_id: int, electors: list[int]) -> None:
    row = _get(tx, proposal_id)
    audit_log.append(
        tx,
        EntryType.PROPOSAL,
        {
            "proposal_id": proposal_id,
            "proposer": f"agent:{row['proposer_id']}",
            "parameter": row["parameter"],
            "from": row["from_value"],
            "to": row["to_value"],
            "metric": row["metric"],
            "expected_effect": row["expected_effect"],
            "cap_tasks": row["cap_tasks"],
            "content_hash": row["content_hash"],
            "evidence": row["evidence"],
            "root_cause_sha256": audit_log.keep_blob(tx, "root_cause", row["root_cause"].encode()),
            "electorate": [f"agent:{number}" for number in electors],
            "opens_at_us": row["opened_at_us"],
            "closes_at_us": row["closes_at_us"],
            "risk": row["risk"],
        },
    )


def _decide(tx: Tx, proposal: Row) -> bool:
    """Tally, and close the vote when the outcome is final; tell whether it was."""
    counts = governance.ballot_counts(tx, proposal["id"])
    yes, no, abstain = (counts.get(choice, 0) for choice in BallotChoice)
    is_closed = tx.now_us >= proposal["closes_at_us"]
    outcome = tally(
        electorate=proposal["electorate"],
        yes=yes,
        no=no,
        abstain=abstain,
        is_closed=is_closed,
        threshold_percent=int(production_config.number(tx, "consensus.threshold_percent")),
        minimum_ballots=int(production_config.number(tx, "consensus.minimum_ballots")),
    )
    if outcome is TallyOutcome.OPEN:
        return False
    facts = {"proposal_id": proposal["id"], "electorate": proposal["electorate"], "yes": yes, "no": no}
    facts |= {"abstain": abstain, "is_closed": is_closed, "outcome": str(outcome)}
    audit_log.append(tx, EntryType.TALLY, facts)
    sql.update(tx, tables.proposal, {"id": proposal["id"]}, yes=yes, no=no, abstain=abstain)
    state = STATE_OF_OUTCOME[outcome]
    if state is not ProposalState.PASSED:
        _close(tx, proposal, state, f"{yes} for, {no} against, {abstain} abstained")
        return True
    where = {"id": proposal["id"], "state": ProposalState.OPEN}
    sql.update(tx, tables.proposal, where, state=state, decided_at_us=tx.now_us)
    publish(
        tx, Event(EventType.PROPOSAL_PASSED, f"proposal:{proposal['id']}", {"proposal_id": proposal["id"]})
    )
    return True


def _close(tx: Tx, proposal: Row, state: ProposalState, reason: str) -> None:
    """End a proposal without an experiment; a vote that could never reach three ballots goes to a person."""
    where = {"id": proposal["id"], "state": proposal["state"]}
    times = {"decided_at_us": proposal["decided_at_us"] or tx.now_us, "ended_at_us": tx.now_us}
    sql.update(tx, tables.proposal, where, state=state, end_reason=reason, **times)
    if proposal["electorate"] < int(production_config.number(tx, "consensus.minimum_ballots")):
        subject = f"proposal {proposal['id']}: {proposal['electorate']} electors cannot decide"
        review_queue.open_item(
            tx, kind="electorate_too_small", subject=subject, context={"proposal_id": proposal["id"]}
        )
    facts = {"proposal_id": proposal["id"], "state": str(state), "meta_task_id": proposal["meta_task_id"]}
    publish(tx, Event(EventType.PROPOSAL_CLOSED, f"proposal:{proposal['id']}", facts))
