"""What a document says: text out of JSON, HTML or plain bytes; sentences; terms. Tool and verifier read
alike, so a quote that one cuts out the other finds. It never fetches and never scores.
"""

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from app.tasks.research_synthesis.declaration import DOCUMENTS_MAX

SENTENCE = re.compile(r"[^\s].*?(?:[.!?](?=\s|$)|\n\s*\n|$)", re.DOTALL)
WORD = re.compile(r"\w+")
SENTENCE_CHARACTERS_MIN, SENTENCE_CHARACTERS_MAX = 25, 500
TERM_CHARACTERS_MIN = 3
ENDINGS = ("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ed", "es", "ly", "s", "e", "y")
STOP_WORDS = frozenset(
    (  # noqa: SIM905  a list of words is read as a text, not as 150 literals
        "about above after again all also and answer any are because been before being between both but "
        "can cannot could describe did does doing down during each explain few for from further give had "
        "happen happens has have having help here how into its itself just keep keeps let make makes many "
        "may mean might more most much must need needs not now off once one only other our out over own "
        "role same say says should some such tell than that the their them then there these they this "
        "those through too two under until upon use used using very was way well were what when where "
        "which while who whom why will with without would you your "
    ).split()
)


class _HtmlText(HTMLParser):
    """Collects the text of a page, leaving out what a reader does not see."""

    UNSEEN = frozenset({"script", "style", "head", "template", "noscript"})
    BREAKS = frozenset({"p", "div", "li", "br", "h1", "h2", "h3", "h4", "tr", "section", "article"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an unseen element, or break the line."""
        del attrs
        if tag in self.UNSEEN:
            self._unseen_depth += 1
        elif tag in self.BREAKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        """Close an unseen element."""
        if tag in self.UNSEEN and self._unseen_depth:
            self._unseen_depth -= 1

    def handle_data(self, data: str) -> None:
        """Keep what is seen."""
        if not self._unseen_depth:
            self.parts.append(data)


def document_text(raw: bytes) -> str:
    """The text of a document: the `text` of a JSON object, what HTML shows, or the bytes as UTF-8."""
    decoded = raw.decode("utf-8", errors="replace")
    opening = decoded.lstrip()[:500].lower()
    if opening.startswith("{"):
        parsed = _json(decoded)
        if isinstance(parsed, dict) and isinstance(parsed.get("text"), str):
            return str(parsed["text"])
    if opening.startswith("<") and ("<html" in opening or "<!doctype html" in opening):
        page = _HtmlText()
        page.feed(decoded)
        return "".join(page.parts)
    return decoded


def listed_urls(raw: bytes, index_url: str) -> tuple[str, ...]:
    """The first DOCUMENTS_MAX addresses an index lists, made absolute.

    Raises:
        ValueError: the index is not a JSON list of URLs or of objects with a `url`.
    """
    entries = _json(raw.decode("utf-8", errors="replace"))
    if not isinstance(entries, list):
        raise ValueError("the source index is not a JSON list")  # noqa: TRY004  it came from outside: a value
    found = [entry.get("url") if isinstance(entry, dict) else entry for entry in entries[:DOCUMENTS_MAX]]
    addresses = tuple(urljoin(index_url, address) for address in found if isinstance(address, str))
    if not addresses or not all(address.startswith(("http://", "https://")) for address in addresses):
        raise ValueError("the source index lists no http addresses, or others besides")
    return addresses


def sentences(text: str) -> list[str]:
    """Verbatim sentences of a text, those long enough to say something and short enough to quote."""
    found = (match.group().strip() for match in SENTENCE.finditer(text))
    return [one for one in found if SENTENCE_CHARACTERS_MIN <= len(one) <= SENTENCE_CHARACTERS_MAX]


def terms(text: str) -> list[str]:
    """The words of a text that carry meaning, lower case, without their endings, in order."""
    words = (word.lower() for word in WORD.findall(text))
    return [_stem(word) for word in words if len(word) >= TERM_CHARACTERS_MIN and word not in STOP_WORDS]


def _stem(word: str) -> str:
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= TERM_CHARACTERS_MIN:
            return word[: -len(ending)]
    return word


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
