"""Certificates: everything that somebody needs to recompute one experiment without trusting the platform.

Stands beside the proofs of the whole ledger. The log E of each record is the one that the sandbox stored when
it bet; m is computed from the kept records. It never changes anything and leaves nothing out that would tell
against the verdict.
"""

import json
from collections.abc import Mapping
from typing import Any

from services.domain.certificate import FORMAT, claims_of
from services.domain.errors import ConflictError, LedgerBrokenError, NotFoundError
from services.domain.hash_chain import NodeAt, inclusion_proof
from services.domain.ledger_records import read_records
from services.domain.states import Leg
from services.evolution_ledger.proofs import Signer, checkpoint, from_tree
from services.evolution_ledger.verdicts import leg_start
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx
from services.store.views import certificates as kept

LAST_ORDINAL = 2**31 - 1


def certificate(tx: Tx, signer: Signer, experiment_id: int) -> dict[str, Any]:
    """Return the certificate of an experiment whose trial has its verdict in the ledger, as a JSON object.

    Raises NotFoundError for an unknown experiment, ConflictError (`verdict_missing`) before the verdict.
    """
    experiment = sql.find(tx, tables.experiment, id=experiment_id)
    if experiment is None:
        raise NotFoundError(f"there is no experiment {experiment_id}", field="experiment_id")
    found = kept.entries_of_experiment(tx, experiment_id, experiment["lap_id"])
    leaves = [json.loads(row["leaf"]) for row in found]
    decided = [_leg_of(leaf) for leaf in leaves if leaf["type"] in ("VERDICT", "PLACEBO_VERDICT")]
    if Leg.TRIAL not in decided:
        msg = (
            f"experiment {experiment_id} is {experiment['state']}: its trial has no verdict in the ledger yet"
        )
        raise ConflictError(msg, field="experiment_id", code="verdict_missing", state=experiment["state"])
    signed = checkpoint(tx, signer)
    size = int(str(signed["size"]))
    stream = kept.stream_before(tx, found[0]["index"])

    def prove(node_at: NodeAt) -> dict[int, list[str]]:
        indexes = [row["index"] for row in (*found, *stream)]
        return {index: [node.hex() for node in inclusion_proof(index, size, node_at)] for index in indexes}

    proofs = from_tree(tx, prove)
    return {
        "format": FORMAT,
        "experiment_id": experiment_id,
        "kind": experiment["kind"],
        "checkpoint": signed,
        "entries": [_entry(row, proofs) for row in found],
        "stream": [_entry(row, proofs) for row in stream],
        "legs": [_leg(tx, experiment, leg) for leg in Leg if leg in decided],
    }


def _leg_of(leaf: dict[str, Any]) -> Leg:
    return Leg(leaf["payload"].get("leg", Leg.TRIAL))


def _entry(row: Row, proofs: Mapping[int, list[str]]) -> dict[str, Any]:
    leaf = bytes(row["leaf"]).decode()
    shown = json.loads(leaf)
    names = ("index", "at", "type", "actor", "lap", "payload")
    return {**{name: shown[name] for name in names}, "leaf": leaf, "proof": proofs[row["index"]]}


def _leg(tx: Tx, experiment: Row, leg: Leg) -> dict[str, Any]:
    """Return one leg: the kept records, and the claims of m and log E after each."""
    later = sql.find(tx, tables.probation, experiment_id=experiment["id"])
    row, ordinals = experiment, range(LAST_ORDINAL if later is None else later["first_ordinal"])
    if leg is Leg.PROBATION and later is not None:
        row, ordinals = later, range(later["first_ordinal"], LAST_ORDINAL)
    blob = sql.find(tx, tables.blob, sha256=row["records_sha256"])
    if blob is None:
        raise LedgerBrokenError(f"the records of the {leg} of experiment {experiment['id']} are missing")
    try:
        plan, state = leg_start(experiment, row, leg)
        computed = claims_of(plan, state, read_records(bytes(blob["content"]))[1])
    except ValueError as error:
        msg = f"the kept records of the {leg} of experiment {experiment['id']} do not replay: {error}"
        raise LedgerBrokenError(msg) from error
    stored = kept.wealth_of_units(tx, experiment["id"], ordinals)
    means = [claim.mean for claim in computed] + [0.0] * len(stored)
    return {
        "leg": leg.value,
        "records": json.loads(bytes(blob["content"])),
        "claims": [
            {"m": repr(mean), "log_e": repr(log_e)} for mean, log_e in zip(means, stored, strict=False)
        ],
    }
