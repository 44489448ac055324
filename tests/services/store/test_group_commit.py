"""Group commit: a failing act harms no other, nobody is answered before the commit, nothing told is lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import wait

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from services.domain.clock import VirtualClock, WallClock
from services.domain.errors import BusyError, ConflictError
from services.store import group_commit, sql, tables
from services.store.group_commit import TRIES_ALONE, GroupWriter
from services.store.tx import Store

WAIT_SECONDS = 30


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock())
    yield made
    made.close()


@pytest.fixture
def writer(store):
    with GroupWriter(store, workers=1) as made:
        yield made


class Gate:
    """An act that holds the writer until it is opened, so that what is submitted meanwhile waits together."""

    def __init__(self, writer):
        self.opened = threading.Event()
        self.reached = threading.Event()
        self.future = writer.submit("gate", self)
        assert self.reached.wait(WAIT_SECONDS)

    def __call__(self, _tx):
        self.reached.set()
        assert self.opened.wait(WAIT_SECONDS)

    def open(self, *futures):
        self.opened.set()
        wait([self.future, *futures], WAIT_SECONDS)
        return [future.exception(WAIT_SECONDS) for future in futures]


def put(key, value="1"):
    def act(tx):
        sql.insert(tx, tables.deployment, key=key, value=value)
        return (key, tx.actor, tx.now_us)

    return act


def put_all(tx, items):
    sql.insert_many(tx, tables.deployment, [{"key": key, "value": actor} for actor, key in items])
    return [ConflictError(key) if key == "refused" else len(items) for _, key in items]


def keys(store):
    with store.read() as tx:
        return [row["key"] for row in sql.find_all(tx, tables.deployment, order_by="key")]


def test_an_act_is_answered_with_what_it_returned(store, writer):
    assert writer.submit("somebody", put("a")).result(WAIT_SECONDS) == ("a", "somebody", store.clock.now_us())
    assert keys(store) == ["a"]


def test_what_waits_together_is_one_transaction_with_one_instant(store, writer):
    gate = Gate(writer)
    futures = [writer.submit(f"actor:{number}", put(f"k{number}")) for number in range(20)]
    before = writer.commits
    assert gate.open(*futures) == [None] * 20
    answers = [future.result() for future in futures]
    assert answers == [(f"k{n}", f"actor:{n}", store.clock.now_us()) for n in range(20)]
    assert writer.commits - before == 2
    assert writer.acts == 21
    assert len(keys(store)) == 20


def test_a_group_is_no_larger_than_it_may_be(store):
    with GroupWriter(store, 5, workers=1) as writer:
        gate = Gate(writer)
        gate.open(*[writer.submit("a", put(f"k{number}")) for number in range(20)])
        assert writer.commits == 1 + 4


@pytest.mark.parametrize("kind", ["refusal", "broken rule", "bug", "statement"])
def test_an_act_that_fails_takes_back_itself_and_nothing_else(store, writer, kind):
    def fail(tx):
        put("half")(tx)
        tx.published.append(7)
        if kind == "refusal":
            raise ConflictError("no")
        if kind == "broken rule":
            put("k1")(tx)
        if kind == "statement":
            tx.connection.execute(text("SELECT * FROM nothing_of_that_name"))
        raise ZeroDivisionError

    told = []
    store.listeners.append(lambda: told.append(1))
    gate = Gate(writer)
    futures = [writer.submit("a", act) for act in (put("k1"), fail, put("k2"))]
    errors = gate.open(*futures)
    kinds = {"refusal": ConflictError, "broken rule": IntegrityError, "bug": ZeroDivisionError}
    assert [errors[0], errors[2]] == [None, None]
    assert isinstance(errors[1], kinds.get(kind, Exception))
    assert keys(store) == ["k1", "k2"]
    assert told == []


def test_an_act_alone_that_fails_leaves_nothing(store, writer):
    def fail(tx):
        put("half")(tx)
        raise ConflictError("no")

    with pytest.raises(ConflictError, match="no"):
        writer.submit("a", fail).result(WAIT_SECONDS)
    assert writer.submit("a", put("after")).result(WAIT_SECONDS)
    assert keys(store) == ["after"]


def test_nobody_is_answered_before_the_commit(store, writer):
    seen = []
    gate = Gate(writer)
    first = writer.submit("a", put("first"))
    first.add_done_callback(lambda _: seen.append(keys(store)))
    inside = threading.Event()
    release = threading.Event()

    def hold(_tx):
        inside.set()
        assert release.wait(WAIT_SECONDS)

    second = writer.submit("a", hold)
    gate.opened.set()
    assert inside.wait(WAIT_SECONDS)
    time.sleep(0.05)
    assert not first.done()
    assert keys(store) == []
    release.set()
    wait([first, second], WAIT_SECONDS)
    assert seen == [["first"]]


def test_listeners_are_told_once_for_a_commit(store, writer):
    told = []
    store.listeners.append(lambda: told.append(len(keys(store))))

    def publish(key):
        def act(tx):
            put(key)(tx)
            tx.published.append(1)

        return act

    gate = Gate(writer)
    gate.open(*[writer.submit("a", publish(f"k{number}")) for number in range(5)])
    assert told == [5]


def test_items_of_one_verb_are_handed_over_together_in_their_order(store, writer):
    calls = []

    def verb(tx, items):
        calls.append((tx.actor, list(items)))
        return put_all(tx, items)

    gate = Gate(writer)
    futures = [writer.submit_merged(verb, f"agent:{n % 2}", f"k{n}") for n in range(4)]
    futures.insert(2, writer.submit("other", put("z")))
    futures.append(writer.submit_merged(put_all, "agent:9", "q"))
    assert gate.open(*futures) == [None] * 6
    assert calls == [(group_commit.ACTOR, [(f"agent:{n % 2}", f"k{n}") for n in range(4)])]
    assert [future.result() for future in futures if future is not futures[2]] == [4, 4, 4, 4, 1]
    assert keys(store) == ["k0", "k1", "k2", "k3", "q", "z"]


def test_a_verb_acts_as_the_one_who_asked_where_that_is_one(writer):
    def who(tx, items):
        return [tx.actor] * len(items)

    gate = Gate(writer)
    futures = [writer.submit_merged(who, "agent:1", number) for number in range(3)]
    gate.open(*futures)
    assert [future.result() for future in futures] == ["agent:1"] * 3


def test_a_refused_item_is_told_alone(store, writer):
    gate = Gate(writer)
    futures = [writer.submit_merged(put_all, "a", key) for key in ("k0", "refused", "k1")]
    errors = gate.open(*futures)
    assert [errors[0], errors[2]] == [None, None]
    assert isinstance(errors[1], ConflictError)


@pytest.mark.parametrize("is_mixed", [False, True], ids=["one verb", "with others"])
def test_an_item_that_breaks_its_verb_spoils_no_other(store, writer, is_mixed):
    gate = Gate(writer)
    futures = [writer.submit_merged(put_all, "a", key) for key in ("k0", "k1", "k0", "k2")]
    others = [writer.submit("b", put("z"))] if is_mixed else []
    errors = gate.open(*futures, *others)
    assert [error is None for error in errors] == [True, True, False, True, *([True] if is_mixed else [])]
    assert isinstance(errors[2], IntegrityError)
    assert [futures[place].result() for place in (0, 1, 3)] == [1, 1, 1]
    assert keys(store) == ["k0", "k1", "k2", *(["z"] if is_mixed else [])]


def test_a_verb_that_answers_for_too_few_writes_nothing(store, writer):
    def short(tx, items):
        put_all(tx, items)
        return []

    with pytest.raises(ValueError, match="argument"):
        writer.submit_merged(short, "a", "k").result(WAIT_SECONDS)
    assert keys(store) == []


def failing_commit(store, monkeypatch, error, times):
    """Let the next commits fail with `error` instead."""
    real = store.write
    left = [times]

    def write(**given):
        made = real(**given)
        enter, leave = made.__enter__, made.__exit__

        class Broken:
            def __enter__(self):
                return enter()

            def __exit__(self, kind, raised, trace):
                if kind is None and left[0]:
                    left[0] -= 1
                    leave(RuntimeError, RuntimeError(), None)
                    raise error
                return leave(kind, raised, trace)

        return Broken()

    monkeypatch.setattr(store, "write", write)


def test_a_commit_that_fails_fails_everybody_and_is_not_repeated(store, writer, monkeypatch):
    gate = Gate(writer)
    lost = OperationalError("COMMIT", None, Exception("connection lost"))
    failing_commit(store, monkeypatch, lost, 1)
    ran = []
    futures = [writer.submit("a", lambda tx, key=f"k{n}": (ran.append(key), put(key)(tx))) for n in range(3)]
    assert gate.open(*futures) == [lost] * 3
    assert ran == ["k0", "k1", "k2"]
    assert keys(store) == []
    assert writer.submit("a", put("after")).result(WAIT_SECONDS)


def test_a_transaction_that_lost_is_tried_again_act_by_act_and_not_for_ever(store, writer, monkeypatch):
    gate = Gate(writer)
    failing_commit(store, monkeypatch, BusyError("again"), 1 + TRIES_ALONE)
    futures = [writer.submit("a", put(f"k{n}")) for n in range(3)]
    errors = gate.open(*futures)
    assert [type(error) for error in errors] == [BusyError, type(None), type(None)]
    assert keys(store) == ["k1", "k2"]


def test_acts_that_wait_for_each_other_on_postgresql_are_both_done(migrated_postgresql_url):
    store = Store(migrated_postgresql_url, VirtualClock())
    with store.write(actor="test") as tx:
        for key in "ab":
            put(key, "")(tx)
    met = threading.Barrier(2, timeout=WAIT_SECONDS)
    tries = []

    def both(first, second, name):
        def act(tx):
            tries.append(name)
            for place, key in enumerate((first, second)):
                row = sql.find(tx, tables.deployment, lock=True, key=key)
                sql.update(tx, tables.deployment, {"key": key}, value=row["value"] + name)
                if place == 0 and tries.count(name) == 1:
                    met.wait()

        return act

    with GroupWriter(store, workers=2) as writer:
        futures = [writer.submit("x", both("a", "b", "x"))]
        while not tries:
            time.sleep(0.001)
        futures.append(writer.submit("y", both("b", "a", "y")))
        assert [future.exception(WAIT_SECONDS) for future in futures] == [None, None]
    assert 3 <= len(tries) <= 5, "whoever gave way was tried again, and not for ever"
    with store.read() as tx:
        assert {
            "".join(sorted(row["value"])) for row in sql.find_all(tx, tables.deployment, order_by="key")
        } == {"xy"}
    store.close()


def test_workers_on_postgresql_write_at_the_same_time(migrated_postgresql_url):
    store = Store(migrated_postgresql_url, WallClock())
    met = threading.Barrier(3, timeout=WAIT_SECONDS)
    with GroupWriter(store, 1, workers=3) as writer:
        futures = [writer.submit("a", lambda _tx: met.wait()) for _ in range(3)]
        assert sorted(future.result(WAIT_SECONDS) for future in futures) == [0, 1, 2]
    store.close()


def test_more_than_may_wait_is_refused_and_nothing_of_it_written(store):
    with GroupWriter(store, queue_limit=3, workers=1) as writer:
        gate = Gate(writer)
        futures = [writer.submit("a", put(f"k{n}")) for n in range(3)]
        for submit in (
            lambda: writer.submit("a", put("late")),
            lambda: writer.submit_merged(put_all, "a", "late"),
        ):
            with pytest.raises(BusyError) as refusal:
                submit()
            assert (refusal.value.code, refusal.value.transient) == ("queue_full", True)
        assert gate.open(*futures) == [None] * 3
        assert writer.submit("a", put("k9")).result(WAIT_SECONDS)
    assert keys(store) == ["k0", "k1", "k2", "k9"]


def test_closing_finishes_what_is_queued_and_takes_no_more(store):
    writer = GroupWriter(store, 2, workers=1)
    gate = Gate(writer)
    futures = [writer.submit("a", put(f"k{n}")) for n in range(7)]
    closing = threading.Thread(target=writer.close)
    closing.start()
    gate.opened.set()
    closing.join(WAIT_SECONDS)
    assert not closing.is_alive()
    assert all(future.done() for future in futures)
    assert len(keys(store)) == 7
    with pytest.raises(BusyError) as refusal:
        writer.submit("a", put("late"))
    assert refusal.value.code == "shutting_down"
    writer.close()


def test_a_future_that_was_cancelled_in_time_is_not_run(store, writer):
    gate = Gate(writer)
    futures = [writer.submit("a", put(key)) for key in ("k0", "k1")]
    assert futures[0].cancel()
    gate.opened.set()
    assert futures[1].result(WAIT_SECONDS)
    assert keys(store) == ["k1"]


def test_many_threads_lose_no_update_and_each_learns_its_own_answer(store):
    with store.write(actor="test") as tx:
        put("counter", "0")(tx)

    def count(tx):
        row = sql.find(tx, tables.deployment, lock=True, key="counter")
        number = int(row["value"]) + 1
        sql.update(tx, tables.deployment, {"key": "counter"}, value=str(number))
        return number

    answers, lock = [], threading.Lock()

    def client(writer):
        for _ in range(25):
            number = writer.submit("a", count).result(WAIT_SECONDS)
            with lock:
                answers.append(number)

    with GroupWriter(store) as writer:
        threads = [threading.Thread(target=client, args=(writer,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == list(range(1, 201))
    assert writer.commits <= 200


ACKNOWLEDGING = """
import sys, threading
from services.domain.clock import WallClock
from services.store import sql, tables
from services.store.group_commit import GroupWriter
from services.store.tx import Store

writer = GroupWriter(Store(sys.argv[1], WallClock()))

def verb(tx, items):
    sql.insert_many(tx, tables.deployment, [{"key": key, "value": actor} for actor, key in items])
    return [key for _, key in items]

def client(name):
    for number in range(10**6):
        key = f"{name}-{number}"
        if number % 2:
            future = writer.submit_merged(verb, name, key)
        else:
            future = writer.submit(name, lambda tx: sql.insert(tx, tables.deployment, key=key, value=name))
        future.result()
        sys.stdout.write(key + "\\n")
        sys.stdout.flush()

for place in range(8):
    threading.Thread(target=client, args=(f"c{place}",), daemon=True).start()
threading.Event().wait()
"""


def test_what_was_acknowledged_before_a_kill_is_there_after_it(migrated_database_url):
    with subprocess.Popen(
        [sys.executable, "-c", ACKNOWLEDGING, migrated_database_url],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        acknowledged = [child.stdout.readline().strip() for _ in range(400)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    store = Store(migrated_database_url, VirtualClock())
    kept = set(keys(store))
    store.close()
    assert len(acknowledged) >= 400
    assert {*acknowledged} <= kept
    assert len(kept) <= len(acknowledged) + 8
