"""Values read well and stay honest: money exact, no evidence never zero, hidden characters shown."""

import pytest
from markupsafe import Markup

from app.web.formats import (
    TONES,
    badge,
    between,
    credits_text,
    duration,
    moment,
    percent,
    points,
    pretty,
    said,
    short_hash,
    shown,
    significant,
    trial_length,
    visible,
    words,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("zwei\nlines\tok", "zwei\nlines\tok"),
        ("Größe 10 µs → ok", "Größe 10 µs → ok"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u2066b\u200bc", "a⟨U+2066⟩b⟨U+200B⟩c"),
        ("\x00\x1b[31m", "⟨U+0000⟩⟨U+001B⟩[31m"),
        ("\ud800", "⟨U+D800⟩"),
        ("שלום", "שלום"),
    ],
)
def test_hidden_characters_are_shown(text, expected):
    assert visible(text) == expected
    visible(text).encode()


def test_what_templates_print():
    assert shown(None) == "–"
    assert shown(Markup("<b>")) == Markup("<b>")
    assert not isinstance(shown("<b>"), Markup)
    assert shown(3) == "3"


@pytest.mark.parametrize(
    ("microcredits", "expected"),
    [
        (0, "0.00"),
        (1_250_000, "1.25"),
        (704_465, "0.704465"),
        (1, "0.000001"),
        (-62_500, "−0.0625"),
        (100_078_087_669, "100,078.087669"),
        (None, "–"),
    ],
)
def test_money_is_exact(microcredits, expected):
    assert credits_text(microcredits) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.4213, "0.421 s"),
        (12.5, "12.5 s"),
        (59.996, "60 s"),
        (60, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (86_400, "1 d 0 h"),
        (356_400, "4 d 3 h"),
        (-20.5, "−20.5 s"),
        (None, "–"),
    ],
)
def test_lengths_of_time(seconds, expected):
    assert duration(seconds) == expected


def test_the_time_between_two_instants():
    assert between("2026-11-03T00:00:00.000000Z", "2026-11-03T02:05:00.000000Z") == "2 h 5 min"
    assert between("2026-11-03T00:00:00.000000Z", None) == "–"


def test_no_evidence_is_never_zero():
    assert percent(None) == "–"
    assert percent(0.0) == "0.0 %"
    assert points(0.272) == "+27.2 pts"
    assert points(-0.05) == "−5.0 pts"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (24.27, "24.3"),
        (3.1e-9, "3.1e−09"),
        (123456.0, "123,456"),
        (1.208e26, "1.21e26"),
        (None, "–"),
        (0.0, "0"),
    ],
)
def test_significant_digits(value, expected):
    assert significant(value) == expected


def test_an_instant_keeps_its_full_text():
    text = moment("2026-11-03T03:04:05.123456Z")
    assert 'datetime="2026-11-03T03:04:05.123456Z"' in text
    assert "<b>03:04:05</b>" in text
    assert moment("2026-11-03T05:04:05+02:00").count("03:04:05") == 1
    assert moment(None) == "–"


def test_markup_escapes_what_it_is_given():
    hostile = '"><script>'
    for made in (badge(hostile), short_hash(hostile), said(hostile), moment("2026-11-03T03:04:05Z")):
        assert isinstance(made, Markup)
        assert "<script" not in made


def test_json_is_indented_text():
    assert pretty({"b": 1, "a": "x\u202e"}) == '{\n  "a": "x⟨U+202E⟩",\n  "b": 1\n}'
    assert words("timed_out") == "timed out"
    assert words(None) == "–"


def test_every_tone_has_its_style():
    assert set(TONES.values()) == {"good", "bad", "live", "warn"}


def test_a_trial_takes_so_long_at_a_traffic_that_one_can_picture():
    assert trial_length(22.0, 87_360.0, "tasks") == "about 22 s at 3,640 tasks an hour"
    assert trial_length(21_600.0, 284.0, "tasks") == "about 6 h 0 min at 284 tasks a day"
    assert trial_length(9e6, 0.512, "windows of agents") == "about 104 d 4 h at 0.512 windows of agents a day"
    assert trial_length(None, None, "tasks") == ""
