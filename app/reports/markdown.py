"""A report as Markdown: tables and lists that any viewer shows, every character of others' text escaped.

Stands beside the other renderers; charts stand in it as their tables. It never lets a text become markup.
"""

import re
from collections.abc import Iterator
from typing import Final

from app.periods import days_text
from app.reports.words import cell_text, said_text, sources_of, sources_text
from app.web.formats import visible
from services.domain.clock import to_rfc3339
from services.domain.report_model import Block, Cell, Chart, Report, Said, Table

SPECIAL: Final = re.compile(r"([\\`*_\[\]<>#|~&$@^]|:(?=//)|(?<=www)\.|^[-=](?!\d)|^\+(?=\s|$))")
"""What may begin markup: inside a line, an address that viewers link by themselves, and at its beginning.

A number with its sign is none."""
NUMBERED: Final = re.compile(r"^(\d+)([.)])(?=\s|$)")
"""What begins an item of a numbered list, at the beginning of a line; a decimal does not."""
LISTED_HIGHEST: Final = 2_000


def as_markdown(report: Report) -> bytes:
    """Return the report as Markdown (CommonMark with tables), UTF-8."""
    return ("\n".join(_lines(report)).rstrip("\n") + "\n").encode("utf-8", "replace")


def escaped(text: str) -> str:
    """Return text on one line with everything escaped that Markdown or HTML could read as markup."""
    flat = " ".join(visible(text).split())
    return NUMBERED.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", flat))


def _lines(report: Report) -> Iterator[str]:
    yield f"# {escaped(report.title)}"
    yield ""
    yield f"{escaped(days_text(report.from_us, report.to_us))}"
    yield ""
    yield escaped(report.lead)
    yield ""
    yield from _figures(report.headline)
    for section in report.sections:
        yield f"{'##' if section.level == 1 else '###'} {escaped(section.title)}"
        yield ""
        for block in section.blocks:
            yield from _block(block)
    yield from _appendix(report)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, str):
        yield escaped(block)
        yield ""
    elif isinstance(block, Said):
        what = f"{escaped(block.about)}, " if block.about else ""
        yield f"> {what}in the words of {escaped(block.author)} ({sources_text(block.entries)}):"
        yield ">"
        for line in said_text(block).splitlines() or [""]:
            yield f"> {escaped(line)}"
        yield ""
    elif isinstance(block, Chart):
        yield f"**{escaped(block.title)}** {escaped(block.explains)} ({sources_text(block.entries)})"
        yield ""
        yield from _rows(block.table)
    elif isinstance(block, Table):
        yield f"**{escaped(block.title)}** {escaped(block.explains)}".rstrip()
        yield ""
        yield from _rows(block)
    else:
        yield from _figures(block)


def _figures(cells: tuple[Cell, ...]) -> Iterator[str]:
    for cell in cells:
        note = getattr(cell, "note", "")
        remark = f" — {escaped(note)}" if note else ""
        label = escaped(getattr(cell, "label", ""))
        yield f"- {label}: **{escaped(cell_text(cell))}**{remark} ({sources_text(sources_of(cell))})"
    yield ""


def _rows(table: Table) -> Iterator[str]:
    if not table.rows:
        yield escaped(table.none)
        yield ""
        return
    used = [tuple(sorted({index for cell in row for index in sources_of(cell)})) for row in table.rows]
    more = ["entries"] if any(used) else []
    yield f"| {' | '.join([*map(escaped, table.columns), *more])} |"
    yield f"|{' --- |' * (len(table.columns) + len(more))}"
    for row, indexes in zip(table.rows, used, strict=True):
        cells = [escaped(cell_text(cell, is_in_table=True)) for cell in row]
        yield f"| {' | '.join([*cells, *(sources_text(indexes) for _ in more)])} |"
    yield ""


def _appendix(report: Report) -> Iterator[str]:
    yield "## The ledger behind it"
    yield ""
    yield f"- origin: `{visible(report.origin).replace('`', '')}`"
    yield f"- entries used from the first {report.size:,}; their root: `{report.root}`"
    yield f"- {escaped(report.verification or NOT_VERIFIED)}"
    yield ""
    yield escaped(HOW_TO_VERIFY)
    yield ""
    yield "| entry | type | time | leaf hash |"
    yield "| --- | --- | --- | --- |"
    for item in report.appendix[:LISTED_HIGHEST]:
        yield f"| {item.index} | {escaped(item.type)} | {to_rfc3339(item.at_us)} | `{item.leaf_hash}` |"
    more = len(report.appendix) - LISTED_HIGHEST
    if more > 0:
        yield ""
        yield f"{more:,} more entries are listed in the JSON form of this report."


NOT_VERIFIED: Final = "Built from the platform's own database; not verified offline."
HOW_TO_VERIFY: Final = (
    "To check this report without trusting the platform: get an export (nacre ledger export), check it "
    "(nacre ledger verify EXPORT), and build the report from it (nacre report … --ledger EXPORT). It comes "
    "out the same, byte for byte but for the line above. In the JSON and CSV form each figure names its "
    "formula and every entry it was computed from."
)
