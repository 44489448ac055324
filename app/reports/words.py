"""How figures of a report read on paper: values with their units, names as words, cells as text.

Stands under the renderers, over the same formats as the operator pages. It never computes a figure; a value
that the ledger does not have reads "not recorded".
"""

from collections.abc import Callable
from typing import Final

from app.web.formats import (
    MICROSECONDS_PER_SECOND,
    credits_text,
    duration,
    percent,
    points,
    significant,
    visible,
    words,
)
from services.domain.clock import to_datetime
from services.domain.report_model import Cell, Figure, Joined, Said, Unit

MISSING: Final = "not recorded"
NO_ENTRY: Final = "–"
ERASED: Final = "[erased]"
NONE_GIVEN: Final = "none given"
VALUE_LETTERS: Final = 300
HASH_SHOWN: Final = 16
SOURCES_SHOWN: Final = 3
CODES: Final = frozenset(
    {
        "metric", "anomaly_metric", "anomaly_rule", "outcome", "risk", "review_decision", "choice",
        "trial_verdict", "probation_verdict", "extended_for", "why", "anomaly_dimension", "act_kind",
    }
)  # fmt: skip
"""Figures whose text is one of the platform's own words, shown without underscores."""
IN_WORDS: Final = {
    "anomaly_rule": {
        "line": "fell under the fixed line of success",
        "baseline": "left what its own last week makes plausible",
        "known_answers": "failed its checks against known answers",
    },
    "electorate_mode": {"agent": "agent", "owner": "owner of agents"},
    "extended_for": {"flip": "turned the result", "quorum": "made the vote valid"},
}
"""Codes of figures that read as words."""
CENT_MICROCREDITS: Final = 10_000


def figure_text(figure: Figure) -> str:
    """Return a figure's value with its unit, as one reads it."""
    value = figure.value
    if value is None:
        return MISSING
    if isinstance(value, str):
        return _text(figure, value)
    return _NUMBERS.get(figure.unit, _number)(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else significant(float(value))


_NUMBERS: Final[dict[Unit, Callable[[float], str]]] = {
    Unit.INSTANT: lambda value: f"{to_datetime(int(value)):%Y-%m-%d %H:%M:%S} UTC",
    Unit.MICROSECONDS: lambda value: duration(value / MICROSECONDS_PER_SECOND),
    Unit.SHARE: percent,
    Unit.POINTS: points,
    Unit.PERCENT: lambda value: f"{value} %",
    Unit.EVIDENCE: significant,
    Unit.SCORE: lambda value: f"{value:.3f}",
    Unit.MICROCREDITS: lambda value: f"{_credits(int(value))} credits",
}


def _credits(microcredits: int) -> str:
    """Return credits with two decimals; exactly where that would hide all of them."""
    cents = round(microcredits / CENT_MICROCREDITS)
    return credits_text(cents * CENT_MICROCREDITS if cents else microcredits)


def _text(figure: Figure, value: str) -> str:
    if figure.unit is Unit.HASH:
        return f"{value[:HASH_SHOWN]}…"
    if figure.name == "act":
        is_word = value.isascii() and len(value) < HASH_SHOWN
        said = (
            f"{visible(figure.note)}: {words(value)}"
            if figure.note and is_word
            else visible(figure.note or value)
        )
    else:
        said = IN_WORDS.get(figure.name, {}).get(value) or (
            words(value) if figure.name in CODES else visible(value)
        )
    return said if len(said) <= VALUE_LETTERS else f"{said[: VALUE_LETTERS - 1]}…"


def cell_text(cell: Cell, *, is_in_table: bool = False) -> str:
    """Return a cell as plain text; in a table a figure without any entry is a dash."""
    if isinstance(cell, str):
        return visible(cell)
    if isinstance(cell, Said):
        return said_text(cell)
    figures = cell.figures if isinstance(cell, Joined) else (cell,)
    if is_in_table and not any(figure.entries for figure in figures):
        return NO_ENTRY
    if isinstance(cell, Joined):
        if all(figure.value is None for figure in figures):
            return MISSING
        return cell.form.format(*(figure_text(figure) for figure in figures))
    return figure_text(cell)


def said_text(said: Said) -> str:
    """Return somebody's words: as they are, cut, erased, or none."""
    if said.text is None:
        return ERASED
    text = visible(said.text.strip())
    return f"{text} […]" if said.is_cut else text or NONE_GIVEN


def sources_of(cell: Cell) -> tuple[int, ...]:
    """Return the entries that a cell rests on, in order."""
    if isinstance(cell, str):
        return ()
    if isinstance(cell, Joined):
        return tuple(sorted({index for figure in cell.figures for index in figure.entries}))
    return cell.entries


def sources_text(indexes: tuple[int, ...]) -> str:
    """Return entries in words: "entry 15", "entries 15, 16, 17 and 6 more"."""
    if not indexes:
        return "no entry"
    shown = ", ".join(map(str, indexes[:SOURCES_SHOWN]))
    more = len(indexes) - SOURCES_SHOWN
    noun = "entry" if len(indexes) == 1 else "entries"
    return f"{noun} {shown}" + (f" and {more:,} more" if more > 0 else "")
