"""Layer 7, the evolution ledger: record the verdict, promote or refuse, roll back, and prove all of it.

Stands at the end of the loop. A promotion needs a recorded WIN and is compare-and-set against the version
that was tested; promotion and rollback both read the setting back. Everything can be exported and verified
offline by someone who does not trust us. It never weighs evidence: the sandbox has, and the verdict says how.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from services.domain.bet import BetPlan, Verdict
from services.domain.canonical import canonical_bytes
from services.domain.errors import ConflictError, InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.hash_chain import (
    checkpoint_body,
    consistency_proof,
    inclusion_proof,
    parse_checkpoint,
    root_of,
)
from services.domain.ledger_audit import AuditReport, audit_ledger
from services.domain.ledger_records import check_verdict, outcome_fields, read_records
from services.domain.ledger_schema import EntryType
from services.domain.parameters import ParameterRegistry
from services.domain.sequential import replay
from services.domain.states import ExperimentState, ProposalState, ValueSource
from services.event_bus import publish
from services.operations import audit_log, production_config
from services.store import ledger, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


class Signer(Protocol):
    """Something that signs a checkpoint's body into a C2SP note."""

    def sign_note(self, body: bytes) -> str:
        """Return the body with its signature line."""
        ...


@dataclass(frozen=True, slots=True)
class RollbackReceipt:
    """What a rollback did, the value read back included."""

    name: str
    value: str
    version: int
    read_back: str


def record_verdict(tx: Tx, experiment_id: int) -> int:
    """Write the VERDICT of an ended experiment, recomputed from its kept records; return the entry's index.

    Called again it writes nothing and returns the same index. Raises LedgerBrokenError when the records do
    not give the verdict that the sandbox stored, or an arm is not the one that the salt assigns.
    """
    row = _ended(tx, experiment_id)
    tx = audit_log.take_turn(tx)
    written = ledger.entry_of_experiment(tx, experiment_id, row["lap_id"], EntryType.VERDICT)
    if written is not None:
        return written
    kept = sql.find(tx, tables.blob, sha256=row["records_sha256"])
    if kept is None:
        msg = f"the records of experiment {experiment_id} are missing"
        raise LedgerBrokenError(msg)
    payload = _verdict_of(row, bytes(kept["content"]))
    index = audit_log.append(tx, EntryType.VERDICT, payload)
    facts = {"experiment_id": experiment_id, "verdict": row["verdict"], "ledger_index": index}
    publish(tx, Event(EventType.VERDICT_RECORDED, f"experiment:{experiment_id}", facts))
    return index


def _verdict_of(row: Row, content: bytes) -> dict[str, object]:
    """Return the VERDICT payload of an experiment's row, held to its records as the offline audit will."""
    plan = BetPlan.from_payload(row["plan"])
    try:
        _, records = read_records(content)
        payload: dict[str, object] = {
            "experiment_id": row["id"],
            "proposal_id": row["proposal_id"],
            "verdict": row["verdict"],
            "reason": row["reason"],
            **outcome_fields(replay(plan, records)),
            "estimate": repr(row["estimate"]),
            "lower": repr(row["lower"]),
            "upper": repr(row["upper"]),
            "salt": row["salt"],
            "records_sha256": row["records_sha256"],
        }
        check_verdict(
            experiment_id=row["id"],
            plan=plan,
            salt_commitment=row["salt_commitment"],
            payload=payload,
            blob=content,
        )
    except ValueError as error:
        msg = f"experiment {row['id']} is not what its records say: {error}"
        raise LedgerBrokenError(msg) from error
    return payload


def apply_verdict(tx: Tx, experiment_id: int) -> bool:
    """Promote the tested value after a WIN, refuse it after anything else; tell whether it was promoted now.

    A parameter that moved since the test is refused too: what was tested is no longer what would change.
    Called again it changes nothing.
    """
    row = _ended(tx, experiment_id)
    tx = audit_log.take_turn(tx)
    ends = (EntryType.PROMOTED, EntryType.REFUSED)
    if ledger.entry_of_experiment(tx, experiment_id, row["lap_id"], *ends) is not None:
        return False
    if row["verdict"] != Verdict.WIN:
        _refuse(tx, row, f"{row['verdict']}: {row['reason']}")
        return False
    before = production_config.effective(tx, row["parameter"])
    if before.version != row["control_version"]:
        _refuse(tx, row, f"tested against version {row['control_version']}, now at {before.version}")
        return False
    done = production_config.change(
        tx,
        row["parameter"],
        expected_version=row["control_version"],
        value=row["treatment_value"],
        source=ValueSource.PROMOTED,
        experiment_id=experiment_id,
    )
    index = audit_log.append(
        tx,
        EntryType.PROMOTED,
        {
            "experiment_id": experiment_id,
            "proposal_id": row["proposal_id"],
            "parameter": row["parameter"],
            "from": before.value,
            "to": row["treatment_value"],
            "version": done.version,
            "config_before": done.config_before,
            "config_after": done.config_after,
            "read_back": done.read_back,
        },
    )
    production_config.link_ledger(tx, row["parameter"], done.version, index)
    facts = {"experiment_id": experiment_id, "proposal_id": row["proposal_id"], "parameter": row["parameter"]}
    facts |= {"from": before.value, "to": done.read_back, "ledger_index": index}
    publish(tx, Event(EventType.PARAMETER_PROMOTED, f"parameter:{row['parameter']}", facts))
    return True


def rollback(tx: Tx, registry: ParameterRegistry, *, parameter: str, reason: str) -> RollbackReceipt:
    """Restore the value before the newest promotion of a parameter and read it back.

    Raises ConflictError when the promoted value is not the one in force any more, InvalidValueError without a
    reason, NotFoundError when the parameter was never promoted.
    """
    name = registry.get(parameter).name
    tx = audit_log.take_turn(tx)
    if not reason.strip():
        msg = "a rollback needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    promotion = ledger.last_promotion(tx, name)
    if promotion is None:
        msg = f"{name} was never promoted; there is nothing to roll back"
        raise NotFoundError(msg, field="parameter")
    index, facts = promotion
    now = production_config.effective(tx, name)
    if now.source is not ValueSource.PROMOTED or now.version != facts["version"]:
        msg = f"{name} is at version {now.version} ({now.source}), not at the promoted {facts['version']}"
        raise ConflictError(msg, field="parameter", code="version_changed")
    running = sql.find(tx, tables.experiment, parameter=name, state=ExperimentState.RUNNING)
    if running is not None:
        msg = f"experiment {running['id']} is running on {name}; its tasks would not follow the rollback"
        raise ConflictError(msg, field="parameter", code="experiment_running", experiment_id=running["id"])
    before = str(facts["from"])
    experiment = sql.find(tx, tables.experiment, id=facts["experiment_id"])
    tx = tx.in_lap(experiment["lap_id"] if experiment else None)
    done = production_config.change(
        tx, name, expected_version=now.version, value=before, source=ValueSource.OVERRIDE, experiment_id=None
    )
    rolled = audit_log.append(
        tx,
        EntryType.ROLLED_BACK,
        {
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
    publish(tx, Event(EventType.PARAMETER_ROLLED_BACK, f"parameter:{name}", told))
    return RollbackReceipt(name, before, done.version, done.read_back)


def head(tx: Tx) -> Row:
    """Return size and root of the ledger; raise NotFoundError before its first entry."""
    row = sql.find(tx, tables.ledger_head, id=audit_log.HEAD)
    if row is None:
        msg = "the ledger has not begun"
        raise NotFoundError(msg)
    return row


def inclusion(tx: Tx, index: int, size: int | None) -> dict[str, object]:
    """Return the RFC 6962 proof that entry `index` is in the tree of `size` entries (default: all)."""
    newest = head(tx)
    total = newest["size"] if size is None else size
    if not 0 <= index < total <= newest["size"]:
        msg = f"0 <= index < size <= {newest['size']} must hold"
        raise InvalidValueError(msg, field="size")
    hashes = ledger.leaf_hashes(tx, total)
    proof = [node.hex() for node in inclusion_proof(hashes, index, total)]
    return {
        "index": index,
        "size": total,
        "leaf_hash": hashes[index].hex(),
        "root": root_of(hashes).hex(),
        "proof": proof,
    }


def consistency(tx: Tx, first: int, second: int) -> dict[str, object]:
    """Return the RFC 6962 proof that the tree of `first` entries is a prefix of that of `second`."""
    newest = head(tx)
    if not 0 < first <= second <= newest["size"]:
        msg = f"0 < from <= to <= {newest['size']} must hold"
        raise InvalidValueError(msg, field="to")
    hashes = ledger.leaf_hashes(tx, second)
    proof = [node.hex() for node in consistency_proof(hashes, first, second)]
    return {
        "from": first,
        "to": second,
        "from_root": root_of(hashes[:first]).hex(),
        "to_root": root_of(hashes).hex(),
        "proof": proof,
    }


def checkpoint(tx: Tx, signer: Signer) -> dict[str, object]:
    """Return the signed checkpoint of the whole ledger (C2SP note: origin, size, root)."""
    newest = head(tx)
    origin = sql.find(tx, tables.deployment, key="origin")
    name = "nacre" if origin is None else origin["value"]
    body = checkpoint_body(name, newest["size"], bytes.fromhex(newest["root"]))
    return {"origin": name, "size": newest["size"], "root": newest["root"], "note": signer.sign_note(body)}


def export_lines(tx: Tx, signer: Signer) -> Iterator[bytes]:
    """Yield the ledger as NDJSON: the checkpoint, every leaf (its exact bytes), every blob."""
    note = checkpoint(tx, signer)
    yield canonical_bytes({"kind": "checkpoint", **note}) + b"\n"
    for leaf in ledger.leaves(tx):
        yield leaf + b"\n"
    for row in ledger.blobs(tx):
        content = base64.b64encode(bytes(row["content"])).decode()
        yield canonical_bytes({"kind": "blob", "sha256": row["sha256"], "content": content}) + b"\n"


def verify_export(lines: Iterable[bytes], *, trusted_note: str | None = None) -> AuditReport:
    """Audit an export from its bytes alone; `trusted_note` is an older checkpoint that must be a prefix.

    Raises InvalidValueError when the file is no export at all.
    """
    leaves: list[bytes] = []
    blobs: dict[str, bytes] = {}
    claimed: tuple[int, bytes] | None = None
    for number, line in enumerate(lines):
        raw = line.rstrip(b"\n")
        if number == 0:
            claimed = _claim(raw)
        elif raw.startswith(b'{"content":'):
            blobs |= _blob(raw)
        else:
            leaves.append(raw)
    if claimed is None:
        msg = "the file is empty"
        raise InvalidValueError(msg, field="file")
    trusted = None if trusted_note is None else parse_checkpoint(trusted_note)[1:]
    return audit_ledger(leaves, blobs, claimed=claimed, trusted=trusted, allow_erased=True)


def _claim(raw: bytes) -> tuple[int, bytes]:
    try:
        first = json.loads(raw)
        return int(first["size"]), bytes.fromhex(first["root"])
    except (ValueError, KeyError, TypeError) as error:
        msg = "the first line is no checkpoint with size and root; is this a ledger export?"
        raise InvalidValueError(msg, field="file") from error


def _blob(raw: bytes) -> dict[str, bytes]:
    try:
        row = json.loads(raw)
        return {str(row["sha256"]): base64.b64decode(row["content"], validate=True)}
    except (ValueError, KeyError, TypeError):
        return {}


def _ended(tx: Tx, experiment_id: int) -> Row:
    row = sql.find(tx, tables.experiment, id=experiment_id, state=ExperimentState.ENDED)
    if row is None:
        msg = f"experiment {experiment_id} has not ended"
        raise ConflictError(msg, field="experiment_id")
    return row


def _refuse(tx: Tx, experiment: Row, reason: str) -> None:
    facts = {"proposal_id": experiment["proposal_id"], "experiment_id": experiment["id"]}
    facts |= {"parameter": experiment["parameter"], "reason": reason}
    index = audit_log.append(tx, EntryType.REFUSED, facts)
    told = {**facts, "state": str(ProposalState.REFUSED), "ledger_index": index}
    publish(tx, Event(EventType.CHANGE_REFUSED, f"proposal:{experiment['proposal_id']}", told))
