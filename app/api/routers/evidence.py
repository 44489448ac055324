"""What the loop knows and did: metrics, episodes, experiments and laps, all read-only.

Stands over the read models (L1, L6 and the lap that joins all). It never changes anything.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from app.api import examples, experiment_examples
from app.api.answers import Id, PageAsked, answer, described, found, page_of
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.domain.states import EpisodeState, ExperimentKind, ExperimentState
from services.evolution_ledger import certificates
from services.store import views

router = APIRouter(tags=["evidence"], route_class=StrictRoute)

Key = Annotated[str, Query(max_length=80, pattern=r"^[^\x00-\x1f]*$")]


@router.get(
    "/metrics/success", summary="List snapshots of task success", **described(page_of(examples.SNAPSHOT))
)
def list_snapshots(
    request: Request,
    page: PageAsked,
    dimension: Literal["platform", "task_type", "agent"] | None = None,
    key: Key | None = None,
) -> Response:
    """Return what the observatory counted: numerator and denominator per window, never only a ratio."""
    with platform_of(request).store.read() as tx:
        return answer(
            views.list_snapshots(tx, metric="task_success", dimension=dimension, key=key, **page.arguments())
        )


@router.get("/episodes", summary="List episodes", **described(page_of(examples.EPISODE)))
def list_episodes(request: Request, page: PageAsked, state: EpisodeState | None = None) -> Response:
    """Return the stretches during which a metric was out of its band."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_episodes(tx, state=state, **page.arguments()))


@router.get("/episodes/{episode_id}", summary="Show an episode", **described(examples.EPISODE, 404))
def show_episode(request: Request, episode_id: Id) -> Response:
    """Return one episode with its evidence."""
    with platform_of(request).store.read() as tx:
        return found(views.get_episode(tx, episode_id), "episode", episode_id)


@router.get("/experiments", summary="List experiments", **described(page_of(experiment_examples.EXPERIMENT)))
def list_experiments(
    request: Request,
    page: PageAsked,
    state: ExperimentState | None = None,
    kind: Annotated[
        ExperimentKind, Query(description="change: voted changes; placebo: both arms alike (A/A)")
    ] = ExperimentKind.CHANGE,
) -> Response:
    """Return experiments of a kind with both legs and the evidence so far."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_experiments(tx, state=state, kind=kind, **page.arguments()))


@router.get(
    "/experiments/{experiment_id}",
    summary="Show an experiment",
    **described(experiment_examples.EXPERIMENT_LIFE, 404),
)
def show_experiment(request: Request, experiment_id: Id) -> Response:
    """Return one experiment with the path of its bet, task by task, through trial and probation."""
    with platform_of(request).store.read() as tx:
        return found(views.get_experiment(tx, experiment_id), "experiment", experiment_id)


@router.get(
    "/experiments/{experiment_id}/certificate",
    summary="Get the certificate of an experiment",
    **described(experiment_examples.CERTIFICATE, 404, 409),
)
def certificate(request: Request, experiment_id: Id) -> Response:
    """Return everything needed to recompute both legs; `nacre experiment verify FILE` does it offline.

    The ledger's entries with their proofs to a signed checkpoint, the records, and per record the m and log E
    that the platform claims. There is one as soon as the trial has its verdict in the ledger.
    """
    platform = platform_of(request)
    with platform.store.read() as tx:
        return answer(certificates.certificate(tx, platform.signer, experiment_id))


@router.get("/laps", summary="List laps", **described(page_of(examples.LAP)))
def list_laps(request: Request, page: PageAsked) -> Response:
    """Return turns of the loop, each with its seven stages."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_laps(tx, **page.arguments()))


@router.get("/laps/{lap_id}", summary="Show a lap", **described(examples.LAP, 404))
def show_lap(request: Request, lap_id: Id) -> Response:
    """Return one turn of the loop with everything that its lap id joins."""
    with platform_of(request).store.read() as tx:
        return found(views.get_lap(tx, lap_id), "lap", lap_id)
