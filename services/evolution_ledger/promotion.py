"""Promotion and its ways back: promote a won trial, confirm it after probation, or roll it back.

Stands at the end of the loop, after the recorded verdict. Every change is compare-and-set against the version
that was tested. It never weighs evidence.
"""

from dataclasses import dataclass

from services.domain.bet import Verdict
from services.domain.errors import ConflictError, InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.parameters import ParameterRegistry
from services.domain.states import LIVE_EXPERIMENTS, ExperimentState, Leg, ProposalState, ValueSource
from services.event_bus import publish
from services.evolution_ledger import auditing, freezing
from services.evolution_ledger.verdicts import ended_leg, is_won
from services.operations import audit_log, health, measuring, production_config
from services.operations.measuring import Noted
from services.store import governance, ledger, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

UNCONFIRMED = (ExperimentState.PROVISIONAL, ExperimentState.PROBATION, ExperimentState.CONFIRMED)
"""States of an experiment whose value is in production; CONFIRMED only until that is recorded."""
DESPITE = "despite a broken ledger:"
"""What the reason of a rollback begins with that a person wants although the ledger does not verify."""


@dataclass(frozen=True, slots=True)
class RollbackReceipt:
    """What a rollback did, the value read back included."""

    name: str
    value: str
    version: int
    read_back: str


def apply_verdict(tx: Tx, experiment_id: int, leg: Leg = Leg.TRIAL) -> bool:
    """Do what a recorded verdict says; tell whether a value was promoted or confirmed now.

    A won trial is promoted; refused are all others, a parameter that moved since the test, and everything
    while promotion is frozen. While a check of correctness fails a win waits (`holding.promote_held`). A won
    probation is confirmed, a lost one rolled back, held or not. Called again it changes nothing.
    """
    experiment, row = ended_leg(tx, experiment_id, leg)
    tx = audit_log.take_turn(tx)
    is_trial = leg is Leg.TRIAL
    ends = (
        (EntryType.PROMOTED, EntryType.REFUSED) if is_trial else (EntryType.CONFIRMED, EntryType.ROLLED_BACK)
    )
    if ledger.entry_of_experiment(tx, experiment_id, experiment["lap_id"], *ends) is not None:
        return False
    if is_trial:
        return _promote(tx, experiment)
    if is_won(row):
        _confirm(tx, experiment)
        return True
    _take_back(tx, experiment, f"not confirmed in probation: {row['reason']}")
    return False


def _promote(tx: Tx, experiment: Row) -> bool:
    name = experiment["parameter"]
    before = production_config.effective(tx, name)
    obstacle = _obstacle(tx, experiment, before.version)
    if obstacle is not None:
        _refuse(tx, experiment, obstacle)
        return False
    if auditing.guard(tx) is not None or health.promotion_hold(tx) is not None:
        return False
    done = production_config.change(
        tx,
        name,
        expected_version=experiment["control_version"],
        value=experiment["treatment_value"],
        source=ValueSource.PROMOTED,
        experiment_id=experiment["id"],
    )
    index = audit_log.append(
        tx,
        EntryType.PROMOTED,
        {
            "experiment_id": experiment["id"],
            "proposal_id": experiment["proposal_id"],
            "parameter": name,
            "from": before.value,
            "to": experiment["treatment_value"],
            "version": done.version,
            "config_before": done.config_before,
            "config_after": done.config_after,
            "read_back": done.read_back,
        },
    )
    production_config.link_ledger(tx, name, done.version, index)
    facts = {"experiment_id": experiment["id"], "proposal_id": experiment["proposal_id"], "parameter": name}
    told = {**facts, "from": before.value, "to": done.read_back, "ledger_index": index}
    measuring.note_step(tx.in_lap(experiment["lap_id"]), Noted.PROMOTED)
    publish(tx, Event(EventType.PARAMETER_PROMOTED, f"parameter:{name}", told))
    return True


def _obstacle(tx: Tx, experiment: Row, version: int) -> str | None:
    """Return why an experiment's value is not promoted, or None where nothing stands in its way."""
    if experiment["verdict"] != Verdict.WIN:
        return f"{experiment['verdict']}: {experiment['reason']}"
    if version != experiment["control_version"]:
        return f"tested against version {experiment['control_version']}, now at {version}"
    freeze = freezing.frozen(tx)
    return None if freeze is None else f"promotion is frozen: {freeze['reason']}"


def _refuse(tx: Tx, experiment: Row, reason: str) -> None:
    where = {"id": experiment["id"], "state": ExperimentState.PROVISIONAL}
    sql.update(tx, tables.experiment, where, state=ExperimentState.REFUSED, ended_at_us=tx.now_us)
    facts = {"proposal_id": experiment["proposal_id"], "experiment_id": experiment["id"]}
    facts |= {"parameter": experiment["parameter"], "reason": reason}
    index = audit_log.append(tx, EntryType.REFUSED, facts)
    told = {**facts, "state": str(ProposalState.REFUSED), "ledger_index": index}
    publish(tx, Event(EventType.CHANGE_REFUSED, f"proposal:{experiment['proposal_id']}", told))


def _confirm(tx: Tx, experiment: Row) -> None:
    """Write that a promotion held; the stream's later levels know of it from now on."""
    started, _ = governance.stream_so_far(tx)
    sql.update(tx, tables.experiment, {"id": experiment["id"]}, known_after=started)
    facts = {"experiment_id": experiment["id"], "parameter": experiment["parameter"]}
    index = audit_log.append(tx, EntryType.CONFIRMED, facts)
    told = {**facts, "proposal_id": experiment["proposal_id"], "ledger_index": index}
    publish(tx, Event(EventType.CHANGE_CONFIRMED, f"experiment:{experiment['id']}", told))


def _take_back(tx: Tx, experiment: Row, reason: str) -> None:
    promotion = ledger.last_promotion(tx, experiment["parameter"])
    assert promotion is not None  # noqa: S101 (only a promoted value has a probation)
    index, facts = promotion
    _restore(tx, experiment["parameter"], index, facts, reason)


def rollback(tx: Tx, registry: ParameterRegistry, *, parameter: str, reason: str) -> RollbackReceipt:
    """Restore the value before the newest promotion of a parameter and read it back; its probation ends.

    Raises LedgerBrokenError for a ledger that does not verify, unless the reason begins with `DESPITE`.
    Raises ConflictError when the promoted value is not the one in force any more, InvalidValueError without a
    reason, NotFoundError when the parameter was never promoted.
    """
    name = registry.get(parameter).name
    tx = audit_log.take_turn(tx)
    if not reason.strip():
        msg = "a rollback needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    fault = auditing.guard(tx)
    if fault is not None and not reason.startswith(DESPITE):
        msg = f"{fault}. To roll back all the same, begin the reason with {DESPITE!r}"
        raise LedgerBrokenError(msg)
    promotion = ledger.last_promotion(tx, name)
    if promotion is None:
        msg = f"{name} was never promoted; there is nothing to roll back"
        raise NotFoundError(msg, field="parameter")
    index, facts = promotion
    live = sql.find_all(tx, tables.experiment, parameter=name, state=list(LIVE_EXPERIMENTS))
    running = next((row for row in live if row["id"] != facts["experiment_id"]), None)
    if running is not None:
        msg = f"experiment {running['id']} is running on {name}; its tasks would not follow the rollback"
        raise ConflictError(msg, field="parameter", code="experiment_running", experiment_id=running["id"])
    experiment = sql.find(tx, tables.experiment, id=facts["experiment_id"])
    receipt = _restore(tx.in_lap(experiment["lap_id"] if experiment else None), name, index, facts, reason)
    where = {"id": facts["experiment_id"], "state": list(UNCONFIRMED), "known_after": None}
    sql.update(tx, tables.experiment, where, state=ExperimentState.ROLLED_BACK, ended_at_us=tx.now_us)
    return receipt


def _restore(tx: Tx, name: str, index: int, facts: dict[str, object], reason: str) -> RollbackReceipt:
    """Put the value before a promotion back, read it back, and write it down."""
    now = production_config.effective(tx, name)
    if now.source is not ValueSource.PROMOTED or now.version != facts["version"]:
        msg = f"{name} is at version {now.version} ({now.source}), not at the promoted {facts['version']}"
        raise ConflictError(msg, field="parameter", code="version_changed")
    before = str(facts["from"])
    done = production_config.change(
        tx,
        name,
        expected_version=now.version,
        value=before,
        source=ValueSource.OVERRIDE,
        experiment_id=None,
        reason=reason[:500],
    )
    rolled = audit_log.append(
        tx,
        EntryType.ROLLED_BACK,
        {
            "experiment_id": facts["experiment_id"],
            "parameter": name,
            "from": now.value,
            "to": before,
            "reason": reason[:500],
            "version": done.version,
            "config_before": done.config_before,
            "config_after": done.config_after,
            "read_back": done.read_back,
            "promoted_index": index,
        },
    )
    production_config.link_ledger(tx, name, done.version, rolled)
    told = {"parameter": name, "from": now.value, "to": before, "proposal_id": facts["proposal_id"]}
    told |= {"reason": reason[:500], "ledger_index": rolled}
    publish(tx, Event(EventType.PARAMETER_ROLLED_BACK, f"parameter:{name}", told))
    return RollbackReceipt(name, before, done.version, done.read_back)
