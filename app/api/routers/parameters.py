"""Parameters: what is in force and why, at any time and for any task, and a person's own acts on them.

Stands over production config and the evolution ledger (L7). Only the operator sets a value or takes a
promotion back, with a reason that stays in the ledger; everybody else proposes.
"""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api import examples, parameter_examples
from app.api.answers import Cursor, Id, JsonObject, Limit, answer, described, existing, found, page_of
from app.api.bodies import Rollback
from app.api.idempotency import Gate
from app.api.parameter_bodies import Import, Override
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services import evolution_ledger
from services.operations import overrides
from services.operations.overrides import Wanted
from services.store import views
from services.store.tx import Tx
from services.store.views import LIMIT_DEFAULT

router = APIRouter(tags=["parameters"], route_class=StrictRoute)

Name = Annotated[str, Path(max_length=96, examples=[examples.TIMEOUT])]
Point = Annotated[
    str,
    Query(max_length=40, examples=[examples.AT], description="an RFC 3339 instant, or a size of the ledger"),
]
From = Annotated[
    str, Query(alias="from", max_length=40, examples=["1"], description="an instant, or a size of the ledger")
]


@router.get("/parameters", summary="List parameters", **described(page_of(examples.PARAMETER)))
def list_parameters(request: Request, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Response:
    """Return every registered parameter by name, with the value in force and its source."""
    platform = platform_of(request)
    with platform.store.read() as tx:
        return answer(views.list_parameters(tx, platform.registry, limit=limit, cursor=cursor))


@router.get("/parameters/export", summary="Export the config", **described(parameter_examples.EXPORT))
def export_parameters(request: Request) -> Response:
    """Return every value in force with its version, the hash of the config and the size of the ledger."""
    with platform_of(request).store.read() as tx:
        return answer(views.config_now(tx))


@router.get(
    "/parameters/diff", summary="Compare the config of two times", **described(parameter_examples.DIFF, 404)
)
def diff_parameters(request: Request, before: From, to: Point) -> Response:
    """Return what differs between the configs of two instants or ledger sizes, with who and why."""
    with platform_of(request).store.read() as tx:
        return answer(views.config_diff(tx, before, to))


@router.post(
    "/parameters/import",
    summary="Set many parameters at once",
    **described(parameter_examples.IMPORT, 400, 403, 404, 409),
)
def import_parameters(request: Request, body: Import, gate: Gate) -> Response:
    """Put all values into force, each with its own ledger entry, or none. Only the operator can.

    What is in force already is left out. Where a value carries a `version`, it is only set if that is still
    in force. The refusal names the first parameter that does not fit. With `dry_run` nothing is changed.
    """
    gate.caller.require_operator()
    registry = platform_of(request).registry
    wanted = [Wanted(name, item.value, item.version) for name, item in body.parameters.items()]

    def act(tx: Tx) -> JsonObject:
        if body.dry_run:
            planned, done = overrides.plan(tx, registry, wanted), []
        else:
            done = overrides.set_many(tx, registry, wanted, reason=body.reason)
            planned = [one.planned for one in done]
        changes = [one.to_payload() for one in planned]
        return {"dry_run": body.dry_run, "changes": changes, "done": [one.to_payload() for one in done]}

    return gate.run(act)


@router.get("/parameters/{name}", summary="Show a parameter", **described(examples.PARAMETER_LIFE, 404))
def show_parameter(request: Request, name: Name, at: Point | None = None) -> Response:
    """Return one parameter with its history; with `at` also what was in force then, as `in_force_at`."""
    platform = platform_of(request)
    with platform.store.read() as tx:
        shown = existing(views.get_parameter(tx, platform.registry, name), "parameter", name)
        then = {} if at is None else {"in_force_at": views.parameter_at(tx, name, at)}
        return answer({**shown, **then})


@router.get(
    "/tasks/{task_id}/parameters",
    summary="Show the values that a task got",
    **described(parameter_examples.OF_TASK, 404),
)
def task_parameters(request: Request, task_id: Id) -> Response:
    """Return the values in force for a task, each with its source: arm, promoted, override, holdout, default.

    They are fixed at its first award. Before it, the production values of its type as of now are shown.
    """
    with platform_of(request).store.read() as tx:
        return found(views.task_parameters(tx, task_id), "task", task_id)


@router.post(
    "/parameters/{name}/override",
    summary="Set a parameter by hand",
    **described(parameter_examples.OVERRIDE, 400, 403, 404, 409),
)
def override(request: Request, name: Name, body: Override, gate: Gate) -> Response:
    """Put a person's value into force, read it back and write it down. Only the operator can.

    Bounds hold, the step limit does not, and FIXED parameters can be set too: it is a person's recorded act.
    409 `version_changed` where `expected_version` is no longer in force, `experiment_running` while an
    experiment holds the parameter, `parameter_retired` where no registry declares it any more.
    """
    gate.caller.require_operator()
    registry = platform_of(request).registry
    wanted = Wanted(name, body.value, body.expected_version)

    def act(tx: Tx) -> JsonObject:
        return overrides.set_parameter(tx, registry, wanted, reason=body.reason).to_payload()

    return gate.run(act)


@router.post(
    "/parameters/{name}/rollback",
    summary="Take a promotion back",
    **described(
        {"name": examples.TIMEOUT, "value": "0.9", "version": 3, "read_back": "0.9"}, 400, 403, 404, 409
    ),
)
def rollback(request: Request, name: Name, body: Rollback, gate: Gate) -> Response:
    """Restore the value before the newest promotion and read it back. Only the operator can."""
    gate.caller.require_operator()
    registry = platform_of(request).registry

    def act(tx: Tx) -> JsonObject:
        return asdict(evolution_ledger.rollback(tx, registry, parameter=name, reason=body.reason))

    return gate.run(act)
