"""The audit by the clock: in parts, each bounded, in a transaction of its own, and nothing slips between."""

import json

import pytest
from sqlalchemy import delete

from cron_registry import CRON_JOBS
from services import evolution_ledger
from services.cron_runner import run_tick
from services.domain.checks import Status
from services.domain.clock import DAY_US, HOUR_US
from services.domain.hash_chain import Frontier, leaf_hash
from services.domain.ledger_schema import EntryType
from services.evolution_ledger import Auditor, auditing
from services.operations import audit_log, health, production_config
from services.store import config, ledger, ledger_live, sql, tables
from services.store.tx import Store
from tests.services import long_ledgers
from tests.services.test_ledger_acts import named

[JOB] = [job for job in CRON_JOBS if job.name == "ledger_audit"]


def take(lab, auditor):
    with lab.write("system:ledger_audit") as tx:
        return auditor.take_part(tx)


def told(lab):
    """Return status, size and output of the check as `nacre health` shows them now."""
    with lab.read() as tx:
        [found] = [one for one in health.correctness(tx) if one.key == "ledger:full_audit"]
    return found.status, found.observed, found.output


def grow(lab, count, **shape):
    with lab.write() as tx:
        long_ledgers.grow(tx, count, **shape)


def change(lab, index, old=b"long", new=b"lang"):
    """Tamper with one entry; return its bytes."""
    leaf = bytes(lab.row(tables.ledger_entry, index=index)["leaf"])
    assert old in leaf
    set_leaf(lab, index, leaf.replace(old, new))
    return leaf


def set_leaf(lab, index, leaf):
    with lab.write("intruder") as tx:
        long_ledgers.put(tx, tables.ledger_entry, {"index": index}, {"leaf": leaf})


@pytest.fixture
def known(lab):
    """A ledger of a promotion and ten entries more, which may be tampered with; the auditor knows it all."""
    lab.promoted()
    grow(lab, 10)
    with lab.write("intruder") as tx:
        long_ledgers.allow_changes(tx)
    auditor = Auditor()
    assert take(lab, auditor) == len(lab.types())
    assert take(lab, auditor) == 0
    return auditor


@pytest.fixture
def read(monkeypatch):
    """The number of entries that each run read, in a list that grows."""
    counts = []

    def leaves_from(*args):
        found = kept(*args)
        counts.append(len(found))
        return found

    kept = ledger_live.leaves_from
    monkeypatch.setattr(ledger_live, "leaves_from", leaves_from)
    return counts


def test_a_long_ledger_passes_in_bounded_parts_and_is_never_called_stale(lab, read):
    grow(lab, 2_500)
    size = len(lab.types())
    auditor = Auditor()
    for number in (1, 2):
        lab.pass_seconds(7 * 3_600)  # what was told before is a failure by now
        assert take(lab, auditor) == auditing.PART
        assert told(lab) == (Status.PASS, auditing.PART * number, "so far; it goes on from there")
    assert take(lab, auditor) == size - 2 * auditing.PART
    assert told(lab) == (Status.PASS, size, None)
    grow(lab, 3)
    assert [take(lab, auditor), take(lab, auditor)] == [3, 0]
    assert read == [auditing.PART, auditing.PART, size - 2 * auditing.PART, 3, 0]
    assert told(lab) == (Status.PASS, size + 3, None)


def test_an_old_entry_is_found_by_the_next_day_at_the_latest_and_at_once_by_a_restart(lab, known):
    index = len(lab.types()) - 8
    kept = change(lab, index)
    assert (take(lab, known), told(lab)[0]) == (0, Status.PASS)
    lab.pass_seconds(DAY_US / 1e6)
    assert (take(lab, known), told(lab)[0]) == (0, Status.FAIL)
    assert f"from entry {index}: the bytes" in told(lab)[2]
    set_leaf(lab, index, kept)
    assert (take(lab, known) > 0, told(lab)[0]) == (True, Status.PASS)
    change(lab, index)
    lab.pass_seconds(1)
    restarted = Auditor()
    assert (take(lab, restarted), told(lab)[0]) == (0, Status.FAIL)
    assert take(lab, known) == 0
    assert told(lab)[0] is Status.FAIL, "what another process found was passed over"
    set_leaf(lab, index, kept)
    take(lab, known)
    assert told(lab)[0] is Status.PASS


def test_a_new_entry_is_found_by_the_next_run_and_a_fault_stays_while_it_looks_anew(lab, known, monkeypatch):
    grow(lab, 3)
    index = len(lab.types()) - 2
    kept = change(lab, index)
    assert (take(lab, known), told(lab)[0]) == (0, Status.FAIL)
    fault = told(lab)[2]
    assert f"from entry {index}: " in fault
    set_leaf(lab, index, kept)
    monkeypatch.setattr(auditing, "PART", 5)
    assert (take(lab, known), told(lab)[::2]) == (5, (Status.FAIL, fault))
    while take(lab, known):
        pass
    assert told(lab)[0] is Status.PASS


@pytest.mark.parametrize("is_shorter", [True, False])
def test_a_shrunk_or_replaced_ledger_fails_until_it_is_the_one_that_was_audited(lab, known, is_shorter):
    with lab.write("intruder") as tx:
        leaves = list(ledger.leaves(tx))
        head = sql.find(tx, tables.ledger_head, id=1)
        last = len(leaves) - 1
        tx.connection.execute(delete(tables.ledger_entry).where(tables.ledger_entry.c.index == last))
        frontier = Frontier()
        for leaf in leaves[:-1]:
            frontier = frontier.append(leaf_hash(leaf))
        changed = {
            "size": last,
            "root": frontier.root().hex(),
            "frontier": [n.hex() for n in frontier.hashes],
        }
        long_ledgers.put(tx, tables.ledger_head, {"id": 1}, changed)
        tx.connection.execute(delete(tables.ledger_node).where(
            (tables.ledger_node.c.index + 1) * 2 ** tables.ledger_node.c.level > last))  # fmt: skip
        if not is_shorter:
            audit_log.append(tx, EntryType.STANDING, {**long_ledgers.STANDING, "reason": "another"})
    assert (take(lab, known), told(lab)[0]) == (0, Status.FAIL)
    for _ in range(2):
        assert (take(lab, known), told(lab)[0]) == (0, Status.FAIL)
        assert "audit before" in told(lab)[2]
    with lab.write("intruder") as tx:
        long_ledgers.put(tx, tables.ledger_head, {"id": 1}, {name: head[name] for name in changed})
        row = {"index": last, "leaf": leaves[-1], "leaf_hash": leaf_hash(leaves[-1]).hex()}
        if is_shorter:
            told_ = json.loads(leaves[-1])
            sql.insert(tx, tables.ledger_entry, **row, type=told_["type"], actor=told_["actor"], at_us=0)
        else:
            long_ledgers.put(tx, tables.ledger_entry, {"index": last}, row)
    assert (take(lab, known) > 0, told(lab)[0]) == (True, Status.PASS)


def test_others_write_between_the_parts_of_a_tick_and_a_broken_off_part_begins_anew(lab, monkeypatch, read):
    monkeypatch.setattr(auditing, "PART", 10)
    grow(lab, 25)
    store, sizes = lab.platform.store, []
    other = Store(store.url, store.clock)
    write = store.write

    def after_another(**terms):
        """Begin a transaction of the platform only after another process has written one."""
        if len(sizes) == 6:  # for ever new entries there would be for ever more to audit
            return write(**terms)
        with other.write(actor="system:other") as tx:
            sizes.append(audit_log.append(tx, EntryType.STANDING, long_ledgers.STANDING) + 1)
        return write(**terms)

    try:
        monkeypatch.setattr(store, "write", after_another)
        run_tick(store, lab.platform.context, JOB, lab.now_us - lab.now_us % HOUR_US, "p1")
    finally:
        monkeypatch.setattr(store, "write", write)
        other.close()
    assert len(sizes) == 6
    assert max(read) == 10
    assert sum(read) == sizes[-1]
    assert told(lab) == (Status.PASS, sizes[-1], None)
    monkeypatch.setattr(auditing, "_tell", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        take(lab, lab.platform.context.auditor)
    monkeypatch.undo()
    assert take(lab, lab.platform.context.auditor) == sizes[-1]


def test_a_text_that_is_erased_while_a_pass_is_under_way_is_no_fault(lab, monkeypatch):
    monkeypatch.setattr(auditing, "PART", 4)
    grow(lab, 8)
    lab.file(root_cause="named a person")
    grow(lab, 8)
    auditor = Auditor()
    assert take(lab, auditor) == 4
    with lab.write("operator") as tx:
        evolution_ledger.erase_blob(tx, named(lab, "PROPOSAL", "root_cause_sha256"), "it named a person")
    while take(lab, auditor):
        pass
    assert told(lab) == (Status.PASS, len(lab.types()), None)


def test_the_guard_reads_the_config_of_new_entries_only_the_newest_first(lab, monkeypatch):
    lab.promoted()
    rows = []

    def listed(tx, statement, **given):
        found = kept(tx, statement, **given)
        rows.extend(found if statement is config.NEWEST_OF_CONFIG else ())
        return found

    kept = sql.listed
    monkeypatch.setattr(sql, "listed", listed)
    for kind, count in ((EntryType.STANDING, 16), (EntryType.OVERRIDE, 40)):
        grow(lab, count, kind_of=lambda _, kind=kind: kind)
        with lab.write() as tx:
            live = production_config.config_hash(production_config.snapshot(tx))
            rows.clear()
            assert config.last_recorded_hash(tx) == live
            assert len(rows) <= 3 * config.CONFIG_PAGE
            assert auditing.guard(tx) is None
            rows.clear()
            assert auditing.guard(tx) is None
            assert rows == []
    with lab.write("intruder") as tx:
        long_ledgers.put(tx, tables.parameter, {"name": "monte_carlo.timeout_seconds"}, {"value": "31"})
        assert "config in force is not" in auditing.guard(tx)
        assert rows == []
