"""The ledger: a verdict is what its records say, a promotion compare-and-set, and all of it can be proved."""

import base64
import json

import pytest
from sqlalchemy.exc import DBAPIError

from app.keys import is_signed_by
from services import evolution_ledger
from services.domain.errors import (
    ConflictError,
    InvalidValueError,
    LedgerBrokenError,
    NacreError,
    NotFoundError,
)
from services.domain.hash_chain import leaf_hash, parse_checkpoint, verify_consistency, verify_inclusion
from services.domain.ledger_schema import EntryType
from services.operations import audit_log, production_config
from services.store import sql, tables
from tests.services.laboratory import TIMEOUT
from tests.services.test_proposal_system import race


def record(lab, experiment_id):
    with lab.write("system:learn") as tx:
        return evolution_ledger.record_verdict(tx, experiment_id)


def apply(lab, experiment_id):
    with lab.write("system:promote") as tx:
        return evolution_ledger.apply_verdict(tx, experiment_id)


def config(lab):
    with lab.read() as tx:
        return production_config.snapshot(tx)


def tamper(lab, table, where, **values):
    with lab.write("intruder") as tx:
        assert sql.update(tx, table, where, **values) == 1


def payload_of(lab, kind):
    return json.loads(lab.row(tables.ledger_entry, type=kind)["leaf"])["payload"]


def test_verdict_is_recorded_once_with_its_evidence(lab):
    experiment = lab.won()
    index = record(lab, experiment["id"])
    assert record(lab, experiment["id"]) == index
    assert lab.types().count("VERDICT") == 1
    found = payload_of(lab, "VERDICT")
    assert (found["verdict"], found["salt"]) == ("win", experiment["salt"])
    assert float(found["e"]) >= 20
    assert found["control_tasks"] + found["treatment_tasks"] == found["tasks"]
    assert lab.audit().ok


@pytest.mark.parametrize("verdict", ["loss", "inconclusive", "invalid", "triumph"])
def test_verdict_that_the_records_do_not_give_is_not_recorded(lab, verdict):
    experiment = lab.won()
    tamper(lab, tables.experiment, {"id": experiment["id"]}, verdict=verdict)
    with pytest.raises(LedgerBrokenError):
        record(lab, experiment["id"])
    assert "VERDICT" not in lab.types()


def test_win_that_the_records_leave_open_is_not_recorded(lab):
    experiment_id = lab.running(cap_days=1)
    lab.end(lab.assign()[0], is_success=True)
    lab.pass_seconds(86_400)
    lab.evaluate()
    tamper(lab, tables.experiment, {"id": experiment_id}, verdict="win")
    with pytest.raises(LedgerBrokenError):
        record(lab, experiment_id)
    lab.deliver()
    assert "PROMOTED" not in lab.types()
    assert lab.value().version == 1


def test_records_that_are_missing_forged_or_of_another_salt_are_refused(lab):
    experiment = lab.won()
    kept = lab.row(tables.blob, sha256=experiment["records_sha256"])
    where = {"id": experiment["id"]}
    tamper(lab, tables.experiment, where, records_sha256="0" * 64)
    with pytest.raises(LedgerBrokenError, match="missing"):
        record(lab, experiment["id"])
    tamper(lab, tables.experiment, where, records_sha256=experiment["records_sha256"], salt="ab" * 32)
    with pytest.raises(LedgerBrokenError, match="salt"):
        record(lab, experiment["id"])
    tamper(lab, tables.experiment, where, salt=experiment["salt"])
    forged = bytes(kept["content"]).replace(b'"0.0"', b'"1.0"', 1)
    tamper(lab, tables.blob, {"sha256": kept["sha256"]}, content=forged)
    with pytest.raises(LedgerBrokenError):
        record(lab, experiment["id"])
    assert "VERDICT" not in lab.types()


def test_experiment_that_runs_has_no_verdict(lab):
    experiment_id = lab.running()
    for act in (record, apply):
        with pytest.raises(ConflictError):
            act(lab, experiment_id)


def test_promotion_sets_the_tested_value_and_reads_it_back(lab):
    before = config(lab)
    experiment = lab.promoted()
    value = lab.value()
    assert (value.value, value.source, value.version) == ("180", "promoted", 2)
    assert config(lab) == {**before, TIMEOUT: "180"}
    found = payload_of(lab, "PROMOTED")
    assert (found["from"], found["to"], found["read_back"]) == ("90", "180", "180")
    assert found["config_before"] == production_config.config_hash(before)
    assert found["config_after"] == production_config.config_hash(config(lab))
    change = lab.row(tables.parameter_change, name=TIMEOUT, version=2)
    assert change["experiment_id"] == experiment["id"]
    assert change["ledger_index"] == lab.row(tables.ledger_entry, type="PROMOTED")["index"]
    assert lab.state(experiment["proposal_id"]) == "promoted"
    report = lab.audit()
    assert report.ok, report.reason
    assert report.config == config(lab)


def test_setting_that_moved_since_the_test_is_refused(lab):
    experiment = lab.won()
    record(lab, experiment["id"])
    tamper(lab, tables.parameter, {"name": TIMEOUT}, version=2)
    assert apply(lab, experiment["id"]) is False
    assert payload_of(lab, "REFUSED")["reason"] == "tested against version 1, now at 2"
    assert (lab.value().value, lab.value().version) == ("90", 2)
    assert apply(lab, experiment["id"]) is False
    assert lab.types().count("REFUSED") == 1


def test_racing_promotions_leave_exactly_one(lab):
    experiment = lab.won()
    record(lab, experiment["id"])
    results = race(*[lambda: apply(lab, experiment["id"])] * 4)
    assert sorted(map(str, results)) == ["False", "False", "False", "True"]
    assert lab.types().count("PROMOTED") == 1
    assert "REFUSED" not in lab.types()
    assert lab.value().version == 2
    assert [row["type"] for row in lab.rows(tables.event)].count("ParameterPromoted") == 1


def test_live_config_that_was_tampered_with_stops_promotions(lab):
    experiment = lab.won()
    record(lab, experiment["id"])
    tamper(lab, tables.parameter, {"name": "monte_carlo.timeout_seconds"}, value="31")
    assert apply(lab, experiment["id"]) is False
    lab.deliver()
    assert (lab.value().value, lab.value().version) == ("90", 1)
    assert "PROMOTED" not in lab.types()
    assert "REFUSED" not in lab.types()
    tamper(lab, tables.parameter, {"name": "monte_carlo.timeout_seconds"}, value="30")
    with lab.write() as tx:
        assert evolution_ledger.promote_held(tx)["promoted"] == 1
    assert (lab.value().value, lab.value().source) == ("180", "promoted")


def test_rollback_restores_byte_for_byte_and_reads_back(lab):
    before = config(lab)
    experiment = lab.promoted()
    receipt = lab.roll_back()
    assert (receipt.name, receipt.value, receipt.version, receipt.read_back) == (TIMEOUT, "90", 3, "90")
    assert config(lab) == before
    assert (lab.value().source, lab.value().version) == ("override", 3)
    found = payload_of(lab, "ROLLED_BACK")
    assert found["promoted_index"] == lab.row(tables.ledger_entry, type="PROMOTED")["index"]
    assert found["config_after"] == payload_of(lab, "PROMOTED")["config_before"]
    _, values = lab.assign()
    assert values[TIMEOUT].value == "90"
    lab.deliver()
    assert lab.state(experiment["proposal_id"]) == "rolled_back"
    assert lab.audit().ok


def test_rollback_twice_is_refused(lab):
    lab.promoted()
    lab.roll_back()
    with pytest.raises(ConflictError) as refused:
        lab.roll_back()
    assert refused.value.code == "version_changed"
    assert lab.types().count("ROLLED_BACK") == 1
    assert lab.value().version == 3


def test_rollback_waits_for_the_experiment_that_runs_on_the_parameter(lab):
    lab.confirmed()
    experiment_id = lab.running(to="240")
    with pytest.raises(ConflictError) as refused:
        lab.roll_back()
    assert (refused.value.code, refused.value.arguments["experiment_id"]) == (
        "experiment_running",
        experiment_id,
    )
    assert lab.value().value == "180"


def test_rollback_waits_for_a_win_on_the_parameter_that_is_yet_to_be_promoted(lab):
    lab.confirmed()
    second = lab.won(to="240", rates=(0.2, 0.98))
    with pytest.raises(ConflictError) as refused:
        lab.roll_back()
    assert refused.value.arguments["experiment_id"] == second["id"]
    lab.deliver()
    assert lab.audit().ok


def test_racing_rollbacks_leave_exactly_one(lab):
    lab.promoted()
    results = race(*[lab.roll_back] * 4)
    assert [found.code for found in results if isinstance(found, NacreError)] == ["version_changed"] * 3
    assert lab.types().count("ROLLED_BACK") == 1
    assert lab.value().version == 3
    assert lab.audit().ok


def test_rollback_needs_a_reason_and_a_promotion(lab):
    with pytest.raises(NotFoundError):
        lab.roll_back()
    with pytest.raises(NotFoundError):
        lab.roll_back(parameter="research_synthesis.patience")
    lab.promoted()
    with pytest.raises(InvalidValueError) as refused:
        lab.roll_back(reason="  ")
    assert refused.value.code == "reason_missing"
    assert lab.value().value == "180"


def test_rollback_does_not_hide_a_tampered_config(lab):
    lab.promoted()
    tamper(lab, tables.parameter, {"name": "monte_carlo.timeout_seconds"}, value="31")
    with pytest.raises(LedgerBrokenError):
        lab.roll_back()
    assert lab.value().value == "180"


def test_export_verifies_and_every_mutation_is_found_and_named(lab):
    lab.promoted()
    lab.roll_back()
    lab.deliver()
    lines = lab.export()
    count = len(lab.types())
    assert evolution_ledger.verify_export(lines).ok
    head, leaves, blobs = lines[0], lines[1 : count + 1], lines[count + 1 :]
    for index in range(count):
        middle = len(leaves[index]) // 2
        flipped = bytearray(leaves[index])
        flipped[middle] ^= 1
        cases = {
            "flip": [*leaves[:index], bytes(flipped), *leaves[index + 1 :]],
            "drop": [*leaves[:index], *leaves[index + 1 :]],
            "twice": [*leaves[: index + 1], leaves[index], *leaves[index + 1 :]],
        }
        if index + 1 < count:
            swapped = [leaves[index + 1], leaves[index]]
            cases["swap"] = [*leaves[:index], *swapped, *leaves[index + 2 :]]
        for name, mutated in cases.items():
            report = evolution_ledger.verify_export([head, *mutated, *blobs])
            assert report.first_error_index in (index, index + 1), f"{name} of {index}: {report}"
            assert report.reason


def test_cut_tail_is_found(lab):
    lab.promoted()
    lines = lab.export()
    count = len(lab.types())
    report = evolution_ledger.verify_export([*lines[:count], *lines[count + 1 :]])
    assert (report.ok, report.first_error_index) == (False, count - 1)
    assert report.reason.endswith(f"(the file may be cut: it holds {count - 1} of {count} entries)")
    half = [*lines[: count + 1], lines[count + 1][:40]]
    report = evolution_ledger.verify_export(half)
    assert not report.ok
    assert report.reason.endswith("has no end: the file is cut)")


def test_older_checkpoint_shows_a_rewritten_ledger(lab):
    lab.file()
    with lab.read() as tx:
        old = evolution_ledger.checkpoint(tx, lab.platform.signer)["note"]
    lab.cast(1, lab.voters[0])
    assert evolution_ledger.verify_export(lab.export(), trusted_notes=[old]).ok
    origin, size, _ = parse_checkpoint(old)
    forged = f"{origin}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n"
    report = evolution_ledger.verify_export(lab.export(), trusted_notes=[forged])
    assert report.first_error_index == size - 1


@pytest.mark.parametrize(
    "lines", [[], [b"hello\n"], [b"{}\n"], [b'{"size":1,"root":"zz"}\n'], [b'{"size":[],"root":""}\n']]
)
def test_file_that_is_no_export_is_refused(lines):
    with pytest.raises(InvalidValueError):
        evolution_ledger.verify_export(lines)


def test_forged_records_blob_is_found(lab):
    lab.promoted()
    lines = lab.export()
    digest = payload_of(lab, "VERDICT")["records_sha256"].encode()
    index = lab.row(tables.ledger_entry, type="VERDICT")["index"]
    place = next(number for number, line in enumerate(lines) if digest in line and b'"kind":"blob"' in line)
    row = json.loads(lines[place])
    content = base64.b64decode(row["content"]).replace(b'"0.0"', b'"1.0"', 1)
    lines[place] = lines[place].replace(row["content"].encode(), base64.b64encode(content))
    assert evolution_ledger.verify_export(lines).first_error_index == index
    del lines[place]
    assert evolution_ledger.verify_export(lines).first_error_index == index


def test_export_is_one_snapshot_while_others_write(lab):
    lab.file()
    with lab.read() as tx:
        lines = evolution_ledger.export_lines(tx, lab.platform.signer)
        first = next(lines)
        lab.cast(1, lab.voters[0])
        assert evolution_ledger.verify_export([first, *lines]).ok


def test_checkpoint_is_signed_and_a_changed_note_is_not(lab):
    lab.file()
    signer = lab.platform.signer
    with lab.read() as tx:
        found = evolution_ledger.checkpoint(tx, signer)
    note = found["note"]
    assert parse_checkpoint(note) == (found["origin"], found["size"], bytes.fromhex(found["root"]))
    assert is_signed_by(note, signer.verifier_key)
    body = note.split("\n")
    changed = "\n".join([body[0], str(int(body[1]) + 1), *body[2:]])
    assert not is_signed_by(changed, signer.verifier_key)
    assert not is_signed_by(note.replace(body[0], "other/log"), signer.verifier_key)


def test_every_entry_is_proved_in_every_tree(lab):
    lab.passed()
    leaves = [bytes(row["leaf"]) for row in lab.rows(tables.ledger_entry)]
    with lab.read() as tx:
        for size in range(1, len(leaves) + 1):
            for index in range(size):
                found = evolution_ledger.inclusion(tx, index, size)
                proof = [bytes.fromhex(node) for node in found["proof"]]
                root = bytes.fromhex(found["root"])
                assert found["leaf_hash"] == leaf_hash(leaves[index]).hex()
                assert verify_inclusion(leaf_hash(leaves[index]), index, size, proof, root)
                assert not verify_inclusion(leaf_hash(leaves[index] + b" "), index, size, proof, root)
        newest = evolution_ledger.head(tx)
        assert evolution_ledger.inclusion(tx, 0, None)["root"] == newest["root"]


def test_every_tree_extends_every_older_one(lab):
    lab.passed()
    size = len(lab.types())
    with lab.read() as tx:
        for second in range(1, size + 1):
            for first in range(1, second + 1):
                found = evolution_ledger.consistency(tx, first, second)
                proof = [bytes.fromhex(node) for node in found["proof"]]
                roots = bytes.fromhex(found["from_root"]), bytes.fromhex(found["to_root"])
                assert verify_consistency(first, second, *roots, proof)
                assert first == second or not verify_consistency(first, second, bytes(32), roots[1], proof)


def test_proofs_outside_the_ledger_are_refused(lab):
    size = len(lab.types())
    with lab.read() as tx:
        for index, total in ((-1, None), (size, None), (0, size + 1), (1, 1)):
            with pytest.raises(InvalidValueError):
                evolution_ledger.inclusion(tx, index, total)
        for first, second in ((0, 1), (1, size + 1), (2, 1)):
            with pytest.raises(InvalidValueError):
                evolution_ledger.consistency(tx, first, second)


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger_entry SET actor = 'nobody'", "DELETE FROM ledger_entry"]
)
def test_database_forbids_changing_an_entry(lab, statement):
    with pytest.raises(DBAPIError), lab.write() as tx:
        tx.connection.exec_driver_sql(statement)
    assert lab.audit().ok


def remark(lab, *, fails=False):
    with lab.write("system:test") as tx:
        index = audit_log.append(tx, EntryType.CORRECTION, {"corrects": 0, "reason": "a remark"})
        if fails:
            raise RuntimeError("the power went")
    return index


def test_entry_and_decision_are_rolled_back_together(lab):
    types = lab.types()
    with pytest.raises(RuntimeError):
        remark(lab, fails=True)
    assert lab.types() == types
    assert remark(lab) == len(types)
    assert lab.audit().ok


def test_racing_appends_leave_one_chain(lab):
    before = len(lab.types())
    indexes = race(*[lambda: remark(lab)] * 8)
    assert sorted(indexes) == list(range(before, before + 8))
    assert lab.audit().ok


def test_time_in_the_ledger_never_goes_back(lab):
    remark(lab)
    late = lab.rows(tables.ledger_entry)[-1]["at_us"]
    lab.platform.store.clock._now_us -= 1_000_000
    remark(lab)
    assert lab.rows(tables.ledger_entry)[-1]["at_us"] == late
    assert lab.audit().ok
