"""A report as PDF, set by Typst from a template that reads data only: PDF/UA-1, always the same bytes.

Stands beside the other renderers and is loaded only when a PDF is wanted: `typst` is an optional part. Only
the fonts that come with Typst are used, so that every machine sets the same page; a letter that they lack is
written as its code point. It never lets a text become markup.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typst

from app.periods import days_text
from app.reports import style, words
from app.reports.drawing import drawn
from app.reports.markdown import HOW_TO_VERIFY, NOT_VERIFIED
from app.reports.page import cell_kind
from services.domain.clock import SECOND_US, to_rfc3339
from services.domain.report_model import Block, Cell, Chart, Report, Said, Table

HERE: Final = Path(__file__).parent
LISTED_HIGHEST: Final = 500
CHART_ROWS_HIGHEST: Final = 14
UNSET: Final = re.compile(
    "[^\n -~\u00a0-\u024f\u0391-\u03a1\u03a3-\u03ce\u0400-\u045f\u1e00-\u1eff"
    "\u2010-\u2027\u2030-\u2037\u2039-\u203f\u20ac\u2190-\u21ff\u2212\u2248\u2264\u2265\u27e8\u27e9]"
)
"""What the fonts have no letter for."""
COLUMNS: Final = 3
LONG_LETTERS: Final = 24
BLANK: Final[dict[str, Any]] = {
    "label": "", "text": "", "sources": "", "note": "", "missing": False, "span": 1,
}  # fmt: skip
_DESCRIPTION: Final = re.compile(r"<desc>(.*?)</desc>", re.DOTALL)
_SVG: Final = '<svg class="chart'
_WIDEST: Final = 24
_FONTS: Final = typst.Fonts(include_system_fonts=False)


def as_pdf(report: Report) -> bytes:
    """Return the report as PDF/UA-1, dated with the report's end."""
    data = json.dumps(_settled(_told(report)), ensure_ascii=False)
    return typst.compile(
        (HERE / "templates" / "report.typ").read_bytes(),
        format="pdf",
        font_paths=_FONTS,
        ignore_system_fonts=True,
        pdf_standards="ua-1",
        timestamp=max(0, report.to_us // SECOND_US),
        sys_inputs={"report": data},
    )


def _told(report: Report) -> dict[str, Any]:
    more = len(report.appendix) - LISTED_HIGHEST
    return {
        "kind": report.kind,
        "title": report.title,
        "span": days_text(report.from_us, report.to_us),
        "lead": report.lead,
        "key": "Small numbers beside a figure are the ledger entries it was computed from. "
        "“–” means that there is no entry to compute it from.",
        "headline": _grid([_item(cell) for cell in report.headline]),
        "sections": [
            {"title": one.title, "level": one.level, "blocks": [_block(block) for block in one.blocks]}
            for one in report.sections
        ],
        "ledger": _grid(
            [
                {**BLANK, "label": "ledger", "text": report.origin},
                {**BLANK, "label": "entries up to this report’s end", "text": f"{report.size:,}"},
            ]
        ),
        "root": report.root,
        "verification": report.verification or NOT_VERIFIED,
        "how": HOW_TO_VERIFY,
        "listed": [
            [str(item.index), item.type, to_rfc3339(item.at_us), item.leaf_hash]
            for item in report.appendix[:LISTED_HIGHEST]
        ],
        "more": f"{more:,} more entries are listed in the JSON form of this report." if more > 0 else "",
    }


def _item(cell: Cell) -> dict[str, Any]:
    text = words.cell_text(cell)
    return {
        "label": getattr(cell, "label", ""),
        "text": text,
        "sources": _sources(cell),
        "note": getattr(cell, "note", ""),
        "missing": text == words.MISSING,
    }


def _grid(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return items with the columns each spans; one that has no room left in a row begins the next."""
    placed: list[dict[str, Any]] = []
    column = 0
    for item in items:
        span = 2 if len(item["text"]) > LONG_LETTERS else 1
        if column + span > COLUMNS:
            placed += [BLANK] * (COLUMNS - column)
            column = 0
        placed.append({**item, "span": span})
        column = (column + span) % COLUMNS
    return placed


def _sources(cell: Cell | Chart) -> str:
    used = cell.entries if isinstance(cell, Chart) else words.sources_of(cell)
    more = len(used) - words.SOURCES_SHOWN
    shown = " ".join(map(str, used[: words.SOURCES_SHOWN]))
    return shown + (f" +{more:,}" if more > 0 else "")


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, str):
        return {"is": "words", "text": block}
    if isinstance(block, tuple):
        return {"is": "figures", "items": _grid([_item(cell) for cell in block])}
    if isinstance(block, Said):
        credit = (
            f"{block.about}, in the words of {block.author}"
            if block.about
            else f"In the words of {block.author}"
        )
        told = {"text": words.said_text(block), "missing": block.text is None}
        return {"is": "said", "credit": credit, "sources": _sources(block), **told}
    if isinstance(block, Table):
        return {"is": "table", "table": _table(block), "explains": block.explains if block.rows else ""}
    svg = str(drawn(block))
    found = _DESCRIPTION.search(svg)
    table = _table(block.table)
    if len(block.table.rows) > CHART_ROWS_HIGHEST:
        table["rows"] = []
    return {
        "is": "chart",
        "title": block.title,
        "svg": _alone(svg),
        "alt": f"{block.title}. {block.explains} {found[1] if found else ''}",
        "explains": block.explains,
        "sources": _sources(block),
        "table": {**table, "title": ""},
    }


def _alone(svg: str) -> str:
    """Return a chart as a file of its own, in the colours of paper."""
    rules = f"{style.chart_style(style.LIGHT)} .chart text {{ font-family: 'Libertinus Serif'; }}"
    head = svg.replace(_SVG, '<svg xmlns="http://www.w3.org/2000/svg" class="chart', 1)
    end = head.index(">") + 1
    return f"{head[:end]}<style>{rules}</style>{head[end:]}"


def _table(table: Table) -> dict[str, Any]:
    kinds = [cell_kind(cell) for cell in table.rows[0]] if table.rows else []
    longest = [
        max(len(words.cell_text(row[place], is_in_table=True)) for row in table.rows)
        for place in range(len(kinds))
    ]
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [[words.cell_text(cell, is_in_table=True) for cell in row] for row in table.rows],
        "numeric": [kind == "n" for kind in kinds],
        "widths": [min(4, -(-length // _WIDEST)) if length > _WIDEST else 0 for length in longest],
        "none": table.none,
    }


def _settled(value: Any) -> Any:
    """Return data whose texts have only letters that the fonts have; others are their code points."""
    if isinstance(value, str):
        return UNSET.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", value)
    if isinstance(value, Mapping):
        return {name: _settled(item) for name, item in value.items()}
    return [_settled(item) for item in value] if isinstance(value, list) else value
