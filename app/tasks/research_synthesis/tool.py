"""The worker's side of `research_synthesis`: fetch all documents at once, retrieve, put an answer together,
cite. Without a model the answer is the passages themselves; with a key, and where the payload allows,
Claude writes it. A thrifty worker reads only the opening of each document and looks for fewer passages.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.lazy import LazyLoadError, load
from app.tasks.deadline import Deadline
from app.tasks.research_synthesis.declaration import PASSAGES_DEFAULT, ResearchPayload
from app.tasks.research_synthesis.documents import document_text, listed_urls
from app.tasks.research_synthesis.fetching import SourceUnavailableError, fetch_all, read_folder
from app.tasks.research_synthesis.retrieval import Passage, passages_for

CLAUDE_KEY_VARIABLE = "ANTHROPIC_API_KEY"
CLAUDE_SYNTHESIS = "app.tasks.research_synthesis.claude_synthesis:written_by_claude"


@dataclass(frozen=True, slots=True)
class Synthesis:
    """An answer, the passages it rests on, and who wrote it."""

    answer: str
    passages: list[Passage]
    synthesised_by: str


def run(payload: dict[str, Any], effort: float, deadline_seconds: float) -> dict[str, Any]:
    """Answer the payload's question: {answer, citations: [{url, quote}], synthesised_by, documents_read}.

    Raises:
        pydantic.ValidationError: the payload does not fit.
        DeadlinePassedError: not all documents had come in time.
        SourceUnavailableError: no document could be read.
    """
    deadline = Deadline(deadline_seconds)
    task = ResearchPayload.model_validate(payload)
    texts = {url: document_text(raw) for url, raw in _documents(task, deadline).items()}
    wanted = round((task.passages or PASSAGES_DEFAULT) * min(1.0, effort))
    passages = passages_for(
        task.question, texts, max(task.minimum_citations, wanted), share_read=min(1.0, effort)
    )
    deadline.check()
    synthesis = _synthesised(task, passages, deadline)
    deadline.check()
    return {
        "answer": synthesis.answer,
        "citations": [{"url": passage.url, "quote": passage.quote} for passage in synthesis.passages],
        "synthesised_by": synthesis.synthesised_by,
        "documents_read": len(texts),
    }


def _documents(task: ResearchPayload, deadline: Deadline) -> dict[str, bytes]:
    if task.folder is not None:
        return read_folder(task.folder)
    if task.source_index_url is None:
        return fetch_all(task.urls or (), deadline.remaining_seconds())
    index = fetch_all([task.source_index_url], deadline.remaining_seconds())[task.source_index_url]
    try:
        urls = listed_urls(index, task.source_index_url)
    except ValueError as error:
        raise SourceUnavailableError(str(error)) from error
    return fetch_all(urls, deadline.remaining_seconds())


def _synthesised(task: ResearchPayload, passages: list[Passage], deadline: Deadline) -> Synthesis:
    if not (task.use_claude and passages and os.environ.get(CLAUDE_KEY_VARIABLE)):
        return _extracted(passages, "extractive")
    try:
        write: Callable[[str, list[Passage], float], tuple[str, list[Passage], str]] = load(CLAUDE_SYNTHESIS)
        answer, cited, model = write(task.question, passages, deadline.remaining_seconds())
    except (LazyLoadError, RuntimeError) as error:
        return _extracted(passages, f"extractive (Claude was not available: {error})"[:300])
    return Synthesis(answer, cited, f"claude:{model}")


def _extracted(passages: list[Passage], by: str) -> Synthesis:
    answer = " ".join(f"{passage.quote} [{number}]" for number, passage in enumerate(passages, start=1))
    return Synthesis(answer, passages, by)
