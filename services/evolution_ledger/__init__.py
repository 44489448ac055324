"""Layer 7, the evolution ledger: record verdicts, promote or refuse, confirm or roll back, prove all of it.

Stands at the end of the loop. A promotion needs a recorded WIN and is compare-and-set against the version
that was tested; promotion and rollback both read the setting back. Everything can be exported and verified
offline by someone who does not trust us. It never weighs evidence: the sandbox has, and the verdict says how.
"""

from services.evolution_ledger.auditing import Auditor, audit_by_the_clock, audit_live, fault_told
from services.evolution_ledger.correcting import correct
from services.evolution_ledger.epochs import begin_epoch, renew_epoch
from services.evolution_ledger.erasing import Erasure, erase_blob, get_blob
from services.evolution_ledger.exports import export_lines, read_export, verify_export
from services.evolution_ledger.freezing import frozen, unfreeze
from services.evolution_ledger.holding import HeldPromotion, held_promotions, promote_held
from services.evolution_ledger.past_configs import config_at, config_of_export
from services.evolution_ledger.promotion import RollbackReceipt, apply_verdict, rollback
from services.evolution_ledger.proofs import Signer, checkpoint, consistency, head, inclusion
from services.evolution_ledger.verdicts import record_verdict
from services.evolution_ledger.witnessing import KeptNote, Notary, NoteKeeper, export_checkpoint

__all__ = [
    "Auditor",
    "Erasure",
    "HeldPromotion",
    "KeptNote",
    "Notary",
    "NoteKeeper",
    "RollbackReceipt",
    "Signer",
    "apply_verdict",
    "audit_by_the_clock",
    "audit_live",
    "begin_epoch",
    "checkpoint",
    "config_at",
    "config_of_export",
    "consistency",
    "correct",
    "erase_blob",
    "export_checkpoint",
    "export_lines",
    "fault_told",
    "frozen",
    "get_blob",
    "head",
    "held_promotions",
    "inclusion",
    "promote_held",
    "read_export",
    "record_verdict",
    "renew_epoch",
    "rollback",
    "unfreeze",
    "verify_export",
]
