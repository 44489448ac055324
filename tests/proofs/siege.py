"""Run as a script: a platform under load whose processes, or whose whole database, are killed many times.

One argument, a JSON object: url (none: a PostgreSQL of its own that is killed, too), folder, target
(`server`, `worker`, `database`), kills, seed. Prints a report as JSON; whatever does not hold is an error.
The parent of all processes keeps no connection open while it forks, and runs no thread.
"""

import http.client
import json
import os
import random
import signal
import socket
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from services.operations import agent_registry
from services.store import migrate
from tests.proofs import holding, processes, traders
from tests.proofs.crashing_postgresql import crashing_server
from tests.proofs.traders import Caller, Trader

REQUESTERS, WORKERS, VICTIMS = 2, 5, 12
READY_SECONDS = 120.0
UP_SECONDS = 0.8
"""A process is killed within this time after it was ready, and sometimes before."""
WORK_SECONDS = 0.4
CHECK_EVERY = 25
PAUSE_SECONDS = 0.05


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def set_up(url, folder):
    """Register the traders; return them."""
    platform = processes.opened(url, folder)
    people = [("requester", REQUESTERS), ("worker", WORKERS), ("victim", VICTIMS)]
    found = [Trader("operator", processes.OPERATOR_KEY, 0)]
    with platform.store.write(actor="operator") as tx:
        for role, count in people:
            for number in range(count):
                key = f"nac_{role}-{number}"
                agent_id = agent_registry.register(
                    tx,
                    name=f"{role}-{number}",
                    owner=f"owner-{number}",
                    scopes=["post", "bid"],
                    is_vouched=number % 3 != 2,
                    key_hash=agent_registry.key_hash(key),
                )
                found.append(Trader(role, key, agent_id))
    platform.close()
    return found


class Siege:
    """The processes of one platform, and what is done to them."""

    def __init__(self, asked, url):
        self.folder, self.url, self.target = Path(asked["folder"]), url, asked["target"]
        self.rng = random.Random(asked["seed"])
        self.acts = [processes.serve, processes.serve]
        if url.startswith("sqlite"):
            self.acts[1] = processes.run_jobs
        self.ports = free_ports(2)
        self.children = {}
        self.slowest_seconds = 0.0

    @property
    def serving(self):
        return [port for port, act in zip(self.ports, self.acts, strict=True) if act is processes.serve]

    def start(self, place):
        arguments = (self.url, str(self.folder), self.ports[place])
        self.children[place] = processes.forked(self.acts[place], *arguments)

    def await_ready(self, place):
        """Wait until the server answers; what only runs jobs is ready at once."""
        if self.acts[place] is not processes.serve:
            return
        began = time.monotonic()
        while time.monotonic() < began + READY_SECONDS:
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.ports[place], timeout=5)
                connection.request(
                    "GET", "/api/v1/tasks?limit=1", headers={"Authorization": "Bearer nac_worker-0"}
                )
                if connection.getresponse().status == 200:
                    self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                    return
            assert os.waitpid(self.children[place], os.WNOHANG) == (0, 0), "a server ended by itself"
            time.sleep(0.005)
        raise AssertionError(f"a server was not ready after {READY_SECONDS} s")

    def kill(self, place):
        processes.killed(self.children.pop(place))

    def kill_a_server(self):
        """Kill one of the platform's processes at any moment of its life and start it again."""
        place = self.rng.randrange(len(self.acts))
        if self.rng.random() < 0.85:
            self.await_ready(place)
        time.sleep(self.rng.uniform(0, UP_SECONDS))
        self.kill(place)
        self.start(place)

    def kill_a_worker(self, victims, report):
        """Let an agent work in a process of its own and kill that."""
        victim = self.rng.choice(victims)
        seed = self.rng.random()
        child = processes.forked(act_as_victim, victim, self.serving, report, seed)
        time.sleep(self.rng.uniform(0.01, WORK_SECONDS))
        processes.killed(child)

    def kill_the_database(self, server, round_number):
        """Kill everything that has the database open, the database server first where there is one."""
        time.sleep(self.rng.uniform(1.0, 3.0))
        if server is None:
            for place in range(len(self.acts)):
                self.kill(place)
                self.start(place)
        else:
            server.crash(is_immediate_stop=round_number % 2 == 1)
            server.restart()
        for place in range(len(self.acts)):
            self.await_ready(place)

    def check(self):
        found = holding.breaches(self.url)
        assert not found, found[:10]


def act_as_victim(victim, ports, report, seed):
    """Work as an agent until killed; each acknowledged act is one write to the report."""
    caller = Caller(ports, victim.key, random.Random(seed))
    with report.open("ab", buffering=0) as file:
        traders.act_as_worker(
            caller,
            lambda fact: file.write(json.dumps(fact).encode() + b"\n"),
            pause_seconds=0.005,
            agent_id=victim.agent_id,
        )


def load(people, ports, path, seed):
    """Trade until told to end; leave what was seen beside what was acknowledged."""
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))

    def until_told(_over):
        while not told:
            time.sleep(0.02)

    with path.open("a", encoding="utf-8") as file:
        seen = traders.trade(people, ports, file, until_told, pause_seconds=PAUSE_SECONDS, seed=seed)
    Path(f"{path}.seen").write_text(json.dumps(seen), encoding="utf-8")


def besiege(siege, people, asked, server):
    """Kill as often as asked under load, let everything end, check; return the report."""
    acknowledged, report = siege.folder / "acknowledged", siege.folder / "victims"
    report.touch()
    for place in range(len(siege.acts)):
        siege.start(place)
    for place in range(len(siege.acts)):
        siege.await_ready(place)
    loaders = [one for one in people if one.role != "victim"]
    loader = processes.forked(load, loaders, siege.serving, acknowledged, asked["seed"])
    siege.children["loader"] = loader
    victims = [one for one in people if one.role == "victim"]
    began = time.monotonic()
    for number in range(asked["kills"]):
        if siege.target == "server":
            siege.kill_a_server()
        elif siege.target == "worker":
            siege.kill_a_worker(victims, report)
        else:
            siege.kill_the_database(server, number)
        if number % CHECK_EVERY == CHECK_EVERY - 1 or siege.target == "database":
            siege.check()
    seconds = time.monotonic() - began
    os.kill(loader, signal.SIGTERM)
    _, status = os.waitpid(siege.children.pop("loader"), 0)
    assert status == 0, f"the traders failed with status {status}"
    ended = holding.everything_ends(siege.url)
    siege.check()
    facts = [*holding.facts_of(acknowledged), *holding.facts_of(report)]
    assert not (lost := holding.lost(siege.url, facts)), f"{len(lost)} acknowledged acts are lost: {lost[:5]}"
    for place in list(siege.children):
        siege.kill(place)
    siege.check()
    return {
        "kills": asked["kills"],
        "seconds": round(seconds, 1),
        "acknowledged": len(facts),
        "by_victims": len(holding.facts_of(report)),
        "ended": dict(ended),
        "slowest_start_seconds": round(siege.slowest_seconds, 2),
        **json.loads(Path(f"{acknowledged}.seen").read_text(encoding="utf-8")),
    }


def main(argument):
    asked = json.loads(argument)
    with ExitStack() as stack:
        url, server = asked["url"], None
        if url is None:
            server = stack.enter_context(crashing_server())
            url = server.url
            migrate.upgrade(url)
        people = set_up(url, asked["folder"])
        siege = Siege(asked, url)
        try:
            report = besiege(siege, people, asked, server)
        finally:
            for child in siege.children.values():
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
