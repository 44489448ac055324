"""Scheduled reports arrive once for each period, in order, whatever fails or races in between."""

import hashlib
import threading
from itertools import pairwise

import pytest

from app.reports import delivering
from app.reports.delivering import ReportDelivery, deliver, file_name
from services.domain.clock import DAY_US, HOUR_US
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.report_calendar import Every, due_periods, period_of
from services.operations import report_schedules
from services.operations.report_schedules import Due
from services.store import sql, tables, views

START = 1_767_225_600_000_000  # 2026-01-01, a Thursday


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "reports"


def add(store, name="daily", every=Every.DAY, formats=("json", "csv"), *, is_announced=True):
    with store.write(actor="operator") as tx:
        return report_schedules.add(tx, name=name, every=every, formats=formats, is_announced=is_announced)


def rows(store, table):
    with store.read() as tx:
        return sql.find_all(tx, table, order_by="id")


def shown(store, name="daily"):
    with store.read() as tx:
        return views.get_report_schedule(tx, name)


def test_missed_periods_come_in_order_and_once(platform, folder):
    store = platform.store
    add(store)
    delivery = ReportDelivery(store, folder)
    assert delivery.round() == 0, "the first day is not over"
    store.clock.advance(3 * DAY_US + HOUR_US)
    assert [delivery.round() for _ in range(4)] == [1, 1, 1, 0]
    made = rows(store, tables.report_delivery)
    assert [row["to_us"] - START for row in made] == [DAY_US, 2 * DAY_US, 3 * DAY_US]
    assert sorted(path.name for path in folder.iterdir()) == [
        f"daily-2026-01-0{day}--2026-01-0{day}.{ending}" for day in (1, 2, 3) for ending in ("csv", "json")
    ]
    told = [row for row in rows(store, tables.event) if row["type"] == "ReportMade"]
    assert [row["payload"]["from"][:10] for row in told] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    first = told[0]["payload"]
    for file in first["files"]:
        content = (folder / file["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert len(content) == file["bytes"]
    assert first["headline"]["put into production"] == "0"
    assert first["ledger_size"] == made[0]["ledger_size"] >= 1


def test_two_processes_deliver_a_period_once(platform, folder, monkeypatch):
    store = platform.store
    add(store, formats=("json",))
    store.clock.advance(DAY_US)
    barrier = threading.Barrier(2, timeout=60)
    write_whole = delivering.write_whole

    def write_together(path, content):
        write_whole(path, content)
        barrier.wait()

    monkeypatch.setattr(delivering, "write_whole", write_together)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ReportDelivery(store, folder).round())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [0, 1], "both wrote the same file, one delivered"
    assert len(rows(store, tables.report_delivery)) == 1
    assert [row["type"] for row in rows(store, tables.event)].count("ReportMade") == 1
    assert [path.name for path in folder.iterdir()] == ["daily-2026-01-01--2026-01-01.json"]
    assert shown(store)["last_error"] is None, "the one that came second has not failed"


def test_a_failure_is_kept_shown_and_tried_again_later(platform, folder):
    store = platform.store
    add(store, formats=("csv",))
    store.clock.advance(DAY_US)
    folder.write_text("in the way")
    delivery = ReportDelivery(store, folder / "folder")
    waits = []
    for _ in range(3):
        before = store.clock.now_us()
        assert delivery.round() == 0
        assert "cannot be written" in shown(store)["last_error"]
        due_us = rows(store, tables.report_schedule)[0]["next_at_us"]
        waits.append((due_us - before) // 60_000_000)
        assert delivery.round() == 0, "not before its time"
        store.clock.advance(due_us - before)
    assert waits == [1, 2, 4]
    folder.unlink()
    healed = ReportDelivery(store, folder)
    assert healed.round() == 1
    assert shown(store)["last_error"] is None
    assert not list(folder.glob("*.partial*"))


def test_schedules_say_what_is_wrong_and_run_by_hand(platform, folder):
    store = platform.store
    for name in ("", "../etc", "Über", "a/b", "a" * 81, "a b", "a\n"):
        with pytest.raises(InvalidValueError) as refusal:
            add(store, name)
        assert refusal.value.field == "name"
    with pytest.raises(InvalidValueError, match="formats"):
        add(store, formats=("docx",))
    with pytest.raises(InvalidValueError, match="formats"):
        add(store, formats=())
    with pytest.raises(ValueError, match="is not the name"):
        file_name(Due(1, "../x", ("csv",), START, START + DAY_US), "csv")
    add(store, "weekly", Every.WEEK, ("csv",), is_announced=False)
    with pytest.raises(ConflictError):
        add(store, "weekly")
    with store.write(actor="operator") as tx:
        report_schedules.ask_now(tx, "weekly")
    assert ReportDelivery(store, folder).round() == 1, "the week before, since none was made yet"
    assert [path.name for path in folder.iterdir()] == ["weekly-2025-12-22--2025-12-28.csv"]
    with store.write(actor="operator") as tx, pytest.raises(ConflictError, match="nothing is due"):
        report_schedules.ask_now(tx, "weekly")
    assert not [row for row in rows(store, tables.event) if row["type"] == "ReportMade"]
    with store.write(actor="operator") as tx:
        report_schedules.remove(tx, "weekly")
    with store.read() as tx, pytest.raises(NotFoundError):
        report_schedules.existing(tx, "weekly")
    store.clock.advance(30 * DAY_US)
    assert ReportDelivery(store, folder).round() == 0
    add(store, "weekly", Every.WEEK)
    with store.read() as tx:
        due = report_schedules.latest_of(tx, report_schedules.existing(tx, "weekly"))[0]
    assert deliver(store, folder, due).is_new
    assert not deliver(store, folder, due).is_new, "a second time it is not new"


def test_periods_are_whole_and_the_missed_are_bounded():
    sunday = START + 3 * DAY_US + 5
    assert period_of(Every.WEEK, sunday) == (START - 3 * DAY_US, START + 4 * DAY_US)
    for month in range(400):
        from_us, to_us = period_of(Every.MONTH, START + month * 30 * DAY_US)
        assert period_of(Every.MONTH, to_us)[0] == to_us
        assert period_of(Every.MONTH, from_us) == period_of(Every.MONTH, to_us - 1) == (from_us, to_us)
        assert 28 <= (to_us - from_us) / DAY_US <= 31
    missed = due_periods(Every.DAY, START, START + 100 * DAY_US)
    assert len(missed) == 31
    assert missed[-1][1] == START + 100 * DAY_US
    assert all(after[0] == before[1] for before, after in pairwise(missed))
    assert due_periods(Every.DAY, START, START + DAY_US - 1) == []
