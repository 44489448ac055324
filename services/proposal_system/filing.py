"""Filing: a typed change enters the vote, or is refused by name; its electorate is frozen here.

Stands between diagnosis and the vote. It never reads the text of a proposal to decide anything.
"""

from dataclasses import dataclass

from services.domain import electorate
from services.domain.canonical import digest_hex
from services.domain.clock import DAY_US, seconds, to_rfc3339
from services.domain.electorate import Electorate, Voter
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import UNITS, EntryType
from services.domain.parameters import PLATFORM_PARAMETERS, Parameter, ParameterRegistry, Risk, check_change
from services.domain.states import (
    LIVE_EXPERIMENTS,
    LIVE_PROPOSALS,
    TASK_ENDS,
    ElectorateMode,
    ExperimentScope,
    ProposalState,
    TaskKind,
)
from services.event_bus import publish
from services.operations import audit_log, measuring, production_config
from services.operations.measuring import Noted
from services.proposal_system import admission
from services.proposal_system.admission import Admission, ProposalDraft
from services.proposal_system.closing import close, get_proposal
from services.proposal_system.voting import require_standing
from services.store import governance, sql, tables
from services.store.tx import Tx

PLATFORM_AREAS = frozenset(parameter.task_type for parameter in PLATFORM_PARAMETERS)
"""What the platform's own parameters govern: no user task is of these types."""
RULES = ("threshold_percent", "minimum_ballots")


@dataclass(frozen=True, slots=True)
class TypedChange:
    """One parameter's change from the value in force, at the version it was read at."""

    parameter: Parameter
    before: str
    after: str
    version: int
    content_hash: str


def file_proposal(tx: Tx, registry: ParameterRegistry, draft: ProposalDraft, proposer_id: int) -> int:
    """File a proposal, freeze its electorate, open the vote; return its id.

    Raises InvalidValueError (code names the rule) for a change the loop may not ask for, evidence that does
    not stand, or an experiment that cannot be finished; ConflictError for a live or cooling-off twin.
    """
    tx = audit_log.take_turn(tx)
    owner = require_standing(tx, proposer_id)["owner"]
    parameter = registry.get(draft.parameter)
    if parameter.risk is Risk.GATED and audit_log.format_now(tx) < UNITS:
        msg = f"{parameter.name} is GATED, and this ledger is of a format that knows no review"
        raise InvalidValueError(msg, field="parameter", code="parameter_gated")
    current = production_config.effective(tx, parameter.name)
    to_value = check_change(parameter, current.value, draft.to)
    if parameter.is_allocation and draft.scope is not ExperimentScope.PLATFORM:
        msg = f"{parameter.name} decides who gets a task, for all agents at once; "
        msg += "it is tried in windows of the platform"
        raise InvalidValueError(msg, field="body.scope", code="scope_platform_needed")
    if parameter.task_type in PLATFORM_AREAS:
        msg = f"{parameter.name} governs no task type, so no experiment can try it; a person can set it"
        raise InvalidValueError(msg, field="parameter", code="parameter_untestable")
    admission.check_evidence(tx, parameter.task_type, draft.evidence)
    admitted = admission.admit(tx, parameter.task_type, draft)
    content_hash = digest_hex(
        {
            "parameter": parameter.name,
            "from": current.value,
            "to": to_value,
            "metric": str(admitted.metric),
            "scope": str(draft.scope),
        }
    )
    _check_rivals(tx, parameter.name, owner)
    _check_pace(tx, parameter.name, (current.value, to_value), owner)
    lap = _lap_of(tx, draft.meta_task_id, proposer_id)
    change = TypedChange(parameter, current.value, to_value, current.version, content_hash)
    return _insert(tx.in_lap(lap), draft, Voter(proposer_id, owner), change, admitted)


def withdraw(tx: Tx, *, proposal_id: int, agent_id: int) -> None:
    """Take a proposal back before its first ballot; raise ForbiddenError or ConflictError otherwise."""
    tx = audit_log.take_turn(tx)
    proposal = get_proposal(tx, proposal_id)
    if proposal["proposer_id"] != agent_id:
        msg = f"proposal {proposal_id} was filed by somebody else"
        raise ForbiddenError(msg, field="proposal_id")
    if proposal["state"] != ProposalState.OPEN or governance.ballot_counts(tx, proposal_id):
        msg = f"proposal {proposal_id} is {proposal['state']} or has ballots; it stays"
        raise ConflictError(msg, field="proposal_id", state=proposal["state"])
    tx = tx.in_lap(proposal["lap_id"])
    audit_log.append(tx, EntryType.WITHDRAWN, {"proposal_id": proposal_id})
    close(tx, proposal, ProposalState.WITHDRAWN, "withdrawn by its proposer")


def _check_rivals(tx: Tx, parameter: str, owner: str) -> None:
    """Refuse a second live proposal of a parameter or of an owner (whoever files holds the turn)."""
    live = sql.find(
        tx,
        tables.proposal,
        parameter=parameter,
        state=LIVE_PROPOSALS,
    )
    held = sql.find_all(tx, tables.experiment, parameter=parameter, state=list(LIVE_EXPERIMENTS), limit=1)
    if held:
        msg = f"experiment {held[0]['id']} holds {parameter} until it is confirmed or rolled back"
        code = "experiment_running"
        raise ConflictError(msg, field="parameter", code=code, experiment_id=held[0]["id"])
    live_id = live["id"] if live else governance.live_of_owner(tx, owner)
    if live_id is not None:
        raise _already_live(f"proposal {live_id}", proposal_id=live_id)


def _check_pace(tx: Tx, parameter: str, change: tuple[str, str], owner: str) -> None:
    """Refuse the same change (from, to) while it cools off, and more filings of an owner than a day may have.

    Metric and scope make no other change of it: who wants it measured otherwise waits all the same.
    """
    cool_off_us = seconds(production_config.number(tx, "consensus.cool_off_seconds"))
    since_us = tx.now_us - cool_off_us
    twin = governance.same_change_since(tx, parameter, *change, owner=owner, since_us=since_us)
    if twin is not None:
        again = to_rfc3339(twin["ended_at_us"] + cool_off_us)
        msg = f"proposal {twin['id']} asked for the same change; it may be asked again after {again}"
        code = "resubmission_cool_off"
        raise ConflictError(msg, field="to", code=code, proposal_id=twin["id"], possible_at=again)
    most = int(production_config.number(tx, "consensus.filings_per_day"))
    filed = governance.filed_since(tx, owner, tx.now_us - DAY_US, most)
    if len(filed) == most:
        again = to_rfc3339(filed[-1] + DAY_US)
        msg = f"{owner} has filed {most} proposals within 24 hours; the next is possible at {again}"
        raise ConflictError(msg, field="owner", code="filings_exhausted", possible_at=again)


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


def _electorate(tx: Tx, parameter: Parameter, proposer: Voter) -> tuple[Electorate, ElectorateMode]:
    """Return who votes on a change of this parameter, as of now."""
    mode = ElectorateMode(production_config.effective(tx, "consensus.electorate").value)
    jobs = int(production_config.number(tx, "consensus.minimum_settled_jobs"))
    tenure_us = int(production_config.number(tx, "consensus.tenure_days") * DAY_US)
    eligible = governance.eligible_voters(tx, minimum_settled_jobs=jobs, tenure_us=tenure_us)
    voters = [Voter(row["id"], row["owner"]) for row in eligible]
    since_us = tx.now_us - governance.ACTIVE_WITHIN_US
    paid = governance.paid_since(tx, parameter.task_type, since_us) if parameter.sets_pay else set()
    return electorate.form(voters, proposer=proposer, paid=paid, mode=mode), mode


def _insert(tx: Tx, draft: ProposalDraft, proposer: Voter, change: TypedChange, admitted: Admission) -> int:
    formed, mode = _electorate(tx, change.parameter, proposer)
    closes = tx.now_us + seconds(production_config.number(tx, "consensus.voting_period_seconds"))
    minimum = tx.now_us + seconds(production_config.number(tx, "consensus.minimum_period_seconds"))
    rules = {name: int(production_config.number(tx, f"consensus.{name}")) for name in RULES}
    proposal_id = sql.insert_unique(
        tx,
        tables.proposal,
        _already_live(f"a proposal on {draft.parameter}"),
        lap_id=tx.lap,
        meta_task_id=draft.meta_task_id,
        proposer_id=proposer.agent_id,
        parameter=draft.parameter,
        from_value=change.before,
        to_value=change.after,
        from_version=change.version,
        metric=str(admitted.metric),
        scope=str(draft.scope),
        guardrails=admitted.guardrails,
        expected_effect=format(admitted.effect, "f"),
        cap_tasks=draft.cap_tasks,
        cap_days=draft.cap_days,
        admission_tasks=admitted.tasks,
        base_rate=admitted.base_rate,
        units_per_day=admitted.units_per_day,
        root_cause=draft.root_cause,
        evidence=list(draft.evidence),
        content_hash=change.content_hash,
        risk=str(change.parameter.risk),
        electorate_mode=mode,
        conflicts={f"agent:{number}": why for number, why in sorted(formed.conflicts.items())},
        rules=rules,
        format=audit_log.format_now(tx),
        state=ProposalState.OPEN,
        yes=0,
        no=0,
        abstain=0,
        electorate=len(formed.names),
        opened_at_us=tx.now_us,
        minimum_until_us=min(minimum, closes),
        closes_at_us=closes,
    )
    electors = [
        {"proposal_id": proposal_id, "agent_id": number, "unit": unit}
        for number, unit in formed.units.items()
    ]
    sql.insert_many(tx, tables.elector, electors)
    _record_filing(tx, proposal_id, formed)
    if tx.lap is not None and len(sql.find_all(tx, tables.proposal, lap_id=tx.lap, limit=2)) == 1:
        measuring.note_step(tx, Noted.PROPOSED)
    publish(tx, Event(EventType.PROPOSAL_FILED, f"proposal:{proposal_id}", {"proposal_id": proposal_id}))
    return proposal_id


def _record_filing(tx: Tx, proposal_id: int, formed: Electorate) -> None:
    row = get_proposal(tx, proposal_id)
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
            "scope": row["scope"],
            "guardrails": row["guardrails"],
            "expected_effect": row["expected_effect"],
            "cap_tasks": row["cap_tasks"],
            "cap_days": row["cap_days"],
            "content_hash": row["content_hash"],
            "evidence": row["evidence"],
            "root_cause_sha256": audit_log.keep_blob(tx, "root_cause", row["root_cause"].encode()),
            "electorate": formed.names,
            "proposer_unit": formed.proposer_unit,
            "electorate_mode": row["electorate_mode"],
            "electors": {f"agent:{number}": unit for number, unit in formed.units.items()},
            "conflicts": row["conflicts"],
            "rules": row["rules"],
            "opens_at_us": row["opened_at_us"],
            "closes_at_us": row["closes_at_us"],
            "risk": row["risk"],
        },
    )
