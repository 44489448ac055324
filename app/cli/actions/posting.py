"""`nacre task post` and `nacre task cancel`: the operator as a requester.

Stands over the market (L4). Tasks are posted in the name of an agent called `operator`, registered when it is
first needed; nobody holds its key. A payload is checked against its type before anything is written.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.api.strict_json import BodyRefusedError, check_json
from app.cli.actions.operating import OPERATOR, opened_platform, refused
from app.cli.actions.screen import say_json, say_line
from app.keys import new_agent_key
from app.tasks.task_type import PreparedTask, TaskType
from services import meta_task_market
from services.domain.clock import SECOND_US
from services.domain.errors import ConflictError, InvalidValueError
from services.domain.states import Scope, TaskKind, TaskState
from services.meta_task_market import TaskTerms
from services.operations import agent_registry, production_config
from services.store import sql, tables, views
from services.store.tx import Tx

PAYLOAD_BYTES_HIGHEST = 8 * 2**20


def post_task(
    database: str | None,
    *,
    task_type: str,
    payload: tuple[str | None, str | None],
    reserve_price_microcredits: int | None,
    deadline_seconds: int,
    workflow: str | None,
    as_json: bool,
) -> int:
    """Post a task and print its id, or the whole task as JSON."""
    values = read_payload(payload)
    with opened_platform(database) as platform:
        prepared = _prepared(platform.task_types, task_type, values)
        with platform.store.write(actor=OPERATOR) as tx:
            reserve = reserve_price_microcredits
            if reserve is None:
                reserve = int(production_config.number(tx, f"{task_type}.reserve_price_microcredits"))
            terms = TaskTerms(
                kind=TaskKind.USER,
                type=task_type,
                public=prepared.public,
                private=prepared.private,
                requester_id=requester(tx),
                reserve_price_microcredits=reserve,
                deadline_us=deadline_seconds * SECOND_US,
                workflow=workflow,
            )
            task_id = meta_task_market.post_task(tx, terms)
            posted = views.get_task(tx, task_id)
    if as_json:
        return say_json(posted)
    return say_line(f"task {task_id} is posted; `nacre task show {task_id}` follows it")


def cancel_task(database: str | None, task_id: int, *, as_json: bool) -> int:
    """Take a task back."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        meta_task_market.cancel_task(tx, task_id=task_id, agent_id=None)
    if as_json:
        return say_json({"state": TaskState.CANCELLED.value})
    return say_line(f"task {task_id} is cancelled; its money has returned")


def requester(tx: Tx) -> int:
    """Return the id of the agent `operator`, registered the first time.

    Raises ConflictError when somebody else's agent has that name.
    """
    row = sql.find(tx, tables.agent, name=OPERATOR)
    if row is not None and (row["owner"] != OPERATOR or Scope.POST not in row["scopes"]):
        msg = f"agent {row['id']} is called {OPERATOR!r} and is not the operator's own"
        raise ConflictError(msg, field="name", code="name_taken")
    if row is not None:
        return int(row["id"])
    return agent_registry.register(
        tx,
        name=OPERATOR,
        owner=OPERATOR,
        scopes=[Scope.POST],
        is_vouched=True,
        key_hash=agent_registry.key_hash(new_agent_key()),
    )


def read_payload(given: tuple[str | None, str | None]) -> dict[str, Any]:
    """Return the payload from an argument or an option: JSON, @FILE, or - for standard input."""
    texts = [text for text in given if text is not None]
    if len(texts) != 1:
        msg = "give the payload once, as an argument or with --payload: JSON, @FILE, or - for standard input"
        raise InvalidValueError(msg, field="payload", code="payload_missing" if not texts else None)
    raw = _bytes_of(texts[0])
    try:
        check_json(raw)
    except BodyRefusedError as error:
        said = str(error).replace("the body", "the payload")
        raise InvalidValueError(said, field="payload", code="payload_not_json") from error
    value = json.loads(raw)
    if not isinstance(value, dict):
        msg = 'the payload must be a JSON object, like {"samples": 20000}'
        raise InvalidValueError(msg, field="payload", code="payload_not_json")
    return value


def _bytes_of(text: str) -> bytes:
    if text == "-":
        raw = sys.stdin.buffer.read(PAYLOAD_BYTES_HIGHEST + 1)
    elif text.startswith("@"):
        raw = _file(Path(text[1:]))
    else:
        raw = text.encode()
    if len(raw) > PAYLOAD_BYTES_HIGHEST:
        msg = f"the payload is larger than {PAYLOAD_BYTES_HIGHEST} bytes"
        raise InvalidValueError(msg, field="payload", code="payload_too_large")
    return raw


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(PAYLOAD_BYTES_HIGHEST + 1)
    except OSError as error:
        msg = f"the payload cannot be read from {path}: {error.strerror}"
        raise InvalidValueError(msg, field="payload", code="file_unreadable") from error


def _prepared(types: Mapping[str, TaskType], name: str, values: dict[str, Any]) -> PreparedTask:
    kind = types.get(name)
    if kind is None:
        msg = f"there is no task type {name!r}; there are {', '.join(sorted(types))}"
        raise InvalidValueError(msg, field="type", code="type_unknown")
    try:
        return kind.prepare(values)
    except ValidationError as error:
        raise refused(error, "payload") from error
