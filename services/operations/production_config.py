"""The production config: which value is in force for a task, and where it comes from.

Stands between the registry of parameters and everything that runs under them. The value in force is the arm
of the running experiment for this task, else what was promoted, else the default, and it is always returned
with its source. Changes are compare-and-set against the version that was tested, and every one of them
carries the hash of the whole config before and after, so that config = fold(ledger). It never chooses one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.domain.canonical import digest_hex
from services.domain.errors import ConflictError, InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.ledger_schema import FORMAT, EntryType
from services.domain.ledger_terms import declaration_of
from services.domain.parameter_kinds import read_number
from services.domain.parameters import ParameterRegistry, canonical_value
from services.domain.states import ValueSource
from services.operations import accounts, audit_log
from services.store import config, sql, tables
from services.store.tx import Tx


@dataclass(frozen=True, slots=True)
class EffectiveValue:
    """A value in force with its source; `arm` and `experiment_id` only when the source is an arm."""

    value: str
    source: ValueSource
    version: int
    arm: int | None = None
    experiment_id: int | None = None

    def to_payload(self) -> dict[str, object]:
        """Return the JSON object that is stored with the task and shown to the agent."""
        return {
            "value": self.value,
            "source": str(self.source),
            "version": self.version,
            "arm": self.arm,
            "experiment_id": self.experiment_id,
        }


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """What a change did: version, hashes of the whole config before and after, and the value read back."""

    version: int
    config_before: str
    config_after: str
    read_back: str


def install(tx: Tx, registry: ParameterRegistry, *, origin: str) -> None:
    """Create ledger and config on the first start; later, register parameters that are new. Idempotent."""
    tx = audit_log.take_turn(tx)
    accounts.open_account(tx, accounts.TREASURY, is_overdraft_allowed=True)
    accounts.open_account(tx, accounts.ESCROW)
    known = snapshot(tx)
    _check_kinds(registry, known)
    fresh = {p.name: canonical_value(p, p.default) for p in registry if p.name not in known}
    if audit_log.create_head(tx):
        _insert(tx, registry, fresh, 0)
        rules = {
            "threshold_percent": int(fresh["consensus.threshold_percent"]),
            "minimum_ballots": int(fresh["consensus.minimum_ballots"]),
        }
        audit_log.append(
            tx,
            EntryType.GENESIS,
            {
                "origin": origin,
                "config": fresh,
                "rules": rules,
                "format": FORMAT,
                "declarations": {name: declaration_of(registry.get(name)) for name in fresh},
            },
        )
        return
    audit_log.raise_format(tx)
    for name, value in fresh.items():
        before = config_hash(snapshot(tx))
        _insert(tx, registry, {name: value}, None)
        index = audit_log.append(
            tx,
            EntryType.REGISTERED,
            {
                "parameter": name,
                "value": value,
                "declaration": declaration_of(registry.get(name)),
                "config_before": before,
                "config_after": config_hash(snapshot(tx)),
            },
        )
        link_ledger(tx, name, 1, index)
    _declare_changed(tx, registry)


def _declare_changed(tx: Tx, registry: ParameterRegistry) -> None:
    """Write down every parameter whose limits, kind or risk class are not those that the ledger knows."""
    known = {row["name"]: row["declaration"] for row in sql.find_all(tx, tables.parameter, order_by="name")}
    for parameter in registry:
        declaration = declaration_of(parameter)
        if known[parameter.name] != declaration:
            facts = {"parameter": parameter.name, "declaration": declaration}
            audit_log.append(tx, EntryType.DECLARED, facts)
            sql.update(tx, tables.parameter, {"name": parameter.name}, declaration=declaration)


def _check_kinds(registry: ParameterRegistry, known: Mapping[str, str]) -> None:
    """Raise InvalidValueError for a parameter whose value in force is of another kind than it is now."""
    for parameter in registry:
        value = known.get(parameter.name)
        is_number = value is not None and read_number(value) is not None
        if value is None or (parameter.is_number and is_number):
            continue
        if parameter.is_number:
            msg = f"{parameter.name} is {value[:40]!a} in the config, and now declared a {parameter.kind}; "
            msg += "a parameter keeps its kind: give the new one another name"
            raise InvalidValueError(msg, field=parameter.name, code="kind_changed")
        canonical_value(parameter, value, field=parameter.name)


def _insert(tx: Tx, registry: ParameterRegistry, values: Mapping[str, str], ledger_index: int | None) -> None:
    shared = {"version": 1, "source": ValueSource.DEFAULT, "changed_at_us": tx.now_us}
    of_names = [{"name": name, "value": value, **shared} for name, value in values.items()]
    declared = [{**row, "declaration": declaration_of(registry.get(str(row["name"])))} for row in of_names]
    by_whom = {"actor": tx.actor, "ledger_index": ledger_index}
    sql.insert_many(tx, tables.parameter, declared)
    sql.insert_many(tx, tables.parameter_change, [{**row, **by_whom} for row in of_names])


def snapshot(tx: Tx) -> dict[str, str]:
    """Return the whole config as `name → value`."""
    return {row["name"]: row["value"] for row in sql.find_all(tx, tables.parameter, order_by="name")}


def config_hash(values: Mapping[str, str]) -> str:
    """Return the SHA-256 of the canonical JSON of a config."""
    return digest_hex(dict(values))


def effective(tx: Tx, name: str) -> EffectiveValue:
    """Return the production value (no arm) of a parameter with its source."""
    row = sql.find(tx, tables.parameter, name=name)
    if row is None:
        msg = f"there is no parameter {name!r}"
        raise NotFoundError(msg, field="parameter")
    return EffectiveValue(row["value"], ValueSource(row["source"]), row["version"])


def number(tx: Tx, name: str) -> float:
    """Return the production value of a parameter as a number."""
    return float(effective(tx, name).value)


def numbers(tx: Tx, names: Sequence[str]) -> dict[str, float]:
    """Return the production values of several parameters as numbers, by name, in one statement."""
    rows = sql.find_all(tx, tables.parameter, order_by="name", name=tuple(names))
    found = {row["name"]: float(row["value"]) for row in rows}
    missing = [name for name in names if name not in found]
    if missing:
        msg = f"there is no parameter {missing[0]!r}"
        raise NotFoundError(msg, field="parameter")
    return found


def of_type(tx: Tx, task_type: str) -> dict[str, EffectiveValue]:
    """Return the production value (no arm) of every parameter of a task type, by name."""
    return {
        row["name"]: EffectiveValue(row["value"], ValueSource(row["source"]), row["version"])
        for row in config.of_type(tx, task_type)
    }


def of_types(tx: Tx, task_types: Collection[str]) -> dict[str, dict[str, EffectiveValue]]:
    """Return the production value (no arm) of every parameter of these task types, by type and name."""
    return {name: of_type(tx, name) for name in sorted(set(task_types))}


def change(
    tx: Tx,
    name: str,
    *,
    expected_version: int,
    value: str,
    source: ValueSource,
    experiment_id: int | None,
    reason: str | None = None,
) -> ConfigChange:
    """Set a value if the version is still `expected_version`, and read it back; `reason` is a person's.

    Raises ConflictError when another change came first, LedgerBrokenError when the value read back differs or
    the live config is not the one that the ledger's last change left behind.
    """
    before = config_hash(snapshot(tx))
    _require_ledger_agrees(tx, before)
    changed = sql.update(
        tx,
        tables.parameter,
        {"name": name, "version": expected_version},
        value=value,
        version=expected_version + 1,
        source=source,
        changed_at_us=tx.now_us,
    )
    if not changed:
        found = effective(tx, name)
        msg = f"{name} is at version {found.version}, not at the tested version {expected_version}"
        raise ConflictError(msg, field="parameter", code="version_changed")
    sql.insert(
        tx,
        tables.parameter_change,
        name=name,
        version=expected_version + 1,
        value=value,
        source=source,
        actor=tx.actor,
        experiment_id=experiment_id,
        reason=reason,
        changed_at_us=tx.now_us,
    )
    read_back = effective(tx, name)
    if read_back.value != value or read_back.version != expected_version + 1:
        msg = f"{name} reads {read_back.value} after it was set to {value}"
        raise LedgerBrokenError(msg)
    return ConfigChange(expected_version + 1, before, config_hash(snapshot(tx)), read_back.value)


def link_ledger(tx: Tx, name: str, version: int, ledger_index: int) -> None:
    """Note which ledger entry a change stands in."""
    key = {"name": name, "version": version}
    sql.update(tx, tables.parameter_change, key, ledger_index=ledger_index)


def _require_ledger_agrees(tx: Tx, live_hash: str) -> None:
    recorded = config.last_recorded_hash(tx)
    if recorded is not None and recorded != live_hash:
        msg = "the live config is not what the ledger's last change left behind; promotions stop until it is"
        raise LedgerBrokenError(msg, live=live_hash, recorded=recorded)
