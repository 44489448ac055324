"""The same writes over real HTTP, once and three times: what is left in the database must be the same.

A script of rounds posts, bids, leases, renews, hands in and takes back. In the run that repeats, every write
is sent three times under its key: some copies at the same time as the first, the others at any later moment.
The clock stands still between the rounds and randomness is recorded, so the two runs differ in nothing else.
"""

import http.client
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import uvicorn

from app.bootstrap import open_platform
from app.main import build_app
from app.settings import Settings
from services import event_bus, meta_task_market
from services.domain.clock import VirtualClock, seconds
from services.operations import agent_registry, watchdog
from services.store import sql, tables
from tests.plugins.platforms import PLAIN_TRIALS, scripted_verdict
from tests.proofs.siege import free_ports
from tests.proofs.traders import RETRIED

REQUESTERS, WORKERS = 2, 5
TASKS = 8
COPIES = 3
AT_ONCE = 0.3
"""Share of the writes whose copies begin at the same moment."""
PATIENCE_SECONDS = 120.0
OWN_TIMES = {"agent": {"last_active_at_us"}}
WITH_IDS = {
    "idempotency": {"body", "request_hash"},
    "event": {"payload", "aggregate"},
    "account": {"owner"},
}
"""Columns in whose text ids stand, which a database may give out in steps of more than one."""
LEFT_OUT = {"blob", "deployment", "ledger_entry", "ledger_head", "parameter", "parameter_change", "epoch"}


class Sender:
    """Sends writes to one server, each under its own key, and remembers the answer to each."""

    def __init__(self, port, copies, seed):
        self.port, self.copies, self.rng = port, copies, random.Random(seed)
        self.local = threading.local()
        self.pool = ThreadPoolExecutor(COPIES)
        self.late, self.sent, self.writes, self.connections = [], 0, 0, []

    def write(self, key, path, body):
        """Send one write and return its answer, None for a refusal; copies of it come now and later."""
        self.writes += 1
        request = (key, path, body, f"write-{self.writes}")
        now = COPIES if self.copies == COPIES and self.rng.random() < AT_ONCE else 1
        answers = list(self.pool.map(self.once, [request] * now))
        assert all(answer == answers[0] for answer in answers), answers
        self.late += [(request, answers[0])] * (self.copies - now)
        while self.late and self.rng.random() < 0.5:
            self.repeat()
        status, answer = answers[0]
        return answer if status < 300 else None

    def repeat(self):
        """Send a copy of any earlier write; it must be answered as the first was, or refused as well."""
        place = self.rng.randrange(len(self.late))
        self.late[place], self.late[-1] = self.late[-1], self.late[place]
        request, first = self.late.pop()
        again = self.once(request)
        is_alike = again == first if first[0] < 300 else again[0] >= 300
        assert is_alike, (request, first, again)

    def finish(self):
        while self.late:
            self.repeat()

    def close(self):
        self.pool.shutdown()
        for connection in self.connections:
            connection.close()

    def once(self, request):
        key, path, body, name = request
        headers = {
            "Authorization": f"Bearer {key}", "Idempotency-Key": name, "Content-Type": "application/json",
        }  # fmt: skip
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends:
            connection = getattr(self.local, "connection", None)
            if connection is None:
                connection = self.local.connection = http.client.HTTPConnection("127.0.0.1", self.port)
                self.connections.append(connection)
            connection.request("POST", f"/api/v1{path}", json.dumps(body), headers)
            answer = connection.getresponse()
            raw = answer.read()
            self.sent += 1
            is_running = b"another call with this Idempotency-Key" in raw
            if answer.status not in RETRIED and not is_running:
                return answer.status, json.loads(raw)
            time.sleep(0.01)
        raise AssertionError(f"{path} was not answered: {raw!r}")


@contextmanager
def served(url, folder):
    """Serve a platform whose clock stands still from a thread of its own; yield (platform, port)."""
    platform = open_platform(
        Settings(url, var_directory=folder, operator_key="operator"),
        clock=VirtualClock(),
        entropy=random.Random(5).randbytes,
        verify=scripted_verdict,
        starting_values={**PLAIN_TRIALS, "monte_carlo.retry_failures": "1"},
        is_migrated=True,
    )
    (port,) = free_ports(1)
    server = uvicorn.Server(
        uvicorn.Config(build_app(platform), port=port, log_level="critical", access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield platform, port
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        platform.close()


def play(url, folder, *, writes, copies):
    """Play the script until so many writes were made; return what is left and how much was sent."""
    with served(url, folder) as (platform, port):
        keys = register(platform)
        sender, rng = Sender(port, copies, seed=3), random.Random(9)
        with closing(sender):
            while sender.writes < writes:
                play_round(platform, sender, rng, keys)
            sender.finish()
        with platform.store.read() as tx:
            found = list(watchdog.check_all(tx))
            assert found == [], found[:5]
            left = canonical({table.name: all_rows(tx, table) for table in tables.metadata.sorted_tables})
        return left, {"writes": sender.writes, "sent": sender.sent}


def register(platform):
    names = [f"requester-{number}" for number in range(REQUESTERS)]
    names += [f"worker-{number}" for number in range(WORKERS)]
    with platform.store.write(actor="operator") as tx:
        return {
            agent_registry.register(
                tx,
                name=name,
                owner=name,
                scopes=["post", "bid"],
                is_vouched=True,
                key_hash=agent_registry.key_hash(f"nac_{name}"),
            ): f"nac_{name}"
            for name in names
        }


def play_round(platform, sender, rng, keys):
    """One bid window and the work after it."""
    people = list(keys)
    requesters, workers = people[:REQUESTERS], people[REQUESTERS:]
    posted = [post(sender, rng, keys[rng.choice(requesters)]) for _ in range(TASKS)]
    for task_id, owner in posted:
        for agent_id in rng.sample(workers, rng.randrange(1, 5)):
            body = {"ask_microcredits": rng.randrange(1, 100_000), "confidence_percent": 80}
            sender.write(keys[agent_id], f"/tasks/{task_id}/bids", body)
        if rng.random() < 0.1:
            sender.write(keys[workers[0]], f"/tasks/{task_id}/bids", {"ask_microcredits": 10**9})
        if rng.random() < 0.1:
            sender.write(owner, f"/tasks/{task_id}/cancel", {"reason": "no longer needed"})
    tick(platform, 301)
    owners = dict(posted)
    with platform.store.read() as tx:
        waiting = [
            (row["id"], row["awarded_agent_id"], owners.get(row["id"]))
            for row in sql.find_all(tx, tables.task, state="awarded")
        ]
    for task_id, agent_id, owner in waiting:
        work(sender, rng, task_id, keys[agent_id], owner)
    tick(platform, 30)
    tick(platform, 301)


def post(sender, rng, key):
    payload = {"model": {"name": "pi_integral"}, "samples": 20_000, "seed": rng.randrange(10**6)}
    body = {"type": "monte_carlo", "payload": payload, "reserve_price_microcredits": 100_000}
    answer = sender.write(key, "/tasks", body)
    return answer.get("task_id") or answer["id"], key


def work(sender, rng, task_id, key, owner):
    luck = rng.random()
    if luck < 0.1:
        return
    lease = sender.write(key, f"/tasks/{task_id}/lease", {})
    token = lease["fencing_token"]
    if luck < 0.4:
        sender.write(key, f"/tasks/{task_id}/heartbeat", {"fencing_token": token})
    if luck < 0.2 and owner is not None:
        sender.write(owner, f"/tasks/{task_id}/cancel", {"reason": "no longer needed"})
        return
    body = {
        "fencing_token": token,
        "outcome": "failed" if luck < 0.3 else "completed",
        "failure_reason": "agent_error" if luck < 0.3 else None,
        "handoff": {"done": "worked", "changed": {"is_good": luck > 0.35}, "next": ""},
    }
    sender.write(key, f"/tasks/{task_id}/result", body)


def tick(platform, value):
    """Let time pass and the platform's own jobs run, once."""
    platform.store.clock.advance(seconds(value))
    event_bus.drain(platform.store, platform.subscribers)
    for job in (meta_task_market.award_due, meta_task_market.expire_due):
        with platform.store.write(actor="system:test") as tx:
            job(tx, platform.context.entropy)


def all_rows(tx, table):
    return sql.find_all(tx, table, order_by=next(iter(table.primary_key)).name)


def canonical(found):
    """Return the rows with each id as its rank in its table, and without what may differ by right."""
    ranks = {
        name: {row["id"]: rank for rank, row in enumerate(rows)}
        for name, rows in found.items()
        if rows and "id" in rows[0]
    }
    left = {}
    for table in tables.metadata.sorted_tables:
        name = table.name
        if name in LEFT_OUT:
            continue
        hidden = OWN_TIMES.get(name, set()) | WITH_IDS.get(name, set())
        targets = {
            column.name: next(iter(column.foreign_keys)).column.table.name
            for column in table.columns
            if column.foreign_keys
        }
        left[name] = sorted(
            (
                {
                    key: ranked(ranks, name, key, value, targets)
                    for key, value in row.items()
                    if key not in hidden
                }
                for row in found[name]
            ),
            key=repr,
        )
    return left


def ranked(ranks, name, key, value, targets):
    if key == "id":
        return ranks[name][value]
    if key in targets and value is not None:
        return ranks.get(targets[key], {}).get(value, value)
    if name == "award" and key == "inputs":
        bids = [{**bid, "bid_id": ranks["bid"][bid["bid_id"]]} for bid in value["bids"]]
        mark = sum(number <= value["outcome_mark"] for number in ranks.get("agent_outcome", {}))
        return {**value, "bids": bids, "outcome_mark": mark}
    return value
