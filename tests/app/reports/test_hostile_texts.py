"""What agents write stays text in every format: no markup, no formula, no script, nothing hidden."""

import csv
import hashlib
import io
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from app.reports import data, markdown, paper, words
from app.reports.rendering import Format, rendered
from services.domain.ledger_schema import EntryType
from services.domain.report_lap import lap_report
from services.domain.report_model import Figure, Unit

pytestmark = pytest.mark.slow

NASTY = (
    "<script>alert(1)</script> <img src=x onerror=alert(1)> [click](javascript:alert(1)) "
    "![x](https://e.example/x) "
    '| pipe `code` #panic("x") $x$ *bold* https://evil.example www.evil.example {{ 7*7 }} {% if %} '
    "\u202egnp.exe \x1b[31m \u200b 中文 🙂 </svg></style>"
)
FORMULA = '=HYPERLINK("https://evil.example","x")'


class Tags(HTMLParser):
    """Every tag and every attribute of a page."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def tags_of(page):
    parser = Tags()
    parser.feed(page.decode())
    return parser.seen


@pytest.fixture(scope="module")
def hostile(turned):
    """Return the same lap in which every word that others choose is hostile."""
    digest = hashlib.sha256(NASTY.encode()).hexdigest()
    entries = []
    for entry in turned.record.entries:
        payload = {**entry.payload}
        for name in ("root_cause_sha256", "reason_sha256"):
            if name in payload:
                payload[name] = digest
        for name in ("to", "treatment", "read_back"):
            if name in payload and entry.type is not EntryType.GENESIS:
                payload[name] = FORMULA
        if entry.type is EntryType.ANOMALY:
            payload["key"] = NASTY
        entries.append(replace(entry, payload=payload))
    blobs = {**turned.record.blobs, digest: NASTY.encode()}
    return lap_report(replace(turned.record, entries=entries, blobs=blobs), 1)


def test_pages_hold_no_tag_that_the_template_does_not_write(hostile, turned):
    page = rendered(hostile, Format.HTML)
    honest = tags_of(rendered(lap_report(turned.record, 1), Format.HTML))
    seen = tags_of(page)
    assert {tag for tag, _ in seen} <= {tag for tag, _ in honest}
    assert not {"script", "img", "iframe", "object", "link"} & {tag for tag, _ in seen}
    for _, attributes in seen:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        address = attributes.get("href", "")
        assert address.startswith(("#entry-", "/ledger/")) or not address
    text = page.decode()
    assert "\u202e" not in text
    assert "⟨U+202E⟩" in text
    assert b"evil.example" in page, "it is shown, as text"


def test_no_cell_of_the_table_is_a_formula(hostile):
    rows = list(csv.DictReader(io.StringIO(rendered(hostile, Format.CSV).decode(), newline="")))
    hostile_cells = [row for row in rows if "HYPERLINK" in row["value"]]
    assert hostile_cells
    assert all(row["value"].startswith("'=") for row in hostile_cells)
    for row in rows:
        for name, cell in row.items():
            is_number = name == "value" and row["unit"] not in ("text", "hash", "instant")
            assert is_number or not cell.startswith(data.FORMULA_STARTS), row
    for text in ("=1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1", "\n+1"):
        assert data.neutral(text).startswith("'"), text
    for text in ("＝1", "\u00a0=1", "\u3000 ＋1", "－1", "\u00a0＠SUM(1)", "﹦1", "\u2003@x"):
        assert data.neutral(text) == f"'{text}", text
    assert data.neutral("a=1") == "a=1"


def test_markdown_keeps_every_word_a_word(hostile):
    text = rendered(hostile, Format.MARKDOWN).decode()
    assert "<script" not in text.replace("\\<script", "")
    assert "](" not in text.replace("\\](", ""), "no link"
    assert "https://evil" not in text
    assert "www.evil" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            cells = line.replace("\\|", "").count("|")
            assert cells >= 3
    assert markdown.escaped("- item") == "\\- item"
    for number in ("1", "1234", "123456789"):
        for sign in ".)":
            assert markdown.escaped(f"{number}{sign} item") == f"{number}\\{sign} item"
    assert markdown.escaped("# head\n## head") == "\\# head \\#\\# head"


def test_a_pdf_is_set_from_data_and_always_the_same(hostile, typst):
    first = rendered(hostile, Format.PDF)
    assert first.startswith(b"%PDF-")
    assert first == rendered(hostile, Format.PDF)
    assert b"pdfuaid" in first, "it says that it is PDF/UA"
    assert paper._settled({"a": ["中 x"]}) == {"a": ["⟨U+4E2D⟩ x"]}


def test_missing_numbers_say_so_and_never_zero():
    for unit in Unit:
        figure = Figure("n", "n", None, unit, (1,), "field:n")
        assert words.cell_text(figure) == "not recorded"
    assert words.cell_text(Figure("n", "n", 0, Unit.MICROCREDITS, (1,), "f")) == "0.00 credits"
    assert words.cell_text(Figure("n", "n", None, Unit.COUNT, (), "f"), is_in_table=True) == "–"
