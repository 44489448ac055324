"""The sections of the bench: each sets up databases and servers, measures in rounds, checks what is left.

A section's cases take turns within it. Whatever of ours leaves a broken invariant, or loses something that
was acknowledged, is noted in `bench.broken` and fails the command. Peers may fail; that is noted and the run
goes on.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.benchmarks.market import http_ours, limits, names, queue_peers
from tests.benchmarks.market.backlog import Backlog, measure_backlogs
from tests.benchmarks.market.hostile import measure_calm_and_flood, measure_kill
from tests.benchmarks.market.http_bids import bid_case, posted_tasks
from tests.benchmarks.market.http_peers import peer_lifecycles
from tests.benchmarks.market.lifecycles import Lifecycles
from tests.benchmarks.market.measure import Case, Results, Sample, run_rounds
from tests.benchmarks.market.ours import BrokenInvariantError, OurMarket, counting
from tests.benchmarks.market.scripts import BatchScript
from tests.plugins.postgresql import PostgresqlServer

SIZES = (10_000, 100_000, 1_000_000)
LONG_WINDOW = "3600"


@dataclass
class Bench:
    """What every section needs: where to work, PostgreSQL if there is one, rounds, seconds, results."""

    folder: Path
    postgresql: PostgresqlServer | None
    peers: Path
    rounds: int
    seconds: float
    sizes: tuple[int, ...]
    say: Callable[[str], None]
    rng: random.Random = field(default_factory=lambda: random.Random(20_261_121))
    results: Results = field(default_factory=Results)
    broken: list[str] = field(default_factory=list)
    lives: dict[str, dict[str, float]] = field(default_factory=dict)
    """Statements and write transactions of one life, by the way it is lived."""
    files: Iterator[int] = field(default_factory=itertools.count)

    def url(self, engine: str) -> str:
        """Return the URL of a fresh database."""
        if engine == names.SQLITE:
            return f"sqlite:///{self.folder / f'{next(self.files)}.db'}"
        assert self.postgresql is not None
        return self.postgresql.url(self.postgresql.create_database())

    def conninfo(self) -> str:
        """Return what a PostgreSQL driver takes to reach a fresh database."""
        return self.url(names.POSTGRESQL).replace("postgresql+psycopg://", "postgresql://")

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines there are."""
        return names.ENGINES if self.postgresql is not None else (names.SQLITE,)

    def measure(self, cases: dict[str, Case]) -> None:
        """Run the cases in rounds."""
        run_rounds(self.results, cases, self.rounds, self.seconds, self.rng, self.say)

    def check(self, name: str, check: Callable[[], None]) -> None:
        """Note what is broken after a case."""
        self.say(f"checking every invariant: {name}")
        try:
            check()
        except BrokenInvariantError as error:
            self.broken.append(f"{name}: {error}")


def in_process(bench: Bench) -> None:
    """Limits, queues, and our market without HTTP, on the same databases."""
    cases = limits.sqlite_limits(bench.folder)
    if bench.postgresql is not None:
        cases |= limits.postgresql_limits(bench.conninfo())
        cases |= queue_peers.queue_cases(bench.peers, bench.conninfo())
    markets = {engine: OurMarket.over(bench.url(engine), bench.folder / engine) for engine in bench.engines}
    for engine, market in markets.items():
        ways = {
            names.SINGLE: market.one_life,
            names.GROUPED: market.lives_grouped,
            names.SETS: market.lives_in_sets,
            **({names.THREADED: market.lives_in_threads} if engine == names.POSTGRESQL else {}),
        }
        for name, way in ways.items():
            way()  # what is compiled once is compiled now
            cases[name.format(engine=engine)] = partial(market.measure, way)
    bench.measure(cases)
    ours = markets[names.SQLITE]
    for name, way in (
        (names.SINGLE, ours.one_life),
        (names.GROUPED, ours.lives_grouped),
        (names.SETS, ours.lives_in_sets),
    ):
        with counting(ours) as counts:
            lives = way()
        bench.lives[name.format(engine=names.SQLITE)] = {
            what: number / lives for what, number in counts.items()
        }
    for engine, market in markets.items():
        bench.check(f"in process, {engine}", market.check)
        market.close()


def over_http(bench: Bench) -> None:
    """Whole lives over HTTP: two peers and ours, each server in a process of its own."""
    with ExitStack() as running:
        cases: dict[str, Case] = {}
        for name, app in ((names.NAIVE, "naive_app"), (names.CAREFUL, "writer_app")):
            peer = peer_lifecycles(app, bench.folder)
            running.enter_context(peer.server)
            cases[name] = peer.measure
        served: dict[str, tuple[Lifecycles, http_ours.Recount]] = {}
        for name, engine, options in (
            (names.HTTP, names.SQLITE, ()),
            (names.HTTP_NORMAL, names.SQLITE, ("--normal",)),
            (names.HTTP_BATCH, names.SQLITE, ()),
            (names.HTTP_POSTGRESQL, names.POSTGRESQL, ()),
        ):
            if engine not in bench.engines:
                continue
            url = bench.url(engine)
            server = http_ours.our_server(url, bench.folder, _plain(name), *options)
            running.enter_context(server)
            scripted = (BatchScript,) if name == names.HTTP_BATCH else ()
            served[name] = http_ours.our_lifecycles(server, url, *scripted), http_ours.Recount(url)
            cases[name] = served[name][0].measure
        bench.measure(cases)
    for name, (lives, recount) in served.items():
        bench.check(name, recount.check)
        _no_double_pay(bench, name, lives.paid_twice())


def bids(bench: Bench) -> None:
    """Bids alone over HTTP by sixteen clients, beside one-row commits of the bare driver."""
    with ExitStack() as running:
        cases = {
            names.BESIDE: limits.sqlite_limits(bench.folder)[names.LIMIT_COMMIT],
        }
        if bench.postgresql is not None:
            cases[names.BESIDE_POSTGRESQL] = limits.postgresql_limits(bench.conninfo())[
                names.LIMIT_COMMIT_POSTGRESQL
            ]
        urls: dict[str, str] = {}
        for name, engine, options in (
            (names.BIDS, names.SQLITE, ()),
            (names.BIDS_NORMAL, names.SQLITE, ("--normal",)),
            (names.BIDS_POSTGRESQL, names.POSTGRESQL, ()),
        ):
            if engine not in bench.engines:
                continue
            urls[name] = bench.url(engine)
            server = http_ours.our_server(
                urls[name], bench.folder, _plain(name), "--window", LONG_WINDOW, *options
            )
            running.enter_context(server)
            cases[name] = bid_case(server, posted_tasks(server))
        bench.measure(cases)
    for name, url in urls.items():
        bench.check(name, http_ours.Recount(url).check)


def backlogs(bench: Bench) -> None:
    """Listing, bidding and leasing with more and more open tasks."""
    for engine in bench.engines:
        made = []
        for size in bench.sizes:
            bench.say(f"posting {size:,} tasks on {engine}")
            market = OurMarket.over(bench.url(engine), bench.folder / f"{engine}_{size}")
            made.append(Backlog(market, size))
            made[-1].fill()
        measure_backlogs(bench.results, engine, made, bench.rounds, bench.say)
        bench.check(f"backlog of {bench.sizes[0]:,} on {engine}", made[0].market.check)
        for backlog in made:
            backlog.market.close()


def hostile(bench: Bench) -> None:
    """One agent floods while others bid at an even pace; then the server is killed under load."""
    url = bench.url(names.SQLITE)
    options = ("--window", LONG_WINDOW)
    with http_ours.our_server(url, bench.folder, "flooded", *options) as server:
        measure_calm_and_flood(bench.results, server, bench.folder, bench.rounds, bench.seconds, bench.say)
    bench.check(names.FLOODED, http_ours.Recount(url).check)
    url = bench.url(names.SQLITE)
    with http_ours.our_server(url, bench.folder, "killed") as server:
        bench.say("killing the server under load")
        lost = measure_kill(server, url, bench.seconds, bench.rounds)
    recount = http_ours.Recount(url)
    counts = {"lost": float(lost), "paid_twice": float(recount.paid_twice())}
    bench.results.add(names.KILLED, Sample(recount.settled(), 1.0, counts=counts))
    if lost:
        bench.broken.append(f"{names.KILLED}: {lost} acknowledged acts were lost")
    bench.check(names.KILLED, recount.check)
    _no_double_pay(bench, names.KILLED, recount.paid_twice())


def _no_double_pay(bench: Bench, name: str, paid_twice: int) -> None:
    if paid_twice:
        bench.broken.append(f"{name}: {paid_twice} tasks were paid twice")


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "process": in_process,
    "http": over_http,
    "bids": bids,
    "backlog": backlogs,
    "hostile": hostile,
}
