"""The production config: which value is in force for a task, and where it comes from.

Stands between the registry of parameters and everything that runs under them. The value in force is the arm
of the running experiment for this task, else what was promoted, else the default, and it is always returned
with its source. Changes are compare-and-set against the version that was tested, and every one of them
carries the hash of the whole config before and after, so that config = fold(ledger). It never chooses one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.domain.canonical import digest_hex
from services.domain.errors import ConflictError, LedgerBrokenError, NotFoundError
from services.domain.ledger_schema import FORMAT, EntryType
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
    fresh = {p.name: canonical_value(p, p.default) for p in registry if p.name not in known}
    if audit_log.create_head(tx):
        for name, value in fresh.items():
            _insert(tx, name, value, 0)
        rules = {
            "threshold_percent": int(fresh["consensus.threshold_percent"]),
            "minimum_ballots": int(fresh["consensus.minimum_ballots"]),
        }
        audit_log.append(
            tx, EntryType.GENESIS, {"origin": origin, "config": fresh, "rules": rules, "format": FORMAT}
        )
        return
    for name, value in fresh.items():
        before = config_hash(snapshot(tx))
        _insert(tx, name, value, None)
        audit_log.append(
            tx,
            EntryType.REGISTERED,
            {
                "parameter": name,
                "value": value,
                "config_before": before,
                "config_after": config_hash(snapshot(tx)),
            },
        )


def _insert(tx: Tx, name: str, value: str, ledger_index: int | None) -> None:
    shared = {"value": value, "version": 1, "source": ValueSource.DEFAULT, "changed_at_us": tx.now_us}
    sql.insert(tx, tables.parameter, name=name, **shared)
    sql.insert(tx, tables.parameter_change, name=name, actor=tx.actor, ledger_index=ledger_index, **shared)


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
    tx: Tx, name: str, *, expected_version: int, value: str, source: ValueSource, experiment_id: int | None
) -> ConfigChange:
    """Set a value if the version is still `expected_version`, and read it back.

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
