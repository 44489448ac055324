"""A report in one of its formats: HTML, PDF, Markdown, CSV, JSON.

Stands over the renderers; the one for PDF is loaded when somebody wants a PDF. It never guesses a format.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from app.lazy import LazyLoadError, load
from app.reports import data, markdown, page
from services.domain.errors import InvalidValueError
from services.domain.report_model import Report


class Format(StrEnum):
    """What a report can be written as; the value is also the ending of its file."""

    HTML = "html"
    PDF = "pdf"
    MARKDOWN = "md"
    CSV = "csv"
    JSON = "json"


MEDIA_TYPES: Final = {
    Format.HTML: "text/html; charset=utf-8",
    Format.PDF: "application/pdf",
    Format.MARKDOWN: "text/markdown; charset=utf-8",
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON: "application/json",
}
_TEXTS: Final[dict[Format, Callable[[Report], bytes]]] = {
    Format.HTML: page.as_html,
    Format.MARKDOWN: markdown.as_markdown,
    Format.CSV: data.as_csv,
    Format.JSON: data.as_json,
}


def rendered(report: Report, wanted: Format) -> bytes:
    """Return the report's bytes; raise InvalidValueError for a PDF without the optional part."""
    if wanted is not Format.PDF:
        return _TEXTS[wanted](report)
    try:
        as_pdf: Callable[[Report], bytes] = load("app.reports.paper:as_pdf")
    except LazyLoadError as error:
        msg = "PDF needs the optional part nacre[pdf] (the package typst), which is not installed here"
        raise InvalidValueError(msg, field="format", code="pdf_unavailable") from error
    return as_pdf(report)
