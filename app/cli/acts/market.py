"""The acts of `nacre task`, `nacre task-type` and `nacre agent`.

Stand over the market (L4) and the agent registry, with the API's own checks of what is sent. Local tasks are
posted by an agent named 'operator'; its key is thrown away, since nobody needs it.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.api.bodies import NewAgent, NewTask
from app.cli.acts.listing import list_page, show_one
from app.cli.acts.opening import existing_platform, platform_or_new
from app.cli.acts.payloads import read_payload
from app.cli.acts.printing import instant, key, print_item, print_json, print_page, say
from app.keys import new_agent_key
from app.tasks.registry import load_registry
from app.tasks.task_type import PreparedTask, TaskType
from services import meta_task_market
from services.domain.clock import SECOND_US
from services.domain.errors import ConflictError, InvalidValueError
from services.domain.states import Scope, TaskKind, TaskState
from services.meta_task_market import TaskTerms
from services.operations import agent_registry, production_config
from services.store import sql, tables, views
from services.store.tx import Tx

OPERATOR = "operator"
Body = TypeVar("Body", bound=BaseModel)

TASKS = (
    key("task_id", "id"),
    key("type"),
    key("kind"),
    key("state"),
    key("end_reason", "ended as"),
    key("requester_id", "requester"),
    key("awarded_agent_id", "agent"),
    key("reserve_price_microcredits", "reserve µcr"),
    instant("posted_at"),
)
AGENTS = (
    key("agent_id", "id"),
    key("name"),
    key("owner"),
    key("standing"),
    key("scopes"),
    ("verified", lambda item: f"{item['verified_jobs']} of {item['settled_jobs']}"),
    key("balance_microcredits", "balance µcr"),
    instant("last_active_at"),
)
TYPES = (key("name"), key("summary"), key("example"))

list_tasks = functools.partial(list_page, views.list_tasks, TASKS, "tasks")
list_agents = functools.partial(list_page, views.list_agents, AGENTS, "agents")


def show_task(*, task_id: int, database: str | None, as_json: bool) -> None:
    """Print a task's whole life."""
    show_one(lambda _, tx: views.get_task(tx, task_id), f"task {task_id}", database=database, as_json=as_json)


def show_agent(*, agent_id: int, database: str | None, as_json: bool) -> None:
    """Print one agent."""
    show_one(
        lambda _, tx: views.get_agent(tx, agent_id), f"agent {agent_id}", database=database, as_json=as_json
    )


def list_task_types(*, as_json: bool) -> None:
    """Print the task types of this installation; the broken entry points go with them."""
    loaded = load_registry()
    items = [_type_of(kind) for kind in loaded.types.values()]
    print_page({"items": items, "next_cursor": None}, TYPES, what="task types", as_json=as_json)
    for broken in loaded.broken if not as_json else ():
        say(f"left out: entry point {broken.name} ({broken.path}): {broken.why}")


def _type_of(kind: TaskType) -> dict[str, Any]:
    names = [f"{kind.name}.{spec.suffix}" for spec in kind.parameters]
    return {"name": kind.name, "summary": kind.summary, "example": kind.example, "parameters": names}


def post_task(
    *,
    task_type: str,
    payload: str | None,
    payload_option: str | None,
    reserve_price: int | None,
    deadline: int | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Post a task as the agent 'operator' and print it."""
    kind = _known_type(load_registry().types, task_type)
    sent: dict[str, Any] = {"type": task_type, "payload": read_payload(kind, payload, payload_option)}
    if reserve_price is not None:
        sent["reserve_price_microcredits"] = reserve_price
    if deadline is not None:
        sent["deadline_seconds"] = deadline
    body = _checked(NewTask, sent)
    prepared = _prepared(kind, body.payload)
    with platform_or_new(database) as platform:
        with platform.store.write(actor=OPERATOR) as tx:
            task_id = _post(tx, body, prepared, requester_agent(tx))
        with platform.store.read() as tx:
            task = views.get_task(tx, task_id)
    assert task is not None  # noqa: S101 (it was posted above)
    if as_json:
        print_json(task)
        return
    price = task["reserve_price_microcredits"]
    say(f"Task {task_id} ({task_type}) is posted for at most {price} micro-credits.")
    say(f"Bids close at {task['bids_close_at']}. Follow it: nacre task show {task_id}")


def _post(tx: Tx, body: NewTask, prepared: PreparedTask, requester_id: int) -> int:
    reserve = body.reserve_price_microcredits
    if reserve is None:
        reserve = int(production_config.number(tx, f"{body.type}.reserve_price_microcredits"))
    terms = TaskTerms(
        kind=TaskKind.USER,
        type=body.type,
        public=prepared.public,
        private=prepared.private,
        requester_id=requester_id,
        reserve_price_microcredits=reserve,
        deadline_us=body.deadline_seconds * SECOND_US,
    )
    return meta_task_market.post_task(tx, terms)


def requester_agent(tx: Tx) -> int:
    """Return the id of the agent 'operator', registered when it is missing.

    Raises ConflictError when somebody else's agent has that name.
    """
    row = sql.find(tx, tables.agent, name=OPERATOR)
    if row is None:
        return agent_registry.register(
            tx,
            name=OPERATOR,
            owner=OPERATOR,
            scopes=[Scope.POST],
            is_vouched=True,
            key_hash=agent_registry.key_hash(new_agent_key()),
        )
    if row["owner"] != OPERATOR or Scope.POST not in row["scopes"]:
        detail = f"agent {row['id']} is called {OPERATOR!r} and is not the operator's requester"
        raise ConflictError(detail, field="name", code="name_taken")
    return int(row["id"])


def cancel_task(*, task_id: int, reason: str, database: str | None, as_json: bool) -> None:
    """Take a task back as the operator."""
    if not reason.strip():
        raise InvalidValueError("a cancellation needs a reason", field="reason", code="reason_missing")
    with existing_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        meta_task_market.cancel_task(tx, task_id=task_id, agent_id=None)
    print_item({"task_id": task_id, "state": TaskState.CANCELLED.value}, as_json=as_json)


def register_agent(
    *, name: str, scopes: Sequence[Scope], owner: str, is_vouched: bool, database: str | None, as_json: bool
) -> None:
    """Register an agent and print its key, the only time."""
    if not scopes:
        known = ", ".join(Scope)
        raise InvalidValueError(f"say what the key may do: --scope with {known}", field="scope")
    named = sorted({str(scope) for scope in scopes})
    body = _checked(NewAgent, {"name": name, "owner": owner, "scopes": named, "vouched": is_vouched})
    api_key = new_agent_key()
    with platform_or_new(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        agent_id = agent_registry.register(
            tx,
            name=body.name,
            owner=body.owner,
            scopes=[Scope(scope) for scope in body.scopes],
            is_vouched=body.vouched,
            key_hash=agent_registry.key_hash(api_key),
        )
    if as_json:
        print_json({"agent_id": agent_id, "name": name, "api_key": api_key})
        return
    say(f"Agent {agent_id} ({name}) is registered, for {', '.join(named)}.")
    say("Its key, shown only now:")
    say(api_key)


def _known_type(types: Mapping[str, TaskType], name: str) -> TaskType:
    found = types.get(name)
    if found is None:
        known = ", ".join(sorted(types))
        raise InvalidValueError(f"there is no task type {name!r}; there are {known}", code="type_unknown")
    return found


def _checked(model: type[Body], sent: Mapping[str, object]) -> Body:
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        raise _invalid(error) from error


def _prepared(kind: TaskType, payload: dict[str, Any]) -> PreparedTask:
    try:
        return kind.prepare(payload)
    except ValidationError as error:
        raise _invalid(error, "payload") from error


def _invalid(error: ValidationError, *place: str) -> InvalidValueError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    sentences = [f"{'.'.join(map(str, (*place, *item['loc'])))}: {item['msg']}" for item in found]
    return InvalidValueError("; ".join(sentences), code="validation_failed")
