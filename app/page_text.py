"""Markdown of the generated pages: a page, a table, a word of code.

Stands under `app.docs`. It never knows what a page says.
"""

from collections.abc import Iterable, Sequence

NOTHING = "–"


def page(title: str, introduction: str, *parts: str) -> str:
    """Return a page: title, the note that it is generated, an introduction, the parts."""
    note = "<!-- Generated from the code by `make docs`: change the code, not this page. -->"
    paragraphs = [" ".join(text.split()) for text in introduction.strip().split("\n\n")]
    return "\n\n".join([f"# {title}", note, *paragraphs, *parts]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of text cells; bars and line breaks in them stay inside their cell."""
    lines = [header, ["---"] * len(header), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|") or NOTHING


def code(text: object) -> str:
    """Return the text as code."""
    return f"`{text}`"
