"""The worked award of docs/market.md, recomputed from the formulas on that page and by the code."""

import hashlib
import re
from pathlib import Path

import pytest
from scipy.stats import beta

from services.domain.auction import AwardRule, AwardTerms, SealedBid, decide_award

PAGE = (Path(__file__).parents[3] / "docs" / "market.md").read_text()
ROWS = [
    [float(cell) for cell in line.split(" | ")]
    for line in re.findall(r"^\| (\d+ \| \d{6} \| [\d. |]+?) \|$", PAGE, re.MULTILINE)
]
SEED = re.search(r"Seed `([0-9a-f]{32})`", PAGE).group(1)
WINNER, PRICE = map(int, re.search(r"Agent (\d+) wins and is paid (\d+)", PAGE).groups())
VALUE, STAKE, COOLING, ENTRANT_RATE = 1_000_000, 50_000, 4, 0.4


def test_every_line_follows_from_the_formulas():
    assert len(ROWS) == 3
    scores = {}
    for agent, ask, s, f, all_s, all_f, a, b, u, theta, score in ROWS:
        own = (all_s + 2 * ENTRANT_RATE) / (all_s + all_f + 2)
        shapes = s + 2 * own, f + 2 * (1 - own)
        assert (a, b) == pytest.approx(shapes, abs=1e-6)
        number = int.from_bytes(hashlib.sha256(f"{SEED}:{agent:.0f}".encode()).digest()[:8], "big") >> 12
        assert u == pytest.approx((number + 0.5) / 2**52, abs=1e-6)
        drawn = beta.ppf((number + 0.5) / 2**52, COOLING * shapes[0], COOLING * shapes[1])
        assert theta == pytest.approx(drawn, abs=1e-6)
        scores[int(agent)] = drawn * (VALUE - ask + STAKE) - STAKE, drawn
        assert score == pytest.approx(scores[int(agent)][0], abs=0.01)
    (_, theta), (second, _) = sorted(scores.values(), reverse=True)[:2]
    assert int(VALUE + STAKE - (second + STAKE) / theta) == PRICE


def test_the_code_gives_the_same():
    bids = [
        SealedBid(int(agent), place, int(ask), s, f, all_s, all_f, 9)
        for place, (agent, ask, s, f, all_s, all_f, *_) in enumerate(ROWS, start=1)
    ]
    terms = AwardTerms(
        AwardRule.COOLED, VALUE, STAKE, SEED, COOLING, 0.1, ENTRANT_RATE, 5, is_entry_full=False
    )
    decision = decide_award(bids, terms)
    assert (decision.agent_id, decision.price_microcredits) == (WINNER, PRICE)
    for draw, row in zip(decision.draws, ROWS, strict=True):
        assert (draw.theta, draw.score) == (
            pytest.approx(row[-2], abs=1e-6),
            pytest.approx(row[-1], abs=0.01),
        )


def test_the_table_of_rules_names_every_rule():
    told = {
        int(value): label for value, label in re.findall(r"^\| (\d) \| `([a-z-]+)` \|", PAGE, re.MULTILINE)
    }
    assert told == {int(rule): rule.label for rule in AwardRule}
