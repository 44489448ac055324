"""A report as one HTML file: style and pictures inside, no script, light and dark, for screen and paper.

Stands beside the other renderers. Everything is escaped by the template engine; agents' words stand in
quotations that say whose they are. It asks for nothing from any network.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.periods import days_text
from app.reports import style, words
from app.reports.drawing import drawn
from app.reports.markdown import HOW_TO_VERIFY, LISTED_HIGHEST, NOT_VERIFIED
from app.web.formats import shown, visible
from services.domain.clock import to_rfc3339
from services.domain.report_model import Block, Cell, Chart, Joined, Report, Said, Table

HERE = Path(__file__).parent
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def as_html(report: Report, *, is_served: bool = False) -> bytes:
    """Return the report as one HTML file.

    Figures lead to their entries: in the file's own list, or (`is_served`) to the pages of the ledger.
    """
    page = _TEMPLATES.get_template("report.html")
    listed = report.appendix[:LISTED_HIGHEST]
    known = {item.index for item in listed}

    def link(index: int) -> str:
        return f"/ledger/{index}" if is_served or index not in known else f"#entry-{index}"

    text = page.render(
        report=report,
        span=days_text(report.from_us, report.to_us),
        style=Markup(_style()),  # noqa: S704 (the program's own constants)
        policy=CONTENT_POLICY,
        listed=listed,
        more=len(report.appendix) - len(listed),
        verification=report.verification or NOT_VERIFIED,
        how=HOW_TO_VERIFY,
        link=link,
        sources_shown=words.SOURCES_SHOWN,
        is_served=is_served,
    )
    return (text.rstrip() + "\n").encode("utf-8", "replace")


def _style() -> str:
    sheet = (HERE / "templates" / "report.css").read_text(encoding="utf-8")
    return (
        f":root {{ color-scheme: light dark; {style.variables(style.LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {style.variables(style.DARK)} }} }}\n"
        f"{sheet}\n{style.chart_style()}"
    )


def kind_of(block: Block) -> str:
    """Return which part of the template shows a block."""
    if isinstance(block, str):
        return "words"
    if isinstance(block, tuple):
        return "figures"
    return {Said: "said", Table: "table", Chart: "chart"}[type(block)]


def cell_kind(cell: Cell) -> str:
    """Return how a table's cell is set: prose, a number at the right, or plain."""
    if isinstance(cell, Said) or (isinstance(cell, str) and len(cell) > len("a short word or two in it")):
        return "prose"
    if isinstance(cell, str):
        return "plain"
    figures = cell.figures if isinstance(cell, Joined) else (cell,)
    is_number = all(isinstance(figure.value, int | float) or figure.value is None for figure in figures)
    if is_number and figures[0].unit != "instant":
        return "n"
    return "prose" if len(words.cell_text(cell)) > len("a rather long value of text") else "plain"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "kind": kind_of, "cell_kind": cell_kind, "text": words.cell_text, "sources": words.sources_of,
        "sources_text": words.sources_text, "drawn": drawn, "rfc3339": to_rfc3339, "said": words.said_text,
        "visible": visible,
    }  # fmt: skip
    made.filters.update(filters)
    return made


_TEMPLATES = _environment()
