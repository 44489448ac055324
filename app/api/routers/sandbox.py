"""The sandbox as an instrument over HTTP: its state, and the two acts that only a person may do to it.

Stands over the read model and the evolution ledger (L7). Lifting a freeze and renewing the holdout are
recorded acts of the operator. It never starts, stops or decides an experiment.
"""

from fastapi import APIRouter, Request, Response

from app.api import experiment_examples
from app.api.answers import JsonObject, answer, described
from app.api.bodies import HoldoutRenewal, Unfreezing
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services import evolution_ledger
from services.operations import health
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["sandbox"], route_class=StrictRoute)


@router.get("/sandbox", summary="Show the state of the sandbox", **described(experiment_examples.SANDBOX))
def show_sandbox(request: Request) -> Response:
    """Return the stream, the placebos, the freeze, the holdout, and what is on trial in which layer.

    `hold` is why promotions wait for a check of correctness, null while none fails.
    """
    platform = platform_of(request)
    with platform.store.read() as tx:
        state = views.sandbox_state(tx, platform.registry)
        return answer({**state, "hold": health.promotion_hold(tx)})


@router.post(
    "/sandbox/unfreeze",
    summary="Let promotions go on",
    **described({"ledger_index": 41}, 400, 403, 409),
)
def unfreeze(body: Unfreezing, gate: Gate) -> Response:
    """Lift the freeze that placebos have pulled. Only the operator can; it goes into the ledger."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        return {"ledger_index": evolution_ledger.unfreeze(tx, reason=body.reason)}

    return gate.run(act)


@router.post(
    "/sandbox/holdout/renew",
    summary="Begin the next epoch of the holdout",
    **described({"epoch_id": 2}, 400, 403),
)
def renew_holdout(request: Request, body: HoldoutRenewal, gate: Gate) -> Response:
    """Let the holdout go on from the config in force. Only the operator can; it goes into the ledger."""
    gate.caller.require_operator()
    entropy = platform_of(request).context.entropy

    def act(tx: Tx) -> JsonObject:
        return {"epoch_id": evolution_ledger.renew_epoch(tx, entropy, reason=body.reason)}

    return gate.run(act)
