"""What a ledger entry looks like: its envelope, its types, and the fields each type's payload must have.

Stands between the ledger that writes entries and the audit that reads them, so both hold one table. It
checks shape only: whether an entry may stand where it stands is `ledger_causality`'s to say. It never
reads other entries.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from services.domain.bet import Verdict
from services.domain.canonical import canonical_bytes, parse_canonical
from services.domain.clock import from_rfc3339, to_rfc3339
from services.domain.parameters import Risk
from services.domain.states import BallotChoice, ElectorateMode, ExperimentScope, Leg, ReviewState
from services.domain.stream import StreamRule
from services.domain.tally import WHOLE_PERCENT, Swing, TallyOutcome


class EntryType(StrEnum):
    """What happened; every end of the loop's every branch has a type."""

    GENESIS = "GENESIS"
    """The log begins: its origin, the starting config and the voting rules. Index 0 only."""
    REGISTERED = "REGISTERED"
    """A new parameter joined the config."""
    DECLARED = "DECLARED"
    """A parameter's limits, kind or risk class are others from here on."""
    ANOMALY = "ANOMALY"
    """The observatory saw a metric out of its band: an episode opened."""
    PROPOSAL = "PROPOSAL"
    """An agent asked for a change; electorate and deadline are frozen here."""
    BALLOT = "BALLOT"
    """One elector's word."""
    EXTENDED = "EXTENDED"
    """A late swing gave the vote more time, once."""
    TALLY = "TALLY"
    """The vote ended."""
    REVIEW_OPENED = "REVIEW_OPENED"
    """A GATED change passed its vote; what a person is shown is fixed by its hash."""
    REVIEW_DECIDED = "REVIEW_DECIDED"
    """A person approved or refused exactly that, or nobody did in time."""
    WITHDRAWN = "WITHDRAWN"
    """The proposer took it back before the first ballot."""
    EXPIRED = "EXPIRED"
    """It passed, and no experiment started in time."""
    EXPERIMENT_STARTED = "EXPERIMENT_STARTED"
    """The sandbox fixed plan and salt before the first task."""
    PROBATION_STARTED = "PROBATION_STARTED"
    """Most tasks get the promoted value, the rest the old one; plan and salt of the second leg."""
    PLACEBO_STARTED = "PLACEBO_STARTED"
    """An A/A experiment: both arms alike, outside the stream."""
    PLACEBO_VERDICT = "PLACEBO_VERDICT"
    """It ended; a win of a placebo is a false one."""
    SHIFT_ACCEPTED = "SHIFT_ACCEPTED"
    """An operator accepted a lasting change of a metric as normal."""
    FROZEN = "FROZEN"
    """Placebos won too often to believe the instrument: nothing is promoted."""
    UNFROZEN = "UNFROZEN"
    """A person has looked and lets promotions go on."""
    EPOCH = "EPOCH"
    """A holdout begins: its tasks keep the config of this instant for good."""
    VERDICT = "VERDICT"
    """The experiment ended; salt and records are revealed."""
    PROMOTED = "PROMOTED"
    """The tested value went into the config."""
    CONFIRMED = "CONFIRMED"
    """The promotion held after probation."""
    ROLLED_BACK = "ROLLED_BACK"
    """The value before a promotion was restored."""
    REFUSED = "REFUSED"
    """A change was turned down: at admission, by the evidence, or because the config had moved."""
    STANDING = "STANDING"
    """An agent's standing changed."""
    OVERRIDE = "OVERRIDE"
    """A person acted, perhaps on a parameter."""
    RECOVERED = "RECOVERED"
    """An episode closed."""
    LAP_CLOSED = "LAP_CLOSED"
    """A turn of the loop ended; how, and what it cost."""
    CORRECTION = "CORRECTION"
    """A remark on an earlier entry, which stays as it is."""
    ERASED = "ERASED"
    """A text was erased; its hash stays in the entries that name it."""
    FORMAT = "FORMAT"
    """From here on entries follow a newer format."""


OPERATOR: Final = "operator"
"""The actor of what a person did."""


class EntryRefusedError(ValueError):
    """An entry that is not well formed; the message is one sentence without the index."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as read back: `at_us` is UTC microseconds, `previous_root` 64 hex digits."""

    index: int
    at_us: int
    type: EntryType
    actor: str
    lap: int | None
    previous_root: str
    payload: dict[str, Any]

    @property
    def is_by_person(self) -> bool:
        """Whether the operator acted, not the platform and no agent."""
        return self.actor == OPERATOR


class Kind(NamedTuple):
    """What a field must be, in words and as a test."""

    summary: str
    holds: Callable[[Any], bool]


_HASH: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+").fullmatch
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|inf)").fullmatch
_AT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z").fullmatch


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_text(value: Any) -> bool:
    return type(value) is str


def _one_of(members: type[StrEnum], *left_out: StrEnum) -> Kind:
    words = frozenset(member.value for member in members) - frozenset(left_out)
    return Kind(f"one of {', '.join(sorted(words))}", lambda value: _is_text(value) and value in words)


def _matching(summary: str, match: Callable[[str], re.Match[str] | None]) -> Kind:
    return Kind(summary, lambda value: _is_text(value) and match(value) is not None)


def _is_rules(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and type(value.get("threshold_percent")) is int
        and 1 <= value["threshold_percent"] <= WHOLE_PERCENT
        and type(value.get("minimum_ballots")) is int
        and value["minimum_ballots"] >= 1
    )


INTEGER = Kind("an integer", _is_integer)
COUNT = Kind("a count from 0", lambda value: type(value) is int and value >= 0)
OPTIONAL_INTEGER = Kind("an integer or null", lambda value: value is None or type(value) is int)
PERCENT = Kind(
    "an integer 0..100 or null",
    lambda value: value is None or (type(value) is int and 0 <= value <= WHOLE_PERCENT),
)
FLAG = Kind("true or false", lambda value: type(value) is bool)
TEXT = Kind("a string", _is_text)
NAME = Kind("a non-empty string", lambda value: _is_text(value) and value != "")
HASH = _matching("64 lower-case hex digits", _HASH)
HEX = _matching("lower-case hex", _HEX)
DECIMAL = _matching("a decimal number in a string", _DECIMAL)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
CONFIG = Kind(
    "an object of strings", lambda value: isinstance(value, dict) and all(map(_is_text, value.values()))
)
RULES = Kind("an object with threshold_percent 1..100 and minimum_ballots from 1", _is_rules)
NAMES = Kind("a list of strings", lambda value: isinstance(value, list) and all(map(_is_text, value)))
INTEGERS = Kind("a list of integers", lambda value: isinstance(value, list) and all(map(_is_integer, value)))


def _is_guardrail(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and NAME.holds(item.get("metric"))
        and DECIMAL.holds(item.get("margin"))
        and DECIMAL.holds(item.get("ceiling"))
    )


GUARDRAILS = Kind(
    "a list of {metric, margin, ceiling} objects, both decimals in strings",
    lambda value: isinstance(value, list) and all(map(_is_guardrail, value)),
)
FORMAT = 3
"""Format 2 came with the stream of levels and probation, 3 with units of the electorate, late swings, review
gates and erasure. Entries written under an older one may lack what came later."""

UNITS: Final = 3
"""The format since which a proposal states its units, rules and conflicts, and parameters are declared."""

_ENVELOPE: Final[dict[str, Kind]] = {
    "index": COUNT,
    "at": _matching("UTC time with six decimals, like 2026-11-21T11:42:00.000000Z", _AT),
    "type": NAME,
    "actor": NAME,
    "lap": OPTIONAL_INTEGER,
    "previous_root": HASH,
    "payload": OBJECT,
}
_HASHES: Final[dict[str, Kind]] = {"config_before": HASH, "config_after": HASH}
_CHANGE: Final[dict[str, Kind]] = {"parameter": NAME, "from": TEXT, "to": TEXT, **_HASHES}

_OUTCOME: Final[dict[str, Kind]] = {
    "verdict": _one_of(Verdict), "reason": TEXT, "tasks": COUNT,
    "control_tasks": COUNT, "control_successes": DECIMAL, "treatment_tasks": COUNT,
    "treatment_successes": DECIMAL, "e": DECIMAL, "e_max": DECIMAL, "estimate": DECIMAL,
    "lower": DECIMAL, "upper": DECIMAL, "salt": HEX, "records_sha256": HASH,
}  # fmt: skip

PAYLOADS: Final[dict[EntryType, dict[str, Kind]]] = {
    EntryType.GENESIS: {"origin": NAME, "config": CONFIG, "rules": RULES},
    EntryType.REGISTERED: {"parameter": NAME, "value": TEXT, **_HASHES},
    EntryType.DECLARED: {"parameter": NAME, "declaration": OBJECT},
    EntryType.ANOMALY: {
        "episode_id": INTEGER, "metric": NAME, "dimension": TEXT, "key": TEXT,
        "numerator": INTEGER, "denominator": INTEGER, "rule": NAME,
    },
    EntryType.PROPOSAL: {
        "proposal_id": INTEGER, "proposer": NAME, "parameter": NAME, "from": TEXT, "to": TEXT,
        "metric": NAME, "expected_effect": DECIMAL, "cap_tasks": COUNT, "content_hash": HASH,
        "evidence": INTEGERS, "root_cause_sha256": HASH, "electorate": NAMES,
        "opens_at_us": INTEGER, "closes_at_us": INTEGER, "risk": NAME,
    },
    EntryType.BALLOT: {
        "proposal_id": INTEGER, "voter": NAME, "choice": _one_of(BallotChoice),
        "forecast_percent": PERCENT, "reason_sha256": HASH,
    },
    EntryType.TALLY: {
        "proposal_id": INTEGER, "electorate": COUNT, "yes": COUNT, "no": COUNT, "abstain": COUNT,
        "is_closed": FLAG, "outcome": _one_of(TallyOutcome, TallyOutcome.OPEN),
    },
    EntryType.EXTENDED: {"proposal_id": INTEGER, "closes_at_us": INTEGER, "cause": _one_of(Swing)},
    EntryType.REVIEW_OPENED: {"proposal_id": INTEGER, "shown_sha256": HASH, "expires_at_us": INTEGER},
    EntryType.REVIEW_DECIDED: {
        "proposal_id": INTEGER, "shown_sha256": HASH, "decision": _one_of(ReviewState, ReviewState.PENDING),
        "reviewer": TEXT, "reason_sha256": HASH,
    },
    EntryType.WITHDRAWN: {"proposal_id": INTEGER},
    EntryType.EXPIRED: {"proposal_id": INTEGER},
    EntryType.EXPERIMENT_STARTED: {
        "experiment_id": INTEGER, "proposal_id": INTEGER, "parameter": NAME, "control": TEXT,
        "treatment": TEXT, "salt_commitment": HASH, "plan": OBJECT,
    },
    EntryType.VERDICT: {"experiment_id": INTEGER, "proposal_id": INTEGER, **_OUTCOME},
    EntryType.PROBATION_STARTED: {
        "experiment_id": INTEGER, "proposal_id": INTEGER, "salt_commitment": HASH, "plan": OBJECT,
    },
    EntryType.PLACEBO_STARTED: {"experiment_id": INTEGER, "salt_commitment": HASH, "plan": OBJECT},
    EntryType.PLACEBO_VERDICT: {"experiment_id": INTEGER, **_OUTCOME},
    EntryType.SHIFT_ACCEPTED: {
        "episode_id": INTEGER, "metric": NAME, "dimension": TEXT, "key": TEXT, "reason": TEXT,
    },
    EntryType.FROZEN: {"reason": NAME, "placebos": COUNT, "wins": COUNT, "e": DECIMAL},
    EntryType.UNFROZEN: {"reason": NAME},
    EntryType.EPOCH: {
        "epoch_id": INTEGER, "salt_commitment": HASH, "share": DECIMAL, "config": HASH,
        "previous_salt": TEXT,
    },
    EntryType.PROMOTED: {
        "experiment_id": INTEGER, "proposal_id": INTEGER, **_CHANGE, "version": INTEGER, "read_back": TEXT,
    },
    EntryType.CONFIRMED: {"experiment_id": INTEGER, "parameter": NAME},
    EntryType.ROLLED_BACK: {
        **_CHANGE, "reason": NAME, "version": INTEGER, "read_back": TEXT, "promoted_index": COUNT,
    },
    EntryType.REFUSED: {
        "proposal_id": OPTIONAL_INTEGER, "experiment_id": OPTIONAL_INTEGER, "parameter": NAME, "reason": NAME,
    },
    EntryType.STANDING: {"agent": NAME, "from": TEXT, "to": TEXT, "reason": TEXT},
    EntryType.OVERRIDE: {"act": NAME, "reason": NAME},
    EntryType.RECOVERED: {"episode_id": INTEGER, "numerator": INTEGER, "denominator": INTEGER},
    EntryType.LAP_CLOSED: {"outcome": NAME, "opened_at_us": INTEGER, "spent_microcredits": COUNT},
    EntryType.CORRECTION: {"corrects": COUNT, "reason": NAME},
    EntryType.ERASED: {"sha256": HASH, "kind": NAME, "reason": NAME},
    EntryType.FORMAT: {"format": COUNT},
}  # fmt: skip

LATER: Final[dict[int, dict[EntryType, dict[str, Kind]]]] = {
    2: {
        EntryType.PROPOSAL: {"scope": _one_of(ExperimentScope), "guardrails": GUARDRAILS, "cap_days": COUNT},
        EntryType.EXPERIMENT_STARTED: {
            "scope": _one_of(ExperimentScope), "window_us": COUNT, "stream_rule": _one_of(StreamRule),
            "stream_position": COUNT, "confirm_alpha": DECIMAL,
        },
        EntryType.VERDICT: {"leg": _one_of(Leg)},
    },
    3: {
        EntryType.GENESIS: {"declarations": OBJECT},
        EntryType.REGISTERED: {"declaration": OBJECT},
        EntryType.PROPOSAL: {
            "proposer_unit": NAME, "electorate_mode": _one_of(ElectorateMode),
            "electors": CONFIG, "conflicts": CONFIG,
            "rules": RULES, "risk": _one_of(Risk, Risk.FIXED),
        },
        EntryType.BALLOT: {"agent": NAME},
    },
}  # fmt: skip
"""Fields that entries of a format must have besides, by the format that brought them."""

_TYPES: Final = {kind.value: kind for kind in EntryType}


def read_envelope(raw: bytes) -> dict[str, Any]:
    """Return the seven envelope fields of one leaf, checked for shape; the payload is still unread.

    Raises EntryRefusedError when the bytes are not canonical JSON or a field is missing, unknown or of
    another kind.
    """
    try:
        envelope = parse_canonical(raw)
    except ValueError as error:
        raise EntryRefusedError(f"the bytes are not canonical JSON: {error}") from error
    if not isinstance(envelope, dict):
        raise EntryRefusedError("the entry is not a JSON object")
    check_fields("entry", envelope, _ENVELOPE)
    if len(envelope) != len(_ENVELOPE):
        surplus = sorted(set(envelope) - set(_ENVELOPE))
        raise EntryRefusedError(f"the entry has unknown fields: {', '.join(surplus)}")
    return envelope


def instant_of(envelope: Mapping[str, Any]) -> int:
    """Return the entry's time in UTC microseconds; EntryRefusedError for a date that does not exist."""
    try:
        return from_rfc3339(envelope["at"])
    except ValueError as error:
        raise EntryRefusedError(f"the time {envelope['at']} does not exist: {error}") from error


def read_entry(envelope: Mapping[str, Any]) -> Entry:
    """Return the entry of a checked envelope; EntryRefusedError when type or payload is not in the table."""
    kind = _TYPES.get(envelope["type"])
    if kind is None:
        raise EntryRefusedError(f"the type {envelope['type']!a} is unknown")
    check_payload(kind, envelope["payload"])
    return Entry(
        envelope["index"], instant_of(envelope), kind, envelope["actor"], envelope["lap"],
        envelope["previous_root"], envelope["payload"],
    )  # fmt: skip


def check_payload(kind: EntryType, payload: Mapping[str, Any]) -> None:
    """Raise EntryRefusedError unless `payload` has the fields of its type; further fields are let through."""
    check_fields(f"{kind} payload", payload, PAYLOADS[kind])
    if kind is EntryType.OVERRIDE and not payload.keys().isdisjoint(_CHANGE):
        check_fields("OVERRIDE payload", payload, _CHANGE)


def entry_bytes(entry: Entry) -> bytes:
    """Return the leaf bytes of an entry: what is stored, hashed and exported.

    Raises EntryRefusedError for a shape that `read_entry` would refuse, and TypeError or ValueError for a
    value without a canonical form.
    """
    check_payload(entry.type, entry.payload)
    envelope = {
        "index": entry.index, "at": to_rfc3339(entry.at_us), "type": entry.type.value, "actor": entry.actor,
        "lap": entry.lap, "previous_root": entry.previous_root, "payload": entry.payload,
    }  # fmt: skip
    check_fields("entry", envelope, _ENVELOPE)
    return canonical_bytes(envelope)


def check_fields(what: str, fields: Mapping[str, Any], table: Mapping[str, Kind]) -> None:
    """Raise EntryRefusedError for the first field of the table that is missing or of another kind."""
    for name, kind in table.items():
        if name not in fields:
            raise EntryRefusedError(f"the {what} lacks {name}")
        if not kind.holds(fields[name]):
            raise EntryRefusedError(f"{name} of the {what} is not {kind.summary}")
