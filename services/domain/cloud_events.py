"""Events in the words of CloudEvents 1.0 (structured JSON), and which of them agents may read.

Stands between the outbox and whoever reads events outside: the feed of the API and the webhooks. What
agents may read is named member by member, so that a new event, or a new fact in one, is the operator's until
somebody has decided otherwise. It never reads or sends anything.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.domain.clock import to_rfc3339
from services.domain.events import EventType

SPECVERSION: Final = "1.0"
EVENT_MEDIA_TYPE: Final = "application/cloudevents+json"
BATCH_MEDIA_TYPE: Final = "application/cloudevents-batch+json"
PREFIX: Final = "nacre."
PING: Final = "nacre.ping"
"""The type of the event that an operator sends to try a webhook; it stands in no outbox."""
EVERY_TYPE: Final = "*"
LISTED_IN: Final = "docs/events.md lists every type, such as nacre.task.ended"
LIKE: Final = 0.6
"""Least likeness (difflib's ratio) of a name to one that is offered instead."""

_WORD: Final = re.compile(r"[A-Z][a-z0-9]*")

JsonObject = dict[str, Any]


def type_name(kind: str) -> str:
    """Return the public name of an event type: `TaskEnded` is `nacre.task.ended`.

    The first word is the noun; the others, joined by `_`, say what happened to it: `nacre.episode.given_up`.
    """
    noun, *happened = _WORD.findall(kind)
    return PREFIX + ".".join([noun, "_".join(happened)]).lower()


TYPE_NAMES: Final[Mapping[str, EventType]] = {type_name(kind): kind for kind in EventType}
"""Every public name, and the event type that it means."""

_IDS: Final = frozenset(
    {"task_id", "episode_id", "proposal_id", "experiment_id", "meta_task_id", "ledger_index"}
)
_COUNTS: Final = frozenset({"numerator", "denominator"})
_END: Final = frozenset({"kind", "type", "state", "end_reason"})
_CHANGE: Final = frozenset({"parameter", "from", "to", "reason", "state"})
_SERIES: Final = frozenset({"metric", "dimension", "key", "window_end_us", "window_start_us"})

FOR_AGENTS: Final[Mapping[EventType, frozenset[str]]] = {
    EventType.SNAPSHOT_TAKEN: _SERIES,
    EventType.ANOMALY_DETECTED: _IDS | _SERIES,
    EventType.ANOMALY_RECOVERED: _IDS | _COUNTS,
    EventType.EPISODE_GIVEN_UP: _IDS,
    EventType.SHIFT_ACCEPTED: _IDS,
    EventType.INVESTIGATION_POSTED: _IDS,
    EventType.INVESTIGATION_CLOSED: _IDS | {"is_supported", "reason"},
    EventType.TASK_AWARDED: _IDS | {"agent_id", "attempt_number"},
    EventType.TASK_ENDED: _IDS | _END,
    EventType.INVESTIGATION_ENDED: _IDS | _END,
    EventType.PROPOSAL_FILED: _IDS,
    EventType.BALLOT_CAST: _IDS,
    EventType.PROPOSAL_PASSED: _IDS,
    EventType.PROPOSAL_CLOSED: _IDS | {"state"},
    EventType.EXPERIMENT_STARTED: _IDS,
    EventType.EXPERIMENT_CONCLUDED: _IDS | {"verdict", "leg"},
    EventType.VERDICT_RECORDED: _IDS | {"verdict", "leg"},
    EventType.PARAMETER_PROMOTED: _IDS | _CHANGE,
    EventType.PROBATION_STARTED: _IDS,
    EventType.CHANGE_CONFIRMED: _IDS | _CHANGE,
    EventType.CHANGE_REFUSED: _IDS | _CHANGE,
    EventType.PARAMETER_ROLLED_BACK: _IDS | _CHANGE,
}
"""The event types that agents may read, each with the facts they may read of it.

Not theirs: the fencing token of a result that waits for verification, what a check of correctness asked and
expected, that counting stopped, and how placebos stand. No event carries a bid, an arm or a salt.
"""


def cloud_event(event: Mapping[str, Any], source: str, *, is_for_operator: bool = True) -> JsonObject:
    """Return an event of the outbox (`id`, `type`, `aggregate`, `payload`, `actor`, `lap_id`,
    `published_at_us`) as a CloudEvent; `source` is the deployment's origin.

    For others than the operator only the facts that agents may read are in `data`. `lapid` is text, because
    an Integer of CloudEvents has 32 bits; it is left out where the event belongs to no lap.
    """
    kind = event["type"]
    seen = FOR_AGENTS.get(kind, frozenset())
    data = {name: fact for name, fact in event["payload"].items() if is_for_operator or name in seen}
    lap = {} if event["lap_id"] is None else {"lapid": str(event["lap_id"])}
    return {
        "specversion": SPECVERSION,
        "id": str(event["id"]),
        "source": source,
        "type": type_name(kind),
        "subject": event["aggregate"],
        "time": to_rfc3339(event["published_at_us"]),
        "datacontenttype": "application/json",
        "actor": event["actor"],
        **lap,
        "data": data,
    }


def ping_event(webhook_id: int, number: int, *, source: str, actor: str, at_us: int) -> JsonObject:
    """Return the event that tries a webhook; `number` tells one such event of a webhook from the next."""
    return {
        "specversion": SPECVERSION,
        "id": f"ping-{webhook_id}-{number}",
        "source": source,
        "type": PING,
        "subject": f"webhook:{webhook_id}",
        "time": to_rfc3339(at_us),
        "datacontenttype": "application/json",
        "actor": actor,
        "data": {"webhook_id": webhook_id},
    }


def encoded(event: JsonObject | list[JsonObject]) -> str:
    """Return one event, or a batch, as JSON text without blanks; ValueError for NaN and infinity."""
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def unknown_types(names: Iterable[str]) -> dict[str, str]:
    """Return the names that mean no event type, each with the nearest that does ("" for none)."""
    unknown = [name for name in names if name != EVERY_TYPE and name not in TYPE_NAMES]
    return {name: next(iter(_nearest(name)), "") for name in unknown}


def type_hint(name: str) -> str:
    """Return what to say of a name that means no event type: the near ones, and where all of them stand."""
    if name == PING:
        return "a ping is sent by the test of a webhook alone, and cannot be asked for"
    near = " or ".join(map(repr, _nearest(name)))
    return f"did you mean {near}? {LISTED_IN}" if near else LISTED_IN


def _nearest(name: str) -> list[str]:
    """Return up to three types, nearest first, that share most of their letters with a name."""
    plain = {_letters(known): known for known in TYPE_NAMES}
    near = [] if name == PING else difflib.get_close_matches(_letters(name)[:80], plain, n=3, cutoff=LIKE)
    return [plain[letters] for letters in near]


def _letters(name: str) -> str:
    """Return the letters of a name in lower case, without the prefix that all types share."""
    return "".join(one for one in name.lower().removeprefix(PREFIX) if one.isalnum())
