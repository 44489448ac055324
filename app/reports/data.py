"""A report as data: canonical JSON, and one flat CSV table of every figure.

Stands beside the other renderers. The same report gives the same bytes. Numbers with a fraction are decimals
in strings, as everywhere in the ledger; a missing value is null (JSON) or "not recorded" (CSV). It never
shows a text that a spreadsheet would run.
"""

import csv
import io
import unicodedata
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Final

from app.reports.words import MISSING
from app.web.formats import visible
from services.domain.canonical import canonical_bytes
from services.domain.clock import to_rfc3339
from services.domain.report_model import Report, Unit

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
COLUMNS: Final = ("section", "name", "label", "value", "unit", "formula", "entries", "note")


def as_json(report: Report) -> bytes:
    """Return the whole report as canonical JSON (RFC 8785), a newline at its end."""
    return canonical_bytes({"report": 1, **plain(report)}) + b"\n"


def plain(value: Any) -> Any:
    """Return a value of the model as JSON has it: each block says what it is, floats are decimal strings."""
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return str(value).encode("utf-8", "replace").decode()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if is_dataclass(value):
        is_tagged = type(value).__name__ not in ("Report", "Section", "Listed")
        told = {"is": type(value).__name__.removesuffix("Drawn").lower()} if is_tagged else {}
        shown = [one.name for one in fields(value)]
        return {**told, **{name: plain(getattr(value, name)) for name in shown}}
    raise TypeError(f"a report holds no {type(value).__name__}")


def as_csv(report: Report) -> bytes:
    """Return one row for each figure, in the order of reading, as UTF-8 with CRLF (RFC 4180)."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for section, figure in report.figures():
        entries = " ".join(map(str, figure.entries))
        cells = (
            section, figure.name, figure.label, _value(figure.value, figure.unit), figure.unit,
            figure.formula, entries, figure.note,
        )  # fmt: skip
        writer.writerow([cell if isinstance(cell, _Number) else neutral(str(cell)) for cell in cells])
    ends = (("origin", report.origin), ("size", str(report.size)), ("root", report.root))
    for name, value in ends:
        writer.writerow(
            ["checkpoint", name, name, neutral(value), "text", "", "", neutral(report.verification)]
        )
    return out.getvalue().encode("utf-8", "replace")


class _Number(str):
    """A number as text, which a spreadsheet may read as one."""

    __slots__ = ()


def _value(value: float | str | None, unit: StrEnum) -> str:
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    return to_rfc3339(int(value)) if unit is Unit.INSTANT else _Number(repr(value))


def neutral(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: such a beginning gets an apostrophe before it."""
    shown = visible(text)
    first = unicodedata.normalize("NFKC", shown.lstrip()[:1])  # a full-width = counts as one
    return f"'{shown}" if first.startswith(FORMULA_STARTS) or text[:1] in FORMULA_STARTS else shown
