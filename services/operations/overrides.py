"""A person's own changes of the config: one value, or many in one act, each with its reason in the ledger.

Stands beside production config. Bounds hold, the step limit and FIXED do not: this is what a person answers
for, and nobody else can do it. It never touches a parameter that an experiment holds, and it never changes
one value of an import when another is refused.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import OPERATOR, EntryType
from services.domain.parameters import Parameter, ParameterRegistry, canonical_value
from services.domain.states import LIVE_EXPERIMENTS, ValueSource
from services.event_bus import publish
from services.operations import audit_log, production_config
from services.store import sql, tables
from services.store.tx import Tx

REASON_LENGTH_MAX = 500
ACT = "set_parameter"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value that a person wants in force; without `version` whatever version is in force now."""

    parameter: str
    value: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What an act would change: the value and version in force, and the canonical new value."""

    parameter: str
    before: str
    after: str
    version: int

    def to_payload(self) -> dict[str, object]:
        """Return the JSON object that is shown before the act."""
        return {"parameter": self.parameter, "from": self.before, "to": self.after, "version": self.version}


@dataclass(frozen=True, slots=True)
class OverrideReceipt:
    """What an override did, the value read back and the ledger entry included."""

    name: str
    before: str
    value: str
    version: int
    read_back: str
    ledger_index: int

    @property
    def planned(self) -> PlannedChange:
        """Return the change as it was planned."""
        return PlannedChange(self.name, self.before, self.value, self.version - 1)

    def to_payload(self) -> dict[str, object]:
        """Return the JSON object that is shown after the act."""
        return asdict(self)


def set_parameter(tx: Tx, registry: ParameterRegistry, wanted: Wanted, *, reason: str) -> OverrideReceipt:
    """Put a person's value into force, read it back and write it down.

    Raises ForbiddenError for anybody but the operator, InvalidValueError for a value that does not fit or is
    in force already, ConflictError (`experiment_running`, `version_changed`, `parameter_retired`).
    """
    tx = _as_operator(tx, reason)
    planned = _planned(tx, registry, wanted, "body.value")
    if planned is None:
        msg = f"{wanted.parameter} is already {wanted.value[:40]}"
        raise InvalidValueError(msg, field="body.value", code="value_unchanged")
    return _set(tx, planned, reason)


def plan(tx: Tx, registry: ParameterRegistry, wanted: Sequence[Wanted]) -> list[PlannedChange]:
    """Return what an import would change, by name; what is in force already is left out.

    Raises what `set_parameter` raises, naming the first parameter that is refused; duplicates are refused.
    """
    names = [one.parameter for one in wanted]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{twice[0]} is named twice; which value is meant?"
        raise InvalidValueError(msg, field=f"parameters.{twice[0]}", code="parameter_twice")
    ordered = sorted(wanted, key=lambda one: one.parameter)
    found = [_planned(tx, registry, one, f"parameters.{one.parameter[:96]}") for one in ordered]
    return [one for one in found if one is not None]


def set_many(
    tx: Tx, registry: ParameterRegistry, wanted: Sequence[Wanted], *, reason: str
) -> list[OverrideReceipt]:
    """Put all values into force, each with its own entry, or none: whatever is refused is raised."""
    tx = _as_operator(tx, reason)
    return [_set(tx, one, reason) for one in plan(tx, registry, wanted)]


def _as_operator(tx: Tx, reason: str) -> Tx:
    if tx.actor != OPERATOR:
        msg = "only the operator sets a parameter by hand; agents propose"
        raise ForbiddenError(msg, field="parameter")
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX:
        msg = f"an override needs a reason of 1 to {REASON_LENGTH_MAX} characters: it stays in the ledger"
        code = "reason_length" if reason.strip() else "reason_missing"
        raise InvalidValueError(msg, field="body.reason", code=code)
    return audit_log.take_turn(tx)


def _planned(tx: Tx, registry: ParameterRegistry, wanted: Wanted, field: str) -> PlannedChange | None:
    """Return the change that is wanted after all checks, or None where the value is in force already."""
    parameter = _registered(tx, registry, wanted.parameter)
    value = canonical_value(parameter, wanted.value, field=field)
    now = production_config.effective(tx, parameter.name)
    if value == now.value:
        return None
    if wanted.version is not None and wanted.version != now.version:
        msg = f"{parameter.name} is at version {now.version} ({now.value[:40]}), not at {wanted.version}"
        raise ConflictError(msg, field="parameter", code="version_changed", version=now.version)
    _require_free(tx, parameter.name)
    return PlannedChange(parameter.name, now.value, value, now.version)


def _registered(tx: Tx, registry: ParameterRegistry, name: str) -> Parameter:
    found = registry.find(name)
    if found is not None:
        return found
    if sql.find(tx, tables.parameter, name=name) is not None:
        msg = f"{name} is retired: no registry declares it any more; its value and its history stay"
        raise ConflictError(msg, field="parameter", code="parameter_retired")
    msg = f"there is no parameter {name[:96]!a}; list them with `nacre parameter list`"
    raise NotFoundError(msg, field="parameter")


def _require_free(tx: Tx, name: str) -> None:
    held = sql.find_all(tx, tables.experiment, parameter=name, state=list(LIVE_EXPERIMENTS), limit=1)
    if held:
        number = held[0]["id"]
        msg = f"experiment {number} holds {name} until it is confirmed or rolled back"
        raise ConflictError(msg, field="parameter", code="experiment_running", experiment_id=number)


def _set(tx: Tx, planned: PlannedChange, reason: str) -> OverrideReceipt:
    name = planned.parameter
    done = production_config.change(
        tx,
        name,
        expected_version=planned.version,
        value=planned.after,
        source=ValueSource.OVERRIDE,
        experiment_id=None,
        reason=reason,
    )
    facts = {"parameter": name, "from": planned.before, "to": planned.after, "version": done.version}
    hashes = {"config_before": done.config_before, "config_after": done.config_after}
    entry = {"act": ACT, "reason": reason, **facts, **hashes, "read_back": done.read_back}
    index = audit_log.append(tx, EntryType.OVERRIDE, entry)
    production_config.link_ledger(tx, name, done.version, index)
    told = {**facts, "reason": reason, "ledger_index": index}
    publish(tx, Event(EventType.PARAMETER_OVERRIDDEN, f"parameter:{name}", told))
    return OverrideReceipt(name, planned.before, done.read_back, done.version, done.read_back, index)
