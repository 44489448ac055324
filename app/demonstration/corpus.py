"""The demonstration's documents and questions: which documents there are, and which three answer a question.
The load generator posts the questions; nothing else in the platform knows them.
"""

from dataclasses import dataclass
from types import MappingProxyType

from app.demonstration.corpus_texts import TEXTS


@dataclass(frozen=True, slots=True)
class Document:
    """A short text under a name that is fit for an address."""

    name: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the names of the three documents that answer it."""

    text: str
    documents: tuple[str, str, str]


DOCUMENTS = MappingProxyType(
    {
        name: Document(name, name.replace("-", " ").capitalize(), " ".join(text.split()))
        for name, text in TEXTS.items()
    }
)

QUESTIONS: tuple[Question, ...] = (
    Question(
        "How does escrow protect requester and agent until the verifier has spoken?",
        ("escrow", "verification", "double-entry"),
    ),
    Question(
        "Why are sealed bids recorded so that anyone can recompute the award?",
        ("sealed-bids", "second-score", "append-only-ledger"),
    ),
    Question(
        "What does a second score auction pay the winner, and what caps the payment?",
        ("second-score", "sealed-bids", "reputation"),
    ),
    Question(
        "How does double entry bookkeeping help an auditor follow the history of an account?",
        ("double-entry", "append-only-ledger", "escrow"),
    ),
    Question(
        "What can a checkpoint prove about the history of an append only ledger?",
        ("append-only-ledger", "merkle-trees", "nautilus"),
    ),
    Question(
        "Which proofs does a Merkle tree offer to an auditor who keeps a checkpoint?",
        ("merkle-trees", "append-only-ledger", "verification"),
    ),
    Question(
        "Why do heavy tails make parallel requests slow and timeouts fail?",
        ("heavy-tails", "timeouts", "retries"),
    ),
    Question(
        "When is the timeout itself the suspect, and when can no timeout cure the failures?",
        ("timeouts", "heavy-tails", "circuit-breakers"),
    ),
    Question(
        "When does retrying a slow request help, and when does it add load?",
        ("retries", "idempotency", "heavy-tails"),
    ),
    Question(
        "What makes a queue of tasks grow when load approaches capacity?",
        ("queues", "heavy-tails", "leases"),
    ),
    Question(
        "How does a fencing token keep an expired lease from doing harm?",
        ("leases", "queues", "idempotency"),
    ),
    Question(
        "How does an idempotency key prevent a duplicate payment after a crash?",
        ("idempotency", "outbox", "double-entry"),
    ),
    Question(
        "Why must subscribers of an outbox be idempotent when delivery is at least once?",
        ("outbox", "idempotency", "retries"),
    ),
    Question(
        "Why must the arm of a task be fixed and the exposure recorded in an experiment?",
        ("ab-tests", "sample-ratio", "peeking"),
    ),
    Question(
        "Why does peeking at an experiment multiply false alarms, and how do sequential tests remain valid?",
        ("peeking", "ab-tests", "anomalies"),
    ),
    Question(
        "What does a sample ratio mismatch say about the arms of an experiment?",
        ("sample-ratio", "ab-tests", "peeking"),
    ),
    Question(
        "Why must a baseline of the success rate keep numerator and denominator apart?",
        ("baselines", "anomalies", "reputation"),
    ),
    Question(
        "How do snapshots become an anomaly and then an episode with one alert?",
        ("anomalies", "baselines", "circuit-breakers"),
    ),
    Question(
        "Who may vote on a proposal, and when does the vote pass the quorum?",
        ("voting", "append-only-ledger", "ab-tests"),
    ),
    Question(
        "Why does reputation count verified results only and reserve awards for newcomers?",
        ("reputation", "verification", "second-score"),
    ),
    Question(
        "How can a verifier check an estimate or a quotation more cheaply than doing the work?",
        ("verification", "escrow", "reputation"),
    ),
    Question(
        "How does nacre resist cracks, and how does a pearl grow layer upon layer?",
        ("pearls", "nautilus", "append-only-ledger"),
    ),
    Question(
        "How is the shell of the nautilus a record of growth in chambers of nacre?",
        ("nautilus", "pearls", "append-only-ledger"),
    ),
    Question(
        "What does a circuit breaker do after consecutive failures, and how does it close again?",
        ("circuit-breakers", "retries", "timeouts"),
    ),
    Question(
        "How do a longer timeout and the order of completion make an experiment invalid?",
        ("sample-ratio", "timeouts", "ab-tests"),
    ),
    Question(
        "Where is a dead letter parked after a bounded number of attempts?",
        ("retries", "outbox", "circuit-breakers"),
    ),
    Question(
        "How do crashes of a worker return a task to the market?",
        ("leases", "circuit-breakers", "queues"),
    ),
    Question(
        "Why are rejected proposals and failed experiments evidence for the ledger?",
        ("append-only-ledger", "voting", "ab-tests"),
    ),
    Question(
        "How is recovery proven against the baseline when an episode ends?",
        ("anomalies", "baselines", "peeking"),
    ),
    Question(
        "Why do agents in a market gain nothing by asking for more than their true cost?",
        ("second-score", "sealed-bids", "reputation"),
    ),
)


def document_urls(question: Question, source_url: str) -> list[str]:
    """The addresses of a question's documents at a running document source (`http://127.0.0.1:port`)."""
    return [f"{source_url}/documents/{name}" for name in question.documents]
