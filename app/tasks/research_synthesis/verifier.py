"""The platform's side of `research_synthesis`: fetches the cited sources itself and looks for every quote,
word for word; then asks whether question and answer are borne out by the quotes. It never fetches an
address that the task does not list.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from pydantic import Field

from app.tasks.research_synthesis.declaration import ResearchPayload
from app.tasks.research_synthesis.documents import document_text, listed_urls, terms
from app.tasks.research_synthesis.fetching import DOCUMENT_SCHEME
from app.tasks.task_type import Fetch, Verification
from app.tasks.verification import Result, read_result, refused, verified

PARALLEL_FETCHES = 6
GROUNDED_MIN = 0.4  # share of the answer's terms that quotes or question have
ANSWER_COVERAGE_MIN = 0.3  # share of the question's key terms in the answer itself


class Citation(Result):
    """A quote and the address of the document it stands in."""

    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    quote: Annotated[str, Field(min_length=20, max_length=600)]


class ResearchResult(Result):
    """What a worker hands in."""

    answer: Annotated[str, Field(min_length=20, max_length=20_000)]
    citations: Annotated[list[Citation], Field(max_length=30, fail_fast=True)]
    synthesised_by: Annotated[str, Field(max_length=300)]
    documents_read: Annotated[int, Field(ge=0, le=1_000)]


class _Refusal(Exception):  # noqa: N818  carries a verdict out of a helper, is not an error
    def __init__(self, verification: Verification) -> None:
        self.verification = verification


def verify(public: dict[str, Any], private: dict[str, Any], result: object, fetch: Fetch) -> Verification:
    """Accept an answer whose quotes stand in listed sources and cover the question.

    `fetch` is called from several threads and raises OSError for a document that cannot be had, as
    fetching.SourceReader does; that is a refusal `source_unavailable`, which is not the worker's fault.
    """
    del private  # nothing is held back
    claim = read_result(ResearchResult, result)
    if isinstance(claim, Verification):
        return claim
    task = ResearchPayload.model_validate(public)
    try:
        _check_quotes(task, claim, fetch)
    except _Refusal as refusal:
        return refusal.verification
    except OSError as error:
        return refused("source_unavailable", f"a source could not be read again: {error}"[:500])
    return _covered(task, claim)


def _check_quotes(task: ResearchPayload, claim: ResearchResult, fetch: Fetch) -> None:
    quotes = {(citation.url, " ".join(citation.quote.split())) for citation in claim.citations}
    if len(quotes) < task.minimum_citations:
        sentence = f"{len(quotes)} different quotes where {task.minimum_citations} were asked for"
        raise _Refusal(refused("too_few_citations", sentence, citations=float(len(quotes))))
    for number, citation in enumerate(claim.citations):
        if not _is_listed(citation.url, task, fetch):
            sentence = f"result.citations.{number}.url is not among the task's sources"
            raise _Refusal(refused("foreign_source", sentence))
    texts = _texts(sorted({citation.url for citation in claim.citations}), fetch)
    for number, citation in enumerate(claim.citations):
        if citation.quote not in texts[citation.url]:
            sentence = f"result.citations.{number}.quote does not stand in its source"
            raise _Refusal(refused("quote_not_found", sentence))


def _texts(urls: list[str], fetch: Fetch) -> dict[str, str]:
    """What the documents say; they are fetched side by side, for sources are slow."""
    with ThreadPoolExecutor(max_workers=PARALLEL_FETCHES) as pool:
        return {url: document_text(raw) for url, raw in zip(urls, pool.map(fetch, urls), strict=True)}


def _is_listed(url: str, task: ResearchPayload, fetch: Fetch) -> bool:
    if task.folder is not None:
        name = url.removeprefix(f"{DOCUMENT_SCHEME}{task.folder}/")
        return url != name and "/" not in name and not name.startswith(".")
    if task.urls is not None:
        return url in task.urls
    index_url = task.source_index_url or ""
    try:
        return url in listed_urls(fetch(index_url), index_url)
    except ValueError as error:
        raise _Refusal(refused("source_unavailable", str(error))) from error


def _covered(task: ResearchPayload, claim: ResearchResult) -> Verification:
    asked = set(terms(task.question))
    quoted = {term for citation in claim.citations for term in terms(citation.quote)}
    answered = terms(claim.answer)
    measures: dict[str, float | str] = {
        "coverage": _share(asked, quoted),
        "answer_coverage": _share(asked, set(answered)),
        "grounded": sum(term in quoted or term in asked for term in answered) / max(1, len(answered)),
        "citations": float(len(claim.citations)),
        "sources": float(len({citation.url for citation in claim.citations})),
        "synthesised_by": claim.synthesised_by[:80],
    }
    if _share(asked, quoted) < task.minimum_coverage:
        missing = ", ".join(sorted(asked - quoted)[:8])
        return refused("terms_not_covered", f"the quotes lack {missing}"[:300], **measures)
    if _share(asked, set(answered)) < ANSWER_COVERAGE_MIN:
        return refused("answer_off_topic", "the answer hardly touches the question", **measures)
    if sum(term in quoted or term in asked for term in answered) < GROUNDED_MIN * len(answered):
        return refused("answer_not_grounded", "the answer says much that no quote says", **measures)
    return verified("every quote stands in its source and the question is covered", **measures)


def _share(wanted: set[str], had: set[str]) -> float:
    return len(wanted & had) / len(wanted) if wanted else 1.0
