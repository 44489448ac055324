"""The platform's own verification: runs a task type's verifier on a result, with the platform's own fetch.

Stands between the loop, which asks, and `app.tasks`, which knows how. Documents are fetched only from allowed
origins. It never believes what an agent sent, and never calls a result wrong that it could not check.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.tasks.research_synthesis.fetching import DOCUMENT_SCHEME, SourceReader
from app.tasks.task_type import TaskType
from app.tasks.verification import DOCUMENTS
from services.domain.known_answers import KnownAnswer, KnownAnswers

READ_SECONDS = 2.0
READ_ATTEMPTS = 5
KEPT_SECONDS = 600.0
UNCHECKED = frozenset({"source_unavailable", "cannot_check"})


class FetchRefusedError(OSError):
    """A document whose origin the operator has not allowed."""


class NotCheckedError(RuntimeError):
    """The verifier could not check the result now; the bus tries again later."""


def allowed_fetch(origins: tuple[str, ...], folder: Path | None) -> Callable[[str], bytes]:
    """Return a fetch that reads from `origins` (`http://host:port`) and the folder only, and keeps documents.

    Everything else raises FetchRefusedError: by default nothing on any network is fetched.
    """
    reader = SourceReader(
        deadline_seconds=READ_SECONDS,
        attempts=READ_ATTEMPTS,
        cache_seconds=KEPT_SECONDS,
        document_root=folder,
    )

    def fetch(url: str) -> bytes:
        parts = urlsplit(url)
        if not url.startswith(DOCUMENT_SCHEME) and f"{parts.scheme}://{parts.netloc}" not in origins:
            msg = f"{parts.scheme}://{parts.netloc} is not an allowed origin of documents"
            raise FetchRefusedError(msg)
        return reader(url)

    return fetch


@dataclass(frozen=True, slots=True)
class ResultVerifier:
    """Finds the task type's verifier and runs it."""

    task_types: Mapping[str, TaskType]
    fetch: Callable[[str], bytes]

    def __call__(
        self,
        task_type: str,
        public: Mapping[str, object],
        private: Mapping[str, object],
        result: Mapping[str, object],
    ) -> tuple[bool, Mapping[str, object]]:
        """Return (is it verified, reason and measures); raise NotCheckedError when it cannot be told now."""
        kind = self.task_types.get(task_type)
        if kind is None:
            msg = f"this process knows no task type {task_type!r}"
            raise NotCheckedError(msg)
        fetch = _fetch_known(private[DOCUMENTS]) if DOCUMENTS in private else self.fetch
        found = kind.load_verifier()(dict(public), dict(private), dict(result), fetch)
        if found.code in UNCHECKED:
            raise NotCheckedError(found.reason)
        return found.is_verified, {"reason": found.reason, "measures": dict(found.measures)}


def known_answers_of(task_types: Mapping[str, TaskType]) -> dict[str, KnownAnswers]:
    """Return what gives known answers, for each task type that declares some; imported when first asked."""
    return {name: _answers_of(kind) for name, kind in task_types.items() if kind.known_answers}


def _answers_of(kind: TaskType) -> KnownAnswers:
    def answer(number: int, is_good: bool) -> KnownAnswer:  # noqa: FBT001  as the domain has it
        case = kind.load_known_cases()(number, is_good)
        return KnownAnswer(case.name, case.public, case.private, case.result, case.is_good)

    return answer


def _fetch_known(documents: object) -> Callable[[str], bytes]:
    """Return a fetch that has the documents of a known case only; what it has not is unavailable."""
    texts = documents if isinstance(documents, dict) else {}

    def fetch(url: str) -> bytes:
        if url not in texts:
            msg = f"{url} is not among the known documents"
            raise FetchRefusedError(msg)
        return str(texts[url]).encode()

    return fetch
