"""The worked example of docs/statistics.md, recomputed from the formulas on that page and by the code."""

import math
import re
from pathlib import Path

import pytest

from services.domain.sequential import BetPlan, Record, confidence_sequence, replay

PAGE = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text()
ROW = re.compile(r"^\| (\d) \| ([01]) \| ([01]) \| (.+) \|$", re.MULTILINE)
EFFECT, RATE, PI = 0.25, 0.67, 0.5
GRID = (0.1, 0.2, 0.4, 0.7)
AFTER = re.search(
    r"the stated bet holds ([\d.]+), the grid ([\d.]+), ([\d.]+), ([\d.]+) and ([\d.]+); harm E is\s+"
    r"([\d.]+), futility E ([\d.]+), sample ratio E ([\d.]+)\. The estimate of the gap is ([\d.]+);",
    PAGE,
)


def table():
    return [
        (int(arm), int(outcome), [float(cell) for cell in cells.split(" | ")])
        for _, arm, outcome, cells in ROW.findall(PAGE)
    ]


def records():
    return [Record(t, f"task:{t}", arm, PI, float(y)) for t, (arm, y, _) in enumerate(table())]


def test_every_line_follows_from_the_formulas():
    total, stated, grid = 0.0, 1.0, [1.0] * len(GRID)
    rows = table()
    assert len(rows) == 8
    for t, (arm, outcome, printed) in enumerate(rows):
        mean = (50 * RATE + total) / (50 + t)
        x = (arm - PI) * (outcome - mean)
        spread = mean * (1 - mean)
        widest = min(mean / PI, (1 - mean) / (1 - PI))
        stake = min(EFFECT / spread, 0.98 * widest / spread)
        stated *= 1 + stake * x
        grid = [wealth * (1 + c * widest / spread * x) for c, wealth in zip(GRID, grid, strict=True)]
        evidence = stated / 2 + sum(grid) / 8
        assert printed == pytest.approx([mean, x, stake, 1 + stake * x, evidence], abs=5.1e-7), t
        total += outcome


def test_the_code_gives_the_same_evidence():
    plan = BetPlan(effect=EFFECT, cap_tasks=400, base_rate=RATE)
    result = replay(plan, records())
    for point, (_, _, printed) in zip(result.path, table(), strict=True):
        assert math.exp(point.log_e) == pytest.approx(printed[-1], abs=5.1e-7)
    state = result.state
    found = [*state.e_logs, state.harm_log, state.futility_log, state.srm_log]
    assert AFTER is not None
    assert [math.exp(log) for log in found] == pytest.approx([float(n) for n in AFTER.groups()[:8]], abs=1e-6)
    estimate = confidence_sequence(plan, records(), 0.05)
    assert estimate.estimate == pytest.approx(float(AFTER[9]), abs=1e-6)
    assert (estimate.lower, estimate.upper) == (-1.0, 1.0)
