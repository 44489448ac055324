"""Picking passages: BM25 over the sentences of all documents, then a greedy choice that prefers what adds
key terms and new sources. It never writes an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rank_bm25 import BM25Okapi

from app.tasks.research_synthesis.documents import sentences, terms

TERM_BONUS = 0.5  # worth of one more key term covered, in units of the best BM25 score
SOURCE_BONUS = 0.4  # worth of a source not cited yet


@dataclass(frozen=True, slots=True)
class Passage:
    """A verbatim sentence, where it stands, and the key terms of the question it has."""

    url: str
    quote: str
    score: float
    key_terms: frozenset[str]


def passages_for(
    question: str, texts: Mapping[str, str], wanted: int, share_read: float = 1.0
) -> list[Passage]:
    """At most `wanted` passages out of the first `share_read` of the sentences of each text, best first.

    `texts` is url → text.
    """
    candidates = _scored(question, texts, share_read)
    chosen: list[Passage] = []
    covered: set[str] = set()
    while candidates and len(chosen) < wanted:
        cited = {passage.url for passage in chosen}
        best = max(candidates, key=lambda passage: _gain(passage, covered, cited))
        candidates.remove(best)
        chosen.append(best)
        covered |= best.key_terms
    return chosen


def _scored(question: str, texts: Mapping[str, str], share_read: float) -> list[Passage]:
    found = list(
        dict.fromkeys((url, quote) for url, text in texts.items() for quote in _opening(text, share_read))
    )
    if not found:
        return []
    query = terms(question)
    tokens = [terms(quote) or [""] for _, quote in found]
    scores = BM25Okapi(tokens).get_scores(query)
    best = max(float(scores.max()), 1e-9)
    return [
        Passage(url, quote, float(score) / best, frozenset(words) & frozenset(query))
        for (url, quote), words, score in zip(found, tokens, scores, strict=True)
    ]


def _gain(passage: Passage, covered: set[str], cited: set[str]) -> float:
    is_new_source = passage.url not in cited and bool(passage.key_terms)
    return passage.score + TERM_BONUS * len(passage.key_terms - covered) + SOURCE_BONUS * is_new_source


def _opening(text: str, share_read: float) -> list[str]:
    every = sentences(text)
    return every[: max(1, round(share_read * len(every)))]
