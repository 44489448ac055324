"""Proposals and ballots: file a typed change, vote on it, take it back.

Stands over the proposal system (L5). The proposer and the voter are whoever holds the key. It never tallies.
"""

from fastapi import APIRouter, Request, Response

from app.api import vote_examples as examples
from app.api.answers import Id, JsonObject, PageAsked, answer, described, existing, found, page_of
from app.api.bodies import NewBallot, NewProposal, Nothing
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services import proposal_system
from services.domain.errors import InvalidValueError
from services.domain.states import BallotChoice, ExperimentScope, ProposalState, Scope
from services.proposal_system import ProposalDraft
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["proposals"], route_class=StrictRoute)


@router.post(
    "/proposals",
    summary="Propose a change",
    **described(examples.PROPOSAL_LIFE, 400, 403, 409, status=201),
)
def file_proposal(request: Request, body: NewProposal, gate: Gate) -> Response:
    """File a typed change with its evidence; its electorate is frozen now. Needs the scope `propose`.

    Whatever would have to be refused later is refused here, by name (`code`):

    - the change: `parameter_unknown`, `parameter_fixed`, `parameter_untestable` (it governs no task type,
      so only a person can set it), `parameter_gated` (only in a ledger of an older format, which knows no
      review), `value_not_a_number`, `value_out_of_bounds`, `value_not_whole`,
      `value_not_a_choice`, `value_not_a_text`, `value_length`, `value_unseen_character`, `value_unchanged`,
      `step_too_large`
    - what it stands on: `evidence_unknown`, `meta_task_unknown`
    - how it would be judged: `metric_unknown`, `effect_out_of_bounds`, `effect_too_large`, `guardrail_twice`,
      `margin_out_of_bounds`, `scope_platform_needed` (what decides who gets a task is tried in windows of
      the platform)
    - whether that can be finished: `admission_refused` (the trial's tasks do not fit its cap or the
      traffic), `confirmation_refused` (probation could not confirm so small an effect at the stream's
      level); both carry `needed_tasks`; `guardrail_unprovable` (nor prove so small a margin of task
      success), with `needed_margin`
    - whether it is free (409): `experiment_running`, `proposal_already_live`, `resubmission_cool_off`,
      `filings_exhausted`; the last two carry `possible_at`

    A change tried for `task_duration` or `task_cost` always guards task success, by the margin in force
    (`sandbox.guardrail_margin_percent`) where the proposal states none. A GATED parameter may be proposed:
    what passes its vote then waits for a person (see `/reviews`). The body's own schema is published as
    `docs/proposal.schema.json`, the whole rule of the vote as `docs/voting.md`.
    """
    proposer_id = gate.caller.require_agent(Scope.PROPOSE)
    registry = platform_of(request).registry
    if registry.find(body.parameter) is None and registry.passes_for(body.parameter) is None:
        raise InvalidValueError(
            f"there is no parameter {body.parameter!r}; GET /parameters lists them",
            field="body.parameter",
            code="parameter_unknown",
        )
    draft = ProposalDraft(
        parameter=body.parameter,
        to=body.to,
        expected_effect=body.expected_effect,
        root_cause=body.root_cause,
        evidence=tuple(body.evidence),
        cap_tasks=body.cap_tasks,
        cap_days=body.cap_days,
        meta_task_id=body.meta_task_id,
        metric=body.metric,
        scope=ExperimentScope(body.scope),
        guardrails=tuple((item.metric, item.margin) for item in body.guardrails),
    )

    def act(tx: Tx) -> JsonObject:
        proposal_id = proposal_system.file_proposal(tx, registry, draft, proposer_id)
        return existing(views.get_proposal(tx, proposal_id), "proposal", proposal_id)

    return gate.run(act, status=201)


@router.get("/proposals", summary="List proposals", **described(page_of(examples.PROPOSAL)))
def list_proposals(request: Request, page: PageAsked, state: ProposalState | None = None) -> Response:
    """Return proposals with their counts, without electors and ballots."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_proposals(tx, state=state, **page.arguments()))


@router.get("/proposals/{proposal_id}", summary="Show a proposal", **described(examples.PROPOSAL_LIFE, 404))
def show_proposal(request: Request, proposal_id: Id) -> Response:
    """Return one proposal with all that a voter needs: electorate, conflicts, rules, ballots, review.

    `electors` were frozen at the opening, each with the `unit` whose one ballot it can cast; `conflicts` says
    who had to leave. `need` counts the ballots for that carry it: `early` whatever the silent do, `at_close`
    if it closed now. `admission` is what the trial takes at the traffic of the opening, `inverse` the change
    that takes it back. A text that was erased is shown as `[erased]`.
    """
    with platform_of(request).store.read() as tx:
        return found(views.get_proposal(tx, proposal_id), "proposal", proposal_id)


@router.post(
    "/proposals/{proposal_id}/ballots",
    summary="Cast a ballot",
    **described({"ballot_id": 11}, 400, 403, 404, 409, status=201),
)
def cast_ballot(proposal_id: Id, body: NewBallot, gate: Gate) -> Response:
    """Vote once, if the calling agent is in the electorate. A vote against needs a reason."""
    agent_id = gate.caller.require_agent(Scope.VOTE)

    def act(tx: Tx) -> JsonObject:
        ballot_id = proposal_system.cast_ballot(
            tx,
            proposal_id=proposal_id,
            agent_id=agent_id,
            choice=BallotChoice(body.choice),
            reason=body.reason,
            forecast_percent=body.forecast_percent,
        )
        return {"ballot_id": ballot_id}

    return gate.run(act, status=201)


@router.post(
    "/proposals/{proposal_id}/withdraw",
    summary="Take a proposal back",
    **described({"state": "withdrawn"}, 400, 403, 404, 409),
)
def withdraw(proposal_id: Id, gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Take a proposal back before its first ballot; only its proposer can."""
    agent_id = gate.caller.require_agent(Scope.PROPOSE)

    def act(tx: Tx) -> JsonObject:
        proposal_system.withdraw(tx, proposal_id=proposal_id, agent_id=agent_id)
        return {"state": ProposalState.WITHDRAWN.value}

    return gate.run(act)
