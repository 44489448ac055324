"""The operator's acts: register an agent, roll back, look at the jobs.

Stands over the whole platform, opened by the composition root without starting anything. Every act is one
transaction of a service in the operator's name. It never goes around a service.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from pydantic import ValidationError

from app.bootstrap import Platform, open_platform
from app.cli.actions.opening import existing, opened_store
from app.cli.actions.screen import say_item, say_json, say_line, say_note
from app.keys import new_agent_key
from services import evolution_ledger
from services.domain.errors import ConflictError, InvalidValueError
from services.domain.states import Scope, Standing
from services.operations import agent_registry, overrides, review_queue, standing
from services.operations.overrides import Wanted
from services.store import migrate

OPERATOR = "operator"
LINE_LENGTH_HIGHEST = 80


@contextmanager
def opened_platform(database: str | None) -> Iterator[Platform]:
    """Yield the platform over an existing database; nothing runs. Raises ConflictError for an old schema."""
    settings = existing(database)
    with opened_store(settings):
        at, newest = migrate.current_revision(settings.database_url), migrate.newest_revision()
    if at != newest:
        msg = f"the database is at revision {at or 'none'}, not at {newest}; run `nacre db upgrade`"
        raise ConflictError(msg, field="database", code="schema_outdated")
    platform = open_platform(settings, is_migrated=True)
    try:
        yield platform
    finally:
        platform.close()


def check_line(option: str, value: str) -> None:
    """Raise InvalidValueError unless the value is one line of visible text, as the API asks for."""
    is_visible = value.strip() and not any(ord(one) < 32 or ord(one) == 127 for one in value)  # noqa: PLR2004 (ASCII)
    if not is_visible or len(value) > LINE_LENGTH_HIGHEST:
        msg = (
            f"{option} must be 1 to {LINE_LENGTH_HIGHEST} visible characters on one line, not {value[:90]!r}"
        )
        raise InvalidValueError(msg, field=option)


def refused(error: ValidationError, prefix: str = "") -> InvalidValueError:
    """Return pydantic's first finding as one sentence with its place."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    place = (prefix + "".join(parts)).lstrip(".")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InvalidValueError(
        f"{place or 'payload'}: {first['msg']}{more}", field=place, code="validation_failed"
    )


def register_agent(
    database: str | None,
    *,
    name: str,
    owner: str,
    model: str | None,
    scopes: list[str],
    is_vouched: bool,
    as_json: bool,
) -> int:
    """Register an agent and print its key, alone on standard output unless JSON is asked for."""
    named = {"NAME": name, "--owner": owner, **({} if model is None else {"--model": model})}
    for option, value in named.items():
        check_line(option, value)
        agent_registry.check_name(value, option)
    key = new_agent_key()
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        agent_id = agent_registry.register(
            tx,
            name=name,
            owner=owner,
            scopes=sorted({Scope(scope) for scope in scopes}),
            is_vouched=is_vouched,
            key_hash=agent_registry.key_hash(key),
            model=model,
        )
    if as_json:
        return say_json({"agent_id": agent_id, "name": name, "api_key": key})
    say_note(f"agent {agent_id} ({name}) is registered; this is its key, shown only now:")
    return say_line(key)


def reinstate_agent(database: str | None, agent_id: int, *, reason: str, as_json: bool) -> int:
    """Put a suspended agent back on probation."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        standing.reinstate(tx, agent_id, reason=reason)
    answer = {"agent_id": agent_id, "standing": str(Standing.PROBATION)}
    return say_item(answer, {}, as_json=as_json)


def rollback_parameter(database: str | None, *, name: str, reason: str, as_json: bool) -> int:
    """Restore the value before the newest promotion and print what was read back."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        done = evolution_ledger.rollback(tx, platform.registry, parameter=name, reason=reason)
    return say_item(asdict(done), {}, as_json=as_json)


def set_parameter(
    database: str | None, *, name: str, value: str, version: int | None, reason: str, as_json: bool
) -> int:
    """Put a value into force by hand and print what was read back."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        wanted = Wanted(name, value, version)
        done = overrides.set_parameter(tx, platform.registry, wanted, reason=reason)
    return say_item(done.to_payload(), {}, as_json=as_json)


def close_review_item(database: str | None, item_id: int, *, as_json: bool) -> int:
    """Mark a review item as seen to."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        review_queue.close_item(tx, item_id)
    return say_item({"item_id": item_id, "state": "closed"}, {}, as_json=as_json)
