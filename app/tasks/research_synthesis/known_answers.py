"""Known answers of `research_synthesis`: two short documents of its own, a question, and quotes from them.
Good results quote word for word; bad ones change one word, cite what is not listed, or miss the question. The
documents come with the case; nothing is fetched. Neither tool nor verifier knows it.
"""

from typing import Any, Final

from app.tasks.research_synthesis.declaration import prepare
from app.tasks.task_type import KnownCase
from app.tasks.verification import DOCUMENTS

SUBJECTS: Final = ("harbours", "gardens", "bridges", "libraries", "mills")


def known_case(number: int, is_good: bool) -> KnownCase:  # noqa: FBT001  as every type's
    """Case `number`: a question with its documents, and an answer that is good or wrong in one way."""
    subject = SUBJECTS[number % len(SUBJECTS)]
    first, second = f"http://known.invalid/{number}/first", f"http://known.invalid/{number}/second"
    quotes = [
        f"Old {subject} were kept in order by wardens who walked them every morning.",
        f"Wardens wrote the state of {subject} into a ledger that anyone could read.",
        f"The ledger number {number} shows which repairs were paid for and by whom.",
    ]
    prepared = prepare(
        {
            "question": f"How did wardens keep old {subject} in order, and what does the ledger show?",
            "urls": [first, second],
            "minimum_citations": 3,
            "minimum_coverage": 0.6,
        }
    )
    documents = {first: f"{quotes[0]} Nobody paid them.", second: f"A preface. {quotes[1]} {quotes[2]}"}
    citations = [
        {"url": url, "quote": quote} for url, quote in zip((first, second, second), quotes, strict=True)
    ]
    good = {
        "answer": " ".join(quotes),
        "citations": citations,
        "synthesised_by": "extractive",
        "documents_read": 2,
    }
    private = {**prepared.private, DOCUMENTS: documents}
    if is_good:
        return KnownCase("word for word", prepared.public, private, good, is_good=True)
    name, change = _faults(citations)[number % 6]
    return KnownCase(name, prepared.public, private, {**good, **change}, is_good=False)


def _faults(citations: list[dict[str, str]]) -> list[tuple[str, dict[str, Any]]]:
    def with_last(**change: str) -> dict[str, Any]:
        return {"citations": [*citations[:-1], {**citations[-1], **change}]}

    altered = citations[-1]["quote"].replace("were paid", "are paid")
    foreign = citations[-1]["url"].replace("second", "third")
    return [
        ("one word of a quote altered", with_last(quote=altered)),
        ("a source that is not listed", with_last(url=foreign)),
        ("a quote of another document", with_last(url=citations[0]["url"])),
        ("a quote too few", {"citations": citations[:-1]}),
        ("the same quote three times", {"citations": [citations[0]] * 3}),
        ("an answer about something else", {"answer": "Whales breathe air and sing for hours at a time."}),
    ]
