"""docs/voting.md, recomputed: its table of need, its worked votes, its paradox, and the defaults it names."""

import re
from itertools import product
from pathlib import Path

from services.domain.parameters import PLATFORM_PARAMETERS, Risk
from services.domain.tally import TallyOutcome, need, tally

PAGE = (Path(__file__).parents[3] / "docs" / "voting.md").read_text()
NEED = re.compile(r"^\| (\d+) \| (\d+) \|$", re.MULTILINE)
VOTE = re.compile(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (open|closed) \| (\w+) \|$", re.MULTILINE)
SETTING = re.compile(r"^\| `(consensus\.\w+)` \| (\w+) \|", re.MULTILINE)
LARGEST = 8


def outcome(electorate, yes, no, abstain, *, is_closed):
    return tally(electorate=electorate, yes=yes, no=no, abstain=abstain, is_closed=is_closed)


def test_the_table_of_need_is_the_rules():
    rows = [(int(k), int(votes)) for k, votes in NEED.findall(PAGE)]
    assert len(rows) == 17
    assert [(k, need(k)) for k, _ in rows] == rows


def test_every_worked_vote_comes_out_as_written():
    rows = VOTE.findall(PAGE)
    assert len(rows) == 18
    for *counts, vote, written in rows:
        assert outcome(*map(int, counts), is_closed=vote == "closed") == written, counts


def test_the_paradox_is_as_large_as_the_page_says():
    found = []
    for electorate in range(1, LARGEST + 1):
        for yes, no, abstain in product(range(electorate + 1), repeat=3):
            if yes + no + abstain >= electorate:
                continue
            state = (electorate, yes, no, abstain)
            now = outcome(*state, is_closed=True)
            against = outcome(electorate, yes, no + 1, abstain, is_closed=True)
            if now is not TallyOutcome.PASSED and against is TallyOutcome.PASSED:
                found.append(state)
            better = outcome(electorate, yes + 1, no, abstain, is_closed=True)
            assert now is not TallyOutcome.PASSED or better is TallyOutcome.PASSED, state
    assert {(yes, no) for _, yes, no, _ in found} == {(2, 0)}
    assert f"this happens in {len(found)} states" in PAGE


def test_the_defaults_on_the_page_are_the_registrys():
    named = dict(SETTING.findall(PAGE))
    registered = {one.name: one for one in PLATFORM_PARAMETERS if one.name.startswith("consensus.")}
    assert named == {name: one.default for name, one in registered.items()}
    assert {one.risk for one in registered.values()} == {Risk.FIXED}
