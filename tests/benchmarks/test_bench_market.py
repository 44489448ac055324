"""The market's bench measures what it says: samples, bars, report, load, scripts, and small real runs."""

import asyncio
import json
import math
import random
from itertools import islice

import pytest

from services.store import sql, tables
from tests.benchmarks.market import bars, http_ours, names, report, sections
from tests.benchmarks.market.__main__ import main
from tests.benchmarks.market.backlog import ACTS, Backlog, measure_backlogs, name_of
from tests.benchmarks.market.http_bids import pairs_of
from tests.benchmarks.market.http_peers import SimpleScript, peer_lifecycles
from tests.benchmarks.market.limits import sqlite_limits
from tests.benchmarks.market.load import Load, Request, request_bytes, run
from tests.benchmarks.market.measure import Results, Sample, in_threads, percentile, run_rounds, watching
from tests.benchmarks.market.ours import BrokenInvariantError, OurMarket, counting
from tests.benchmarks.market.scripts import BatchScript, LifeScript, bidder
from tests.benchmarks.market.servers import HOST


@pytest.fixture
def our_market(migrated_database_url, tmp_path):
    made = OurMarket.over(migrated_database_url, tmp_path)
    yield made
    made.close()


def silent(_words):
    pass


def results_of(**rates):
    results = Results()
    for name, values in rates.items():
        for value in values:
            results.add(name, Sample(value, 1.0, value * 1e-4, [0.001, 0.002, 0.003]))
    return results


def test_rates_ratios_and_percentiles():
    results = results_of(ours=[100, 300, 200], theirs=[10, 100, 100])
    assert results.rate("ours") == 200
    assert results.ratio("ours", "theirs") == 3.0, "the median of 10, 3 and 2: round by round"
    assert results.cpu_us("ours") == pytest.approx(100.0)
    assert results.percentile_us("ours", 50) == pytest.approx(2_000)
    assert results.percentile_us("ours", 99) == pytest.approx(3_000)
    assert percentile([5.0], 99) == 5.0
    assert percentile(range(1, 101), 99) == 99
    assert math.isnan(percentile([], 50))
    assert math.isnan(Sample(0, 1.0, 1.0).cpu_us)


def test_cases_take_turns_and_one_that_fails_is_left_out():
    ran, results = [], Results()

    def case(name):
        def go(seconds):
            ran.append(name)
            if name == "bad":
                raise RuntimeError("no such luck")
            return Sample(1, seconds)

        return go

    run_rounds(results, {name: case(name) for name in ("a", "b", "bad")}, 3, 0.5, random.Random(1), silent)
    assert ran.count("a") == ran.count("b") == 3
    assert ran.count("bad") == 1
    assert results.failures == {"bad": "RuntimeError: no such luck"}
    assert not results.has("a", "bad")
    assert {tuple(ran[:3]), tuple(ran[3:5]), tuple(ran[5:])} != {("a", "b", "bad")}


def test_threads_sum_up_and_errors_come_out():
    assert in_threads(lambda number: number, 4) == 6

    def fail(number):
        raise ValueError(number)

    with pytest.raises(ValueError, match=r"[01]"):
        in_threads(fail, 2)


def test_a_limit_counts_what_the_database_holds(tmp_path):
    cases = sqlite_limits(tmp_path)
    found = cases[names.LIMIT_SQLITE_QUEUE_BATCH](0.05)
    assert found.operations > 0
    assert found.operations % 32 == 0
    assert found.cpu_seconds > 0
    assert cases[names.LIMIT_COMMIT](0.05).operations > 0


def test_every_way_of_living_settles_all_and_breaks_nothing(our_market):
    for way, lives in (
        (our_market.one_life, 1),
        (lambda: our_market.lives_grouped(5), 5),
        (lambda: our_market.lives_in_sets(7), 7),
    ):
        before = our_market.settled()
        assert way() == lives
        assert our_market.settled() - before == lives
    sample = our_market.measure(our_market.one_life, 0.05)
    assert sample.operations == our_market.settled() - 13 >= 1
    our_market.check()


def test_a_life_that_does_not_end_is_noticed(our_market):
    with pytest.raises(BrokenInvariantError, match=r"0 settled"):
        our_market.measure(lambda: int(our_market.post() > 0), 0.01)


def test_a_broken_invariant_is_noticed(our_market):
    our_market.one_life()
    with our_market.platform.store.write(actor="bench") as tx:
        sql.update(tx, tables.account, {"owner": "treasury"}, balance=0)
    with pytest.raises(BrokenInvariantError, match="breaches"):
        our_market.check()


def test_statements_and_transactions_of_a_life_are_counted(migrated_sqlite_url, tmp_path):
    made = OurMarket.over(migrated_sqlite_url, tmp_path)
    with counting(made) as alone:
        made.one_life()
    with counting(made) as together:
        lives = made.lives_in_sets(20)
    made.one_life()
    assert 5 <= alone["transactions"] <= 20, "post, three bids, award, lease, result, and what is delivered"
    assert alone["statements"] > 2 * alone["transactions"]
    assert together["transactions"] / lives < 1
    made.close()


def test_a_backlog_is_as_valid_as_what_it_was_copied_from(migrated_database_url, tmp_path):
    market, results = OurMarket.over(migrated_database_url, tmp_path), Results()
    backlog = Backlog(market, 300)
    backlog.fill()
    with market.platform.store.read() as tx:
        assert len(sql.find_all(tx, tables.task, state="bidding")) == 300
    market.check()
    measure_backlogs(results, "here", [backlog], 1, silent)
    for act in ACTS:
        assert results.samples[name_of(act, "here", 300)][0].operations == 40
    market.check()
    market.close()


class Echo(asyncio.Protocol):
    """Answers every request with its path's number as the status; hangs up on 0."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        status = int(data.split(b" ")[1][1:])
        if status == 0:
            self.transport.close()
            return
        self.transport.write(b"HTTP/1.1 %d Told\r\nContent-Length: 2\r\n\r\n" % status)
        self.transport.write(b"{}")


class Asking:
    """Asks for these statuses in turn."""

    def __init__(self, statuses):
        self.left = list(statuses)
        self.told = []

    def next(self):
        return Request("ask", request_bytes("GET", f"/{self.left.pop(0)}", "key")) if self.left else None

    def answered(self, _request, status, body):
        self.told.append((status, body))


def test_the_load_generator_counts_refusals_and_opens_lost_connections_again():
    async def ask():
        server = await asyncio.get_running_loop().create_server(Echo, HOST, 0)
        load = Load(Asking([200, 409, 0, 201, 200]), HOST, server.sockets[0].getsockname()[1], 1)
        await load.open()
        while len(load.script.told) < 5:  # noqa: ASYNC110 (a test waits)
            await asyncio.sleep(0.005)
        await load.close()
        server.close()
        return load

    load = run(ask())
    assert [status for status, _ in load.script.told] == [200, 409, 0, 201, 200]
    assert dict(load.refusals) == {("ask", 409): 1, ("ask", 0): 1}
    assert len(load.latencies["ask"]) == load.answers == 4
    assert load.script.told[0][1] == b"{}"


def drive(script, answer, most=2_000):
    """Answer a script's requests at once until it is finished; return the requests by kind."""
    asked = []
    for _ in range(most):
        request = script.next()
        if request is not None:
            asked.append(request.kind)
            status, body = answer(request)
            script.answered(request, status, json.dumps(body).encode())
        if len(script.acknowledged) >= 2:
            script.is_posting = False
        if not script.is_posting and script.is_finished:
            return asked
    raise AssertionError(asked[-20:])


def test_a_life_is_six_requests_and_the_questions_for_work(monkeypatch):
    monkeypatch.setattr("tests.benchmarks.market.scripts.ASK_SECONDS", 0.0)
    numbers, script = iter(range(1, 100)), LifeScript()

    def answer(request):
        match request.kind:
            case "post":
                return 201, {"task_id": next(numbers)}
            case "work":
                won = [task for task in script.acknowledged if bidder(task, 0) == request.about]
                return 200, {"awards": [{"task_id": task} for task in won]}
            case "lease":
                return 200, {"fencing_token": 5}
        return 200, {}

    asked = drive(script, answer)
    for kind, count in (("post", 1), ("bid", 3), ("lease", 1), ("result", 1)):
        assert asked.count(kind) == count * len(script.acknowledged)
    assert len({bidder(7, nth) for nth in range(3)}) == 3


def test_what_was_not_answered_is_sent_again_under_its_key():
    script = LifeScript()
    first = script.next()
    script.answered(first, 0, b"")
    assert script.next() is first
    script.answered(first, 503, b"{}")
    assert script.next() is first


def test_a_batch_reads_each_items_answer():
    script = BatchScript()
    request = script.next()
    assert len(json.loads(request.data.partition(b"\r\n\r\n")[2])["items"]) == 20
    told = {"results": [{"status": 201, "task_id": number} for number in range(1, 20)] + [{"status": 422}]}
    script.answered(request, 200, json.dumps(told).encode())
    assert script.acknowledged == set(range(1, 20))
    assert len(script.bids) == 3


def test_a_peer_that_hands_out_a_task_twice_is_asked_again():
    script = SimpleScript()
    script.posted = 1
    script._claim_answered(7, 0.0)
    assert list(script.results) == [7]
    script._claim_answered(7, 0.0)
    assert list(script.results) == [7, 7]
    assert len(script.ripe) == 1


def test_no_worker_bids_twice_on_a_task():
    pairs = list(islice(pairs_of([1, 2, 3]), 60))
    assert len(set(pairs)) == 60


def test_a_bar_needs_its_cases_and_the_right_side():
    bar = bars.ratio("x", "≥", 25, "ours", "theirs")
    assert bars.row_of(bar, results_of(ours=[250], theirs=[10])).is_reached
    assert not bars.row_of(bar, results_of(ours=[249], theirs=[10])).is_reached
    missing = results_of(ours=[250])
    missing.failures["theirs"] = "it broke"
    row = bars.row_of(bar, missing)
    assert (row.figure, row.beside, row.is_reached) == (None, "it broke", False)
    most = bars.growth("list", names.SQLITE)
    few, many = most.cases
    assert bars.row_of(most, results_of(**{few: [10], many: [20]})).figure == 1.0


def test_every_bar_speaks_of_cases_that_a_section_measures():
    known = {
        *(case.format(engine=engine) for case in (names.SINGLE, names.THREADED, names.GROUPED, names.SETS)
          for engine in names.ENGINES),
        *(name_of(act, engine, size) for act in ACTS for engine in names.ENGINES for size in sections.SIZES),
        *(getattr(names, name) for name in dir(names) if name.isupper() and name != "ENGINES"),
    }  # fmt: skip
    for bar in bars.BARS:
        assert set(bar.cases) <= known, bar.what


def test_the_document_keeps_what_stands_around_the_block(tmp_path):
    bar = bars.rate("a bar out of reach", 7_700, "ours")
    results = results_of(ours=[10])
    results.failures["peer: dbos"] = "not today"
    made = report.Report((bars.row_of(bar, results),), results, {}, ("T1: x",), 1, 1.0, "2000-01-01", 2.0)
    text = report.as_markdown(made)
    assert "| a bar out of reach | ≥ 7,700/s | 10/s | **FAIL** | 100 µs CPU each |" in text
    assert "peer: dbos: not today" in text
    assert "Broken: T1: x" in text
    assert json.loads(report.as_json(made))["rows"][0]["is_reached"] is False
    document = tmp_path / "evidence.md"
    document.write_text("# Evidence\n\nBefore.\n", encoding="utf-8")
    report.write_block(document, text)
    document.write_text(document.read_text(encoding="utf-8") + "\nAfter.\n", encoding="utf-8")
    report.write_block(document, report.as_markdown(made))
    again = document.read_text(encoding="utf-8")
    assert again.startswith("# Evidence\n\nBefore.\n")
    assert again.endswith("\nAfter.\n")
    assert again.count(report.BEGIN) == again.count(report.END) == 1


def test_the_command_measures_writes_and_says_what_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sections.SECTIONS, "process", lambda bench: bench.measure(sqlite_limits(tmp_path)))
    answer = tmp_path / "market.json"
    options = ["--runs", "1", "--scale", "0.02", "--sqlite", "--json", str(answer)]
    assert main([*options, "--sections", "process"]) == 0
    found = json.loads(answer.read_text(encoding="utf-8"))
    assert found["cases"][names.LIMIT_COMMIT][0]["operations"] > 0
    assert not any(row["is_reached"] for row in found["rows"])
    assert "bars reached" in capsys.readouterr().out


def test_a_broken_invariant_fails_the_command(monkeypatch, capsys):
    def breaking(bench):
        def check():
            raise BrokenInvariantError("M1 does not hold")

        bench.check("here", check)

    monkeypatch.setitem(sections.SECTIONS, "process", breaking)
    assert main(["--sqlite", "--sections", "process"]) == 1
    assert "M1 does not hold" in capsys.readouterr().out


def test_nonsense_is_refused(capsys, tmp_path):
    assert main(["--document", str(tmp_path / "missing.md")]) == 2
    assert "no such file" in capsys.readouterr().err
    for arguments in (["--runs", "0"], ["--scale", "0"], ["--sections", "nothing"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


@pytest.mark.slow
def test_served_lives_are_settled_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'ours.db'}"
    with http_ours.our_server(url, tmp_path, "ours") as server:
        sample = http_ours.our_lifecycles(server, url).measure(0.5)
        batched = http_ours.our_lifecycles(server, url, BatchScript).measure(0.5)
    assert sample.counts["paid_twice"] == batched.counts["paid_twice"] == 0
    assert batched.counts["settled"] > sample.counts["settled"] > 0, (tmp_path / "ours.log").read_text()
    http_ours.Recount(url).check()


@pytest.mark.slow
@pytest.mark.parametrize("app", ["naive_app", "writer_app"])
def test_the_peers_settle_tasks(app, tmp_path):
    peer = peer_lifecycles(app, tmp_path)
    with peer.server:
        sample = peer.measure(0.5)
    assert sample.counts["settled"] > 0, (tmp_path / f"{app}.log").read_text()
    assert app == "naive_app" or sample.counts["paid_twice"] == 0


def test_watching_counts_this_process():
    with watching() as watch:
        sum(range(200_000))
    assert 0 < watch.cpu_seconds <= watch.seconds + 0.05
