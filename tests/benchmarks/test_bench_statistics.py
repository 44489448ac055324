"""The bench of the bars works at tiny size, without the peers installed: numbers, verdicts, output."""

import json
import math

import numpy as np
import pytest

from services.domain.sequential import Verdict, replay
from tests.benchmarks.statistics import agreement, bars, data, figures, ours, peers, report, stream
from tests.benchmarks.statistics.__main__ import SEED, chunks_of, main
from tests.benchmarks.statistics.cells import CELLS, run_chunk

CHEAP = ["slow failures", "agents by task", "agents by agent", "pareto 0.8", "shares broken", "harm"]


@pytest.fixture(scope="module")
def tiny():
    """Every cell but the stream, two runs each, as the command would get them."""
    return {name: run_chunk(name, SEED, 0, 2) for name in CELLS if name != "stream"}


def one_run(arms, outcomes):
    arms, outcomes = np.array([arms], dtype=float), np.array([outcomes], dtype=float)
    return data.Batch(np.full(arms.shape, 0.5), arms, outcomes)


def test_every_bar_finds_its_figures(tiny):
    rows = bars.rows_of(tiny)
    assert [row.bar for row in rows] == [bar for bar in bars.BARS if bar.cell != "stream"]
    for row in rows:
        assert row.ours.low <= row.ours.value <= row.ours.high
        assert row.ours.runs == 2
        named = {bars.label_of(rule) for rule in row.bar.rivals if rule != "ville"}
        assert named <= {label for label, _ in row.rivals}


def test_the_columns_are_the_fold_the_platform_runs(tiny):
    assert bars.worst(tiny["checks"]["fold"]) < 1e-9


def test_ours_stops_where_the_record_by_record_fold_says_win():
    batch = data.two_rates(np.random.default_rng(3), 4, 300, 0.67, 0.94)
    found = ours.stops(ours.stated(0.67, 0.94), batch)
    for run in range(batch.runs):
        by_fold = replay(ours.stated(0.67, 0.94), ours.records_of(batch, run))
        assert by_fold.decision.verdict is Verdict.WIN
        assert found[run] == by_fold.state.next_ordinal


def test_a_chunk_depends_on_seed_cell_and_number_alone():
    again = run_chunk("agents by task", 5, 1, 3)
    assert all(
        np.array_equal(again[rule], found) for rule, found in run_chunk("agents by task", 5, 1, 3).items()
    )
    work = chunks_of(120, ["harm", "stream"])
    assert [item[0] for item in work] == ["stream"] * 3 + ["harm"] * 3
    assert [item[2] for item in work if item[0] == "harm"] == [50, 50, 20]
    assert sum(item[2] for item in chunks_of(2_000, ["stream"])) == 50


def test_peers_say_what_their_formulas_say():
    arms = [0.0, 1.0] * 30
    outcomes = ([0.0, 1.0] * 10 + [1.0, 1.0] * 19) + [1.0, 0.0]
    totals = peers.totals_of(one_run(arms, outcomes))
    assert (totals.n0[0, -1], totals.s0[0, -1], totals.n1[0, -1], totals.s1[0, -1]) == (30, 20, 30, 29)
    pooled = 49 / 60
    expected = (29 / 30 - 20 / 30) / math.sqrt(pooled * (1 - pooled) * 2 / 30)
    assert peers.pooled_z(totals)[0, -1] == pytest.approx(expected)
    estimate, width = peers.growthbook_interval(totals)
    assert estimate[0, -1] == pytest.approx(0.45)
    assert width[0, -1] == pytest.approx(1.6187158512605184, abs=1e-9)  # gbstats 0.8.0 on these totals
    assert math.isinf(width[0, 10])  # treatment has not failed yet: "no result"


def test_a_two_sided_peer_that_stopped_for_harm_does_not_promote():
    worse_first = one_run([0.0, 1.0] * 400, [1.0, 0.0] * 10 + [0.0, 1.0] * 390)
    totals = peers.totals_of(worse_first)
    assert peers.naive(totals)[0] == peers.NEVER
    assert peers.bayes(totals)[0] > 20


def test_figures_carry_their_intervals():
    half = figures.share_of(50, 100)
    assert (half.value, round(half.low, 1), round(half.high, 1)) == (50.0, 39.8, 60.2)
    assert figures.share_of(0, 10).low == 0.0
    assert figures.share_of(10, 10).high == 100.0
    arrays = {"ours": np.array([50, 100, 0, 150]), "theirs": np.array([100, 200, 0, 300])}
    assert figures.mean_tasks(arrays, "ours", 200).value == 125.0
    assert figures.median_tasks(arrays, "ours", 200).value == 125.0
    assert figures.within_percent(100)(arrays, "ours", 200).value == 50.0
    assert figures.fewer_percent("theirs")(arrays, "ours", 400).value == pytest.approx(30.0)
    many = {"ours": np.arange(1, 1_001)}
    assert figures.median_tasks(many, "ours", 2_000).low == pytest.approx(470, abs=2)


def test_a_bar_is_judged_by_its_figure_alone():
    bar = bars.at_most("x", 5.0, "%", "harm", figures.promoted_percent)
    assert bar.is_reached(5.0)
    assert not bar.is_reached(5.01)
    assert not bar.is_reached(math.nan)
    least = bars.at_least("x", 60.0, "%", "harm", figures.promoted_percent)
    assert least.is_reached(60.0)
    assert not least.is_reached(59.9)
    assert not least.is_reached(math.nan)


def test_a_small_stream_is_judged_by_every_rule():
    found = stream.one_stream(np.random.default_rng(8), experiments=60)
    for rule in ("naive", "bayes", "uncorrected", "lord alone", "provisional", "confirmed"):
        assert 0.0 <= found[f"{rule}: false share"][0] <= 1.0
        assert 0.0 <= found[f"{rule}: power"][0] <= 1.0
    assert found["bayes: false share"][0] > found["confirmed: false share"][0]
    assert found["provisional: power"][0] >= found["confirmed: power"][0] > 0.0


def test_a_confirmation_is_known_only_once_it_is_there():
    clock = stream.Clock(now=100, starts=[0, 40, 90, 100], confirmations=[60, 101])
    assert clock.known() == [2]
    clock.now = 101
    clock.starts.append(101)
    assert clock.known() == [2, 4], "of the trials before the one that begins"


def test_one_record_per_unit():
    batch = data.unlike_agents(np.random.default_rng(2), 3, 200, 12, by_agent=True)
    units = data.per_unit(batch)
    assert units.arms.shape == (3, 12)
    mine = batch.units[1] == 4
    assert units.outcomes[1, 4] == pytest.approx(batch.outcomes[1, mine].mean())
    assert set(batch.arms[1, mine]) == {units.arms[1, 4]}


def test_the_command_writes_table_json_and_document(tmp_path, capsys):
    document, answer = tmp_path / "evidence.md", tmp_path / "bars.json"
    document.write_text("# Evidence\n\nBefore.\n", encoding="utf-8")
    options = [
        "--runs",
        "2",
        "--seed",
        "4",
        "--jobs",
        "1",
        "--json",
        str(answer),
        "--document",
        str(document),
    ]
    assert main([*options, "--cells", *CHEAP]) == 0
    assert "bars reached" in capsys.readouterr().out
    found = json.loads(answer.read_text(encoding="utf-8"))
    assert found["seed"] == 4
    assert len(found["rows"]) == 1 + len([bar for bar in bars.BARS if bar.cell in CHEAP])
    for row in found["rows"]:
        is_reached = (
            row["ours"]["value"] <= row["line"]
            if row["sense"] == "at_most"
            else row["ours"]["value"] >= row["line"]
        )
        assert row["is_reached"] is is_reached
    first = document.read_text(encoding="utf-8")
    assert first.startswith("# Evidence\n\nBefore.\n")
    assert first.count(report.BEGIN) == first.count(report.END) == 1
    document.write_text(first + "\nAfter.\n", encoding="utf-8")
    assert main([*options, "--cells", "harm"]) == 0
    second = document.read_text(encoding="utf-8")
    assert second.count(report.BEGIN) == 1
    assert second.endswith("\nAfter.\n")
    assert "Pareto" not in second


def test_the_figures_do_not_depend_on_the_number_of_processes(tmp_path, capsys):
    found = []
    for jobs in ("1", "2"):
        answer = tmp_path / f"{jobs}.json"
        assert main(["--runs", "60", "--jobs", jobs, "--json", str(answer), "--cells", "harm"]) == 0
        found.append(json.loads(answer.read_text(encoding="utf-8"))["rows"][0])
    assert found[0] == found[1]
    assert found[0]["ours"]["runs"] == 60


def test_a_failed_bar_stays_in_the_table_as_failed():
    bar = bars.at_most("a bar out of reach", 1.0, "tasks", "harm", figures.mean_tasks)
    row = bars.Row(bar, figures.Figure(2.0, 1.5, 2.5, 10), ())
    made = report.Report((row,), 1, 10, 1, "2000-01-01", 1.0, 1, agreement.versions(), {})
    assert "| a bar out of reach | ≤ 1 | 2.0 [1.5, 2.5] | 10 | **FAIL** | – |" in report.as_markdown(made)
    assert made.headline() == "0 of 1 bars reached; failed: a bar out of reach"
    assert json.loads(report.as_json(made))["failed"] == ["a bar out of reach"]


def test_nonsense_is_refused(capsys, tmp_path):
    assert main(["--document", str(tmp_path / "missing.md")]) == 2
    assert "no such file" in capsys.readouterr().err
    for arguments in (["--runs", "0"], ["--cells", "nothing"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
