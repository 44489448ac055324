"""A ledger that fails verification stops promotion, says so everywhere, and goes on once it was restored."""

import re

import pytest
from starlette.testclient import TestClient

from app.backup import making, restoring
from app.backup.restoring import Terms
from app.cli import main
from app.main import build_app
from services import evolution_ledger
from services.domain.checks import Status
from services.domain.errors import LedgerBrokenError, NotFoundError
from services.evolution_ledger import Auditor, auditing
from services.operations import health
from services.store import tables
from tests.plugins.platforms import platform_over
from tests.services import long_ledgers
from tests.services.laboratory import Laboratory


def allow_changes(lab):
    with lab.write("intruder") as tx:
        long_ledgers.allow_changes(tx)


def put(lab, table, where, **values):
    """Change one row underneath the platform; return the values that it had."""
    with lab.write("intruder") as tx:
        return long_ledgers.put(tx, table, where, values)


def run(lab, job):
    with lab.write("system:job") as tx:
        return job(tx)


def fault(lab):
    with lab.read() as tx:
        return evolution_ledger.fault_told(tx)


def hold(lab, status):
    with lab.write("system:probes") as tx:
        health.report(tx, "correct", "task_type/a", "known_answers", status)


@pytest.fixture
def waiting(lab):
    """A won experiment that nothing but the ledger keeps from its promotion."""
    experiment = lab.won()
    hold(lab, Status.FAIL)
    lab.deliver()
    hold(lab, Status.PASS)
    return experiment


def tampers(lab):
    """Return (table, its row, what is changed, what is said) of everything that may be changed underneath."""
    entries = lab.rows(tables.ledger_entry)
    first, last = entries[1], entries[-1]
    other = bytes(first["leaf"]).replace(b"a", b"b", 1)
    records = lab.rows(tables.experiment)[0]["records_sha256"]
    newest = {"index": last["index"]}
    return [
        (tables.ledger_entry, {"index": 1}, {"leaf": other}, "from entry [01]: "),
        (tables.ledger_entry, newest, {"leaf": bytes(last["leaf"])[:-2] + b" }"}, f"entry {last['index']}: "),
        (tables.ledger_entry, newest, {"leaf_hash": "0" * 64}, f"entry {last['index']}: .*its hash says"),
        (tables.ledger_head, {"id": 1}, {"root": "0" * 64}, f"entry {last['index']}: .*root"),
        (tables.ledger_head, {"id": 1}, {"size": last["index"]}, f"had {last['index'] + 1} entries and has"),
        (
            tables.parameter,
            {"name": "monte_carlo.timeout_seconds"},
            {"value": "31"},
            "config in force is not",
        ),
        (tables.blob, {"sha256": records}, {"content": b"{}"}, "from entry .*blob"),
    ]


def test_whatever_is_changed_underneath_nothing_is_promoted_until_it_is_mended(lab, waiting, tmp_path):
    allow_changes(lab)
    for table, where, changed, said in tampers(lab):
        kept = put(lab, table, where, **changed)
        run(lab, Auditor().take_part)
        assert run(lab, lambda tx: evolution_ledger.apply_verdict(tx, waiting["id"])) is False
        assert run(lab, evolution_ledger.promote_held) == {"promoted": 0, "waiting": 1, "failed": []}, said
        checks = lab.rows(tables.health_check, component="ledger", status="fail")
        assert any(re.search(said, row["output"]) for row in checks), (
            said,
            [row["output"] for row in checks],
        )
        assert fault(lab).endswith("nothing is promoted until it does")
        put(lab, table, where, **kept)
        run(lab, Auditor().take_part)
        assert run(lab, auditing.guard) is None
        assert fault(lab) is None
    [item] = lab.rows(tables.review_item, kind="ledger_broken")
    assert item["closed_at_us"] is None
    assert "CheckFailed" in {row["type"] for row in lab.rows(tables.event)}
    assert run(lab, evolution_ledger.promote_held)["promoted"] == 1
    assert lab.audit().ok


def test_it_is_said_on_every_surface_and_a_restored_backup_goes_on(
    lab, waiting, tmp_path, capfd, monkeypatch
):
    url = lab.platform.settings.database_url
    monkeypatch.setenv("NACRE_VAR", str(tmp_path))
    made = making.make(lab.platform.store, tmp_path / "a.backup", tmp_path)
    allow_changes(lab)
    last = lab.rows(tables.ledger_entry)[-1]
    put(lab, tables.ledger_entry, {"index": last["index"]}, leaf_hash="0" * 64)
    assert run(lab, evolution_ledger.promote_held)["waiting"] == 1
    sentence = f"the ledger does not verify from entry {last['index']}: "
    assert fault(lab).startswith(sentence)
    with TestClient(build_app(lab.platform)) as client:
        for page in ("/", "/platform-health"):
            assert sentence in client.get(page).text, page
    for words, code in ((["health"], 3), (["parameter", "list"], 0)):
        assert main([*words, "--database", url]) == code
        told = capfd.readouterr()
        assert sentence in told.out + told.err, words
    assert making.make(lab.platform.store, tmp_path / "b.backup", tmp_path).ledger_fault is None
    with pytest.raises(LedgerBrokenError, match="begin the reason with"):
        lab.roll_back()
    with pytest.raises(NotFoundError):
        lab.roll_back("despite a broken ledger: costs doubled")
    target = tmp_path / "restored.db"
    restoring.restore(made.path, f"sqlite:///{target}", target, Terms(is_unproven_kept=True))
    platform = platform_over(f"sqlite:///{target}", tmp_path, seed=8)
    platform.store.clock.advance(lab.now_us - platform.store.clock.now_us())
    mended = Laboratory(platform, lab.proposer, lab.voters, lab.names)
    try:
        assert run(mended, evolution_ledger.promote_held)["promoted"] == 1
        assert mended.value().value == waiting["treatment_value"]
        assert mended.audit().ok
    finally:
        platform.close()
