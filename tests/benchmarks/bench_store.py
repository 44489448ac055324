"""What the store costs over the bare driver on this machine: many rows at once, and commits in groups.

Both ways write the same rows to the same kind of table in the same run, turn by turn; figures are medians of
rows per second, and the ratio to the driver alone. `make bench` prints them; they are not asserted, since
machines differ. That the same rows are there in the end, is.
"""

import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, MetaData, String, Table

from services.domain.clock import WallClock
from services.store import sql
from services.store.group_commit import GroupWriter
from services.store.tables.columns import Identity64
from services.store.tx import Store

ROUNDS = 7
ROWS = 500
CLIENTS = 16
ACTS_PER_CLIENT = 40
SAMPLE = Table(
    "sample",
    MetaData(),
    Column("id", Identity64, primary_key=True, autoincrement=True),
    *[Column(f"number_{place}", BigInteger) for place in range(6)],
    Column("name", String(80)),
    Column("state", String(16)),
    Column("ratio", Float),
    Column("is_vouched", Boolean),
    Column("public", JSON),
    Index("ix_sample_state", "state", "id"),
)
NAMES = tuple(column.name for column in SAMPLE.c if column.name != "id")
ENGINES = {"sqlite": "SQLite, FULL", "postgresql": "PostgreSQL, no fsync"}


@pytest.fixture
def store(database_url):
    made = Store(database_url, WallClock())
    with made.write(actor="bench") as tx:
        SAMPLE.create(tx.connection)
    yield made
    made.close()


def row(number):
    numbers = {f"number_{place}": number + place for place in range(6)}
    return {
        **numbers, "name": f"agent:{number}", "state": "open", "ratio": number / 7, "is_vouched": True,
        "public": {"goal": number},
    }  # fmt: skip


def report(store, what, own, bare, unit):
    own, bare = statistics.median(own), statistics.median(bare)
    what = f"{ENGINES[store.engine.dialect.name]}: {what}"
    print(f"\n  {what:<56} {own:>10,.0f} {unit}, bare {bare:>10,.0f}, ratio {own / bare:5.2f}", end="")


def timed(work, count):
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def turn_by_turn(own, bare, count):
    """Return the rates of both ways over the rounds, each measured beside the other."""
    rates = [], []
    for _ in range(ROUNDS):
        rates[0].append(timed(own, count))
        rates[1].append(timed(bare, count))
    return rates


def driver(store):
    """A connection of the driver's own, set up as the store's are, and its mark for a parameter."""
    raw = store.engine.raw_connection().driver_connection
    return raw, "?" if store.engine.dialect.name == "sqlite" else "%s"


def bare_values(store, given):
    """The row as the driver takes it: JSON as text, as the store sends it."""
    return (*[given[name] for name in NAMES[:-1]], json.dumps(given["public"]))


def bare_transaction(store, raw, statement, rows):
    if store.engine.dialect.name == "sqlite":
        raw.execute("BEGIN IMMEDIATE")
        raw.executemany(statement, rows)
        raw.execute("COMMIT")
        return
    with raw.cursor() as cursor:
        cursor.executemany(statement, rows)
    raw.commit()


def count(store):
    with store.read() as tx:
        return len(sql.find_all(tx, SAMPLE))


@pytest.mark.parametrize("size", [8, 64, ROWS])
def test_rows_inserted_together(store, size):
    raw, mark = driver(store)
    statement = f"INSERT INTO sample ({', '.join(NAMES)}) VALUES ({', '.join([mark] * len(NAMES))})"
    given = [row(number) for number in range(size)]
    bare_given = [bare_values(store, found) for found in given]

    def own():
        for _ in range(ROWS // size):
            with store.write(actor="bench") as tx:
                sql.insert_many(tx, SAMPLE, given)

    def bare():
        for _ in range(ROWS // size):
            bare_transaction(store, raw, statement, bare_given)

    total = ROWS // size * size
    report(store, f"inserts, {size} rows a commit", *turn_by_turn(own, bare, total), "rows/s")
    assert count(store) == total * 2 * ROUNDS
    raw.close()


@pytest.mark.parametrize("size", [8, 64, ROWS])
def test_rows_updated_together(store, size):
    raw, mark = driver(store)
    with store.write(actor="bench") as tx:
        sql.insert_many(tx, SAMPLE, [row(number) for number in range(ROWS)])
        ids = [found["id"] for found in sql.find_all(tx, SAMPLE)]
    statement = f"UPDATE sample SET number_0 = {mark}, state = {mark} WHERE id = {mark} AND state = {mark}"
    changed = []

    def own():
        for start in range(0, ROWS - size + 1, size):
            part = [{"id": number, "number_0": 1, "state": "open"} for number in ids[start : start + size]]
            with store.write(actor="bench") as tx:
                changed.append(sql.update_many(tx, SAMPLE, ["id"], part, {"state": "open"}))

    def bare():
        for start in range(0, ROWS - size + 1, size):
            part = [(2, "open", number, "open") for number in ids[start : start + size]]
            bare_transaction(store, raw, statement, part)

    total = ROWS // size * size
    report(store, f"guarded updates, {size} rows a commit", *turn_by_turn(own, bare, total), "rows/s")
    assert sum(changed) == total * ROUNDS
    raw.close()


def put(_tx, items):
    sql.insert_many(_tx, SAMPLE, [item for _actor, item in items])
    return [True] * len(items)


def clients(ask):
    """Let every client ask one thing after the other, all at once."""
    ready = threading.Barrier(CLIENTS)

    def run(client):
        ready.wait()
        for number in range(ACTS_PER_CLIENT):
            ask(row(client * ACTS_PER_CLIENT + number))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))


@pytest.mark.parametrize("is_merged", [False, True], ids=["acts", "merged"])
def test_commits_in_groups(store, is_merged):
    raw, mark = driver(store)
    statement = f"INSERT INTO sample ({', '.join(NAMES)}) VALUES ({', '.join([mark] * len(NAMES))})"
    lock = threading.Lock()

    def bare_ask(given):
        with lock:
            bare_transaction(store, raw, statement, [bare_values(store, given)])

    def own_ask(given):
        if is_merged:
            writer.submit_merged(put, "bench", given).result()
        else:
            writer.submit("bench", lambda tx: sql.insert(tx, SAMPLE, **given)).result()

    total = CLIENTS * ACTS_PER_CLIENT
    with GroupWriter(store) as writer:
        rates = turn_by_turn(lambda: clients(own_ask), lambda: clients(bare_ask), total)
        commits = writer.commits
    what = "items of one verb" if is_merged else "acts"
    report(store, f"{CLIENTS} clients, {what}, {total * ROUNDS / commits:.1f} a commit", *rates, "acts/s")
    assert count(store) == total * 2 * ROUNDS
    raw.close()
