"""Past configs, erased texts, corrected entries: each a fold or an entry, and the audit holds all of it."""

import hashlib
import json

import pytest

from services import evolution_ledger
from services.domain.errors import ConflictError, InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.domain.states import BallotChoice
from services.operations import audit_log, production_config
from services.store import tables, views
from services.store.texts import ERASED
from tests.services.laboratory import TIMEOUT


def named(lab, kind, field):
    """Return the hash that the only entry of a type names in a field."""
    return json.loads(lab.row(tables.ledger_entry, type=kind)["leaf"])["payload"][field]


def erase(lab, sha256, reason="it named a person"):
    with lab.write("operator") as tx:
        return evolution_ledger.erase_blob(tx, sha256, reason)


def config_at(lab, size=None, at_us=None):
    with lab.read() as tx:
        return evolution_ledger.config_at(tx, size, at_us)


def test_the_config_of_every_size_is_the_one_in_force_then(lab):
    before = config_at(lab)
    lab.pass_seconds(60)
    lab.promoted()
    promoted = lab.row(tables.ledger_entry, type="PROMOTED")
    lab.pass_seconds(60)
    lab.roll_back()
    with lab.read() as tx:
        live = production_config.snapshot(tx)
        size = audit_log.size(tx)
    assert config_at(lab)["config"] == live
    assert config_at(lab, size)["config"] == live
    assert config_at(lab, promoted["index"])["config"] == before["config"]
    of_promotion = config_at(lab, promoted["index"] + 1)["config"]
    assert of_promotion == {**before["config"], TIMEOUT: "180"}
    assert config_at(lab, at_us=promoted["at_us"])["config"] == of_promotion
    assert config_at(lab, at_us=promoted["at_us"] - 1)["config"] == before["config"]
    lines = lab.export()
    for asked in ((None, None), (promoted["index"] + 1, None), (None, promoted["at_us"])):
        with lab.read() as tx:
            told = evolution_ledger.config_at(tx, *asked)
        assert evolution_ledger.config_of_export(lines, *asked) == told
    for asked in ((0, None), (size + 1, None), (1, 1)):
        with pytest.raises(InvalidValueError), lab.read() as tx:
            evolution_ledger.config_at(tx, *asked)
    with pytest.raises(NotFoundError):
        config_at(lab, at_us=1)
    place = promoted["index"] + 1
    lines[place] = lines[place].replace(b'"180"', b'"170"')
    with pytest.raises(LedgerBrokenError, match=f"entry {promoted['index']}"):
        evolution_ledger.config_of_export(lines, None, None)


def test_an_erased_text_is_nowhere_its_hash_stays_and_the_export_verifies(lab):
    proposal_id = lab.file(root_cause="the source of Ada Lovelace is slow")
    lab.cast(proposal_id, lab.voters[0], reason="as Grace Hopper told me")
    lab.cast(proposal_id, lab.voters[1], reason="")
    cause = named(lab, "PROPOSAL", "root_cause_sha256")
    assert lab.audit().ok
    reasons = [json.loads(row["leaf"])["payload"]["reason_sha256"]
               for row in lab.rows(tables.ledger_entry, type="BALLOT")]  # fmt: skip
    done = [*erase(lab, cause), *erase(lab, reasons[0])]
    assert [(one.sha256, one.kind) for one in done] == [(cause, "root_cause"), (reasons[0], "reason")]
    content = b"".join(bytes(row["content"]) for row in lab.rows(tables.blob))
    assert not any(name in content for name in (b"Lovelace", b"Hopper"))
    for table, column in ((tables.proposal, "root_cause"), (tables.ballot, "reason")):
        assert all("Ada" not in row[column] and "Grace" not in row[column] for row in lab.rows(table))
    with lab.read() as tx:
        shown = views.get_proposal(tx, proposal_id)
    assert shown["root_cause"] == ERASED
    assert [ballot["reason"] for ballot in shown["ballots"]] == [ERASED, ""]
    report = lab.audit()
    assert report.ok, report
    with pytest.raises(ConflictError) as refused:
        erase(lab, cause)
    assert refused.value.code == "already_erased"
    lines = lab.export()
    erased_index = done[0].ledger_index
    kept = [line for line in lines if b"ERASED" not in line]
    assert not evolution_ledger.verify_export(kept).ok
    assert erased_index == len(lab.types()) - 2


def test_a_text_said_again_after_its_erasure_lives_until_it_is_erased_again(lab):
    text = "Ada Lovelace of St James's Square told me"
    digest = hashlib.sha256(text.encode()).hexdigest()
    proposal_id = lab.file()
    lab.cast(proposal_id, lab.voters[0], BallotChoice.AGAINST, text)
    (first,) = erase(lab, digest)
    gone = lab.export()
    lab.cast(proposal_id, lab.voters[1], BallotChoice.AGAINST, text)
    again = lab.export()
    assert lab.audit().ok
    with lab.read() as tx:
        shown = views.get_proposal(tx, proposal_id)["ballots"]
    assert [ballot["reason"] for ballot in shown] == [ERASED, text]
    held_back = [line for line in again if not (b'"kind":"blob"' in line and digest.encode() in line)]
    report = evolution_ledger.verify_export(held_back)
    assert (report.first_error_index, "no entry says" in report.reason) == (len(lab.types()) - 1, True), (
        report
    )
    planted = next(line for line in again if b'"kind":"blob"' in line and digest.encode() in line)
    blobs = sorted([*(line for line in gone if b'"kind":"blob"' in line), planted],
                   key=lambda line: json.loads(line)["sha256"])  # fmt: skip
    report = evolution_ledger.verify_export([line for line in gone if line not in blobs] + blobs)
    assert (report.first_error_index, "still there" in report.reason) == (first.ledger_index, True), report
    (second,) = erase(lab, digest)
    assert second.ledger_index == len(lab.types()) - 1
    assert lab.audit().ok
    with lab.read() as tx:
        assert evolution_ledger.audit_live(tx).ok
        shown = views.get_proposal(tx, proposal_id)["ballots"]
    assert [ballot["reason"] for ballot in shown] == [ERASED, ERASED]
    assert text.encode() not in b"".join(bytes(row["content"]) for row in lab.rows(tables.blob))
    with pytest.raises(ConflictError):
        erase(lab, digest)
    with lab.write("operator") as tx:
        forged = {"sha256": digest, "kind": "reason", "reason": "twice"}
        index = audit_log.append(tx, EntryType.ERASED, forged)
    assert (lab.audit().first_error_index, lab.audit().reason.endswith("erased already")) == (index, True)


def test_a_missing_text_that_no_entry_says_was_erased_is_found(lab):
    lab.file()
    digest = named(lab, "PROPOSAL", "root_cause_sha256").encode()
    lines = [line for line in lab.export() if not (b'"kind":"blob"' in line and digest in line)]
    report = evolution_ledger.verify_export(lines)
    assert report.first_error_index == lab.row(tables.ledger_entry, type="PROPOSAL")["index"]
    assert "no entry says it was erased" in report.reason


def test_records_cannot_be_erased_and_an_erasure_needs_a_reason(lab):
    lab.promoted()
    records = named(lab, "VERDICT", "records_sha256")
    with pytest.raises(ConflictError) as refused:
        erase(lab, records)
    assert refused.value.code == "blob_needed"
    with pytest.raises(InvalidValueError):
        erase(lab, named(lab, "PROPOSAL", "root_cause_sha256"), reason=" ")
    with pytest.raises(NotFoundError):
        erase(lab, "ab" * 32)
    assert "ERASED" not in lab.types()
    assert lab.audit().ok


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (lambda lab: {"sha256": "ab" * 32}, "no earlier entry names"),
        (lambda lab: {"sha256": named(lab, "VERDICT", "records_sha256")}, "cannot be erased"),
        (lambda lab: {"sha256": named(lab, "PROPOSAL", "root_cause_sha256")}, "is still there"),
    ],
    ids=["unknown", "records", "kept"],
)
def test_an_erasure_without_a_cause_is_found(lab, facts, said):
    lab.promoted()
    with lab.write("operator") as tx:
        index = audit_log.append(tx, EntryType.ERASED, {**facts(lab), "kind": "reason", "reason": "forged"})
    report = lab.audit()
    assert (report.first_error_index, said in report.reason) == (index, True), report


def test_a_correction_is_an_entry_and_is_shown_with_the_entry_it_names(lab):
    lab.file()
    index = lab.row(tables.ledger_entry, type="PROPOSAL")["index"]
    with lab.write("operator") as tx:
        written = evolution_ledger.correct(tx, index, "the cause was the new source")
        assert evolution_ledger.correct(tx, written, "no, it was not") == written + 1
        for wrong, reason, refusal in ((99, "why", NotFoundError), (0, " ", InvalidValueError)):
            with pytest.raises(refusal):
                evolution_ledger.correct(tx, wrong, reason)
    with lab.read() as tx:
        (shown,) = views.get_entry(tx, index)["corrections"]
        about = views.list_entries(tx, subject=f"entry:{index}")["items"]
    assert (shown["index"], shown["reason"]) == (written, "the cause was the new source")
    assert [entry["index"] for entry in about] == [written]
    assert lab.audit().ok
