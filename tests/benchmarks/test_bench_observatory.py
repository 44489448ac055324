"""The bench of the detectors works at tiny size: rows, verdicts, peers, output."""

import json
import math

import numpy as np
import pytest

from services.domain.anomaly import Sample
from services.domain.clock import HOUR_US
from services.domain.counts import CountWindow
from tests.benchmarks.observatory import counts, drops, gauges, many_metrics, peers, report, shares, simulate
from tests.benchmarks.observatory.__main__ import SECTIONS, SEED, main


def table(*rows):
    return report.Report((report.Section("Anything", rows),), SEED, True, "2026-11-21", 1.0)


def test_every_section_has_a_title_and_a_run():
    for module in SECTIONS.values():
        assert module.TITLE
        assert callable(module.run)


@pytest.mark.parametrize("module", [shares, counts, drops, many_metrics, gauges])
def test_a_section_depends_on_its_seed_alone(module, monkeypatch):
    monkeypatch.setattr(shares, "STRETCH", 6)
    monkeypatch.setattr(counts, "STRETCH", 6)
    monkeypatch.setattr(many_metrics, "WEEK", 3)
    monkeypatch.setattr(drops, "SHARE_DROPS", (drops.HELD,))
    monkeypatch.setattr(drops, "COUNT_DROPS", drops.COUNT_DROPS[:1])
    monkeypatch.setattr(gauges, "SHAPES", ("noise",))
    monkeypatch.setattr(gauges, "DAYS", 8)
    one = module.run(SEED, True)
    assert one
    assert one == module.run(SEED, True)
    assert all(row.runs > 0 for row in one)


def test_the_command_writes_tables_json_and_a_document(tmp_path, capsys):
    document = tmp_path / "evidence.md"
    document.write_text("# Evidence\n", encoding="utf-8")
    to = tmp_path / "bars.json"
    options = ["--quick", "--sections", "costs", "--json", str(to), "--document", str(document)]
    assert main(options) == 0
    found = json.loads(to.read_text(encoding="utf-8"))
    assert {row["section"] for row in found["rows"]} == {SECTIONS["costs"].TITLE}
    assert all(row["ours"] > 0.0 for row in found["rows"])
    text = document.read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == text.count(report.END) == 1
    assert "quick" in capsys.readouterr().out
    assert main(options) == 0
    assert document.read_text(encoding="utf-8").count(report.BEGIN) == 1, "written again, not appended"
    assert main(["--document", str(tmp_path / "missing.md")]) == 2


def test_a_bar_is_judged_by_its_figure_alone():
    most = [report.Row("x", value, "", report.AT_MOST, 2.0).is_reached for value in (2.0, 2.01, math.nan)]
    least = [report.Row("x", value, "", report.AT_LEAST, 2.0).is_reached for value in (2.0, 1.99, math.nan)]
    assert most == least == [True, False, False]
    counted = report.Row("x", np.float64(1.0), "", report.AT_MOST, np.float64(2.0))
    assert json.loads(report.as_json(table(counted)))["rows"][0]["is_reached"] is True
    failing = report.Row("x", 3.0, "", report.AT_MOST, 2.0, 1, (("peer", math.inf),))
    told = report.Row("told", 1.0, "h")
    made = table(failing, told)
    assert made.headline() == "0 of 1 bars reached; failed: x"
    assert "**FAIL**" in report.as_markdown(made)
    assert "never" in report.as_markdown(made)
    row = json.loads(report.as_json(made))["rows"][0]
    assert (row["is_reached"], row["peers"][0]["value"]) == (False, None)


def test_peers_say_what_their_formulas_say():
    week = [Sample(93, 100)] * 167
    assert peers.is_under_line([*week, Sample(69, 100)])
    assert not peers.is_under_line([*week, Sample(70, 100)])
    assert not peers.is_under_line([*week, Sample(0, 0)])
    assert peers.is_far_from_median([*week, Sample(92, 100)]), "its deviation is 0: every step is far"
    assert peers.is_rare_binomial([*week, Sample(83, 100)])
    assert not peers.is_rare_binomial([*week, Sample(86, 100)])
    flat = [CountWindow(50, HOUR_US, at % 24) for at in range(168)]
    for newest, is_rare in ((27, True), (32, False), (68, False), (77, True)):
        assert peers.is_rare_poisson([*flat, CountWindow(newest, HOUR_US, 0)]) is is_rare


def test_a_drop_is_found_after_as_many_windows_as_it_took():
    calm, fallen = [Sample(9, 10)] * 20, [Sample(1, 10)] * 5

    def third(history):
        return sum(sample.numerator == 1 for sample in history) >= 3

    assert drops.delay(calm, fallen, third) == 3.0
    assert drops.delay(calm, fallen, lambda history: len(history) != 20) == math.inf, "its width is constant"
    assert drops.found_percent(np.array([1.0, math.inf])) == 50.0


def test_an_alarm_is_an_episode_and_not_an_hour():
    assert many_metrics.episodes([0] * (192 + 31), 192, lambda _: True) == 3
    assert many_metrics.episodes([0] * (192 + 31), 192, lambda _: False) == 0
    assert shares.per_thousand([[0] * 200], 192, lambda _: True) == 1_000.0


def test_what_is_planted_is_there_and_what_is_quiet_is_quiet():
    for shape in simulate.SHAPES:
        for kind in simulate.KINDS:
            case = simulate.planted(np.random.default_rng(4), shape, kind, 8 * 288, 300)
            clean = simulate.gauge(np.random.default_rng(4), shape, 8 * 288, 300)
            changed = np.flatnonzero(case.values != clean)
            assert case.starts[0] <= changed[0] <= case.starts[0] + 2
