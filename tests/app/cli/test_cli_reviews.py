"""`nacre review show | approve | refuse`, `nacre voter …`: all is shown, then one decision on its hash."""

import io

import pytest

from services.domain.clock import HOUR_US, WallClock
from services.domain.states import BallotChoice
from services.store import tables
from tests.app.cli.conftest import ReadOverHttp
from tests.plugins.platforms import platform_over
from tests.services.laboratory import MINIMUM_PERIOD_SECONDS, TYPE, Laboratory

LONG = "it costs more than it saves " * 20 + "END"
SAID = ("--reviewer", "Ida Lovelace", "--reason", "seen")


@pytest.fixture
def gated(migrated_sqlite_url, tmp_path):
    """A laboratory of today with a GATED proposal that passed its vote; `gate` is its proposal's id."""
    platform = platform_over(migrated_sqlite_url, tmp_path)
    clock = platform.store.clock
    clock.advance(WallClock().now_us() - clock.now_us() - 2 * HOUR_US)
    lab = Laboratory(platform).set_up()
    lab.gate = lab.file(parameter=f"{TYPE}.maximum_attempts", to="3")
    for place, voter in enumerate(lab.voters[:5]):
        choice = BallotChoice.AGAINST if place == 4 else BallotChoice.FOR
        lab.cast(lab.gate, voter, choice, LONG if place == 4 else "", forecast=70)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    lab.api = ReadOverHttp(platform)
    yield lab
    platform.close()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_show_prints_everything_and_the_hash_and_json_is_the_apis(gated, nacre):
    shown = gated.api.get(f"/reviews/{gated.gate}").json()
    words = nacre("review", "show", gated.gate, *gated.api.database).out
    assert f"shown_sha256\t{shown['shown_sha256']}\n" in words
    for name, value in shown["shown"].items():
        assert f"shown.{name}" in words
        assert not isinstance(value, str) or value in words
    assert LONG in words
    for words, path in (
        (f"review show {gated.gate}", f"/reviews/{gated.gate}"),
        ("review gates --state pending", "/reviews"),
        ("voter list", "/voters"),
        (f"voter show {gated.voters[0]}", f"/voters/{gated.voters[0]}"),
    ):
        told = nacre(*words.split(), "--json", *gated.api.database).json
        expected = gated.api.get(path).json()
        assert without_clock(told) == without_clock(expected), words
    assert "summary\tnone scored yet\n" in nacre("voter", "show", gated.voters[0], *gated.api.database).out
    lines = nacre("proposal", "show", gated.gate, *gated.api.database).out
    assert f"conflicts\tagent {gated.proposer}: proposer\n" in lines
    assert "rules\t51 % of at least 3 for or against\n" in lines


def without_clock(answer):
    """Leave out how much time is left: the command reads another clock."""
    if isinstance(answer, list):
        return [without_clock(one) for one in answer]
    if isinstance(answer, dict):
        return {name: without_clock(one) for name, one in answer.items() if name != "seconds_left"}
    return answer


def test_off_a_terminal_the_hash_must_be_given(gated, nacre):
    refused = nacre("review", "approve", gated.gate, *SAID, *gated.api.database)
    assert (refused.code, "(shown_missing)" in refused.err) == (2, True)
    refused = nacre("review", "approve", gated.gate, *SAID, "--shown", "5e", *gated.api.database)
    assert refused.code == 2
    assert gated.row(tables.review_gate)["state"] == "pending"


@pytest.mark.parametrize("is_typed", [True, False])
def test_on_a_terminal_the_hash_of_what_was_shown_is_typed(gated, nacre, monkeypatch, is_typed):
    shown = gated.row(tables.review_gate)["shown_sha256"]
    monkeypatch.setattr("sys.stdin", Terminal(f"{shown[:8] if is_typed else '00000000'}\n"))
    monkeypatch.setattr("sys.stdout", Terminal())
    gone = nacre("review", "refuse", gated.gate, *SAID, *gated.api.database)
    assert "Type the first 8 digits" in gone.err
    state = gated.row(tables.review_gate)["state"]
    assert (gone.code, "(review_unconfirmed)" in gone.err) == ((0, False) if is_typed else (1, True))
    assert state == ("refused" if is_typed else "pending")
