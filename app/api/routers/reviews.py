"""The review gate over HTTP: what waits for a person, exactly what they are shown, and their one decision.

Stands over the proposal system (L5). A decision is bound to the hash of what was shown, and only the
operator's key carries it. It never decides by itself, not even by silence: that is the tally's job.
"""

from fastapi import APIRouter, Request, Response

from app.api import vote_examples as examples
from app.api.answers import Id, JsonObject, PageAsked, answer, described, found, page_of
from app.api.decision_bodies import ReviewDecision
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services import proposal_system
from services.domain.states import ReviewState
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["proposals"], route_class=StrictRoute)


@router.get("/reviews", summary="List reviews of GATED changes", **described(page_of(examples.REVIEW)))
def list_reviews(request: Request, page: PageAsked, state: ReviewState | None = None) -> Response:
    """Return what waits, or waited, for a person: GATED changes that passed their vote."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_reviews(tx, state=state, **page.arguments()))


@router.get(
    "/reviews/{proposal_id}", summary="Show what a review shows", **described(examples.REVIEW_LIFE, 404)
)
def show_review(request: Request, proposal_id: Id) -> Response:
    """Return the review of a proposal with `shown`, all that the person decides on.

    `shown_sha256` is the SHA-256 of `shown` as canonical JSON (RFC 8785); the ledger holds the same hash.
    """
    with platform_of(request).store.read() as tx:
        return found(views.get_review(tx, proposal_id), "review of proposal", proposal_id)


@router.post(
    "/reviews/{proposal_id}/decision",
    summary="Decide a review",
    **described({"proposal_id": 9, "decision": "approved"}, 400, 403, 404, 409),
)
def decide_review(proposal_id: Id, body: ReviewDecision, gate: Gate) -> Response:
    """Let a GATED change go into the sandbox, or turn it down: once, with a reason. Operator only.

    `shown_sha256` says what was looked at; without a decision until `expires_at` the answer is no. Refused:

    - `review_missing` (404): this proposal was never laid before a person
    - `review_changed`, `review_decided`, `review_expired` (409)
    - `reviewer_proposed` (403): the name is the proposing agent's or its owner's
    - `reviewer_missing`, `reason_missing` (422)
    """
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        decision = proposal_system.decide_review(
            tx,
            proposal_id=proposal_id,
            shown_sha256=body.shown_sha256,
            is_approved=body.decision == "approve",
            reviewer=body.reviewer,
            reason=body.reason,
        )
        return {"proposal_id": proposal_id, "decision": str(decision)}

    return gate.run(act)
