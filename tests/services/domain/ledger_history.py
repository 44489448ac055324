"""A small whole history of the ledger for its tests: every type of entry once, and ways to tamper with it.

`HONEST` passes the audit. `rewritten`, `without` and `repeated` write the log anew with one lie in it, so
that every hash fits and only causality or an older checkpoint can tell.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from services.domain.assignment import arm_of, commitment
from services.domain.hash_chain import Frontier, leaf_hash
from services.domain.ledger_audit import AuditReport, audit_ledger
from services.domain.ledger_causality import config_hash
from services.domain.ledger_records import outcome_fields, records_bytes
from services.domain.ledger_schema import Entry, EntryType, entry_bytes
from services.domain.sequential import BetPlan, Record, replay

PARAMETER = "research_synthesis.timeout_seconds"
OTHER = "monte_carlo.timeout_seconds"
BEFORE = {PARAMETER: "0.9"}
REGISTERED = {PARAMETER: "0.9", OTHER: "5.0"}
PROMOTED = {PARAMETER: "1.8", OTHER: "5.0"}
SALT = "5a" * 16
PLAN = BetPlan(effect=0.2, cap_tasks=400, base_rate=0.67)
START_US = 1_795_000_000_000_000
SECOND_US = 1_000_000
CLOSES_US = START_US + 3600 * SECOND_US
VOTERS = ["ada", "ben", "cyd", "dot", "eve", "fay"]


class Step(NamedTuple):
    name: str
    type: EntryType
    payload: dict[str, Any]
    at_us: int = 0


class Ledger(NamedTuple):
    leaves: list[bytes]
    blobs: dict[str, bytes]
    names: list[str]

    @property
    def root(self) -> bytes:
        return root_after(self.leaves)

    def index(self, name: str) -> int:
        return self.names.index(name)

    def audit(self, **options: Any) -> AuditReport:
        options.setdefault("claimed", (len(self.leaves), self.root))
        return audit_ledger(options.pop("leaves", self.leaves), self.blobs, **options)


def root_after(leaves: Iterable[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf_hash(leaf))
    return frontier.root()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_records(rates: tuple[float, float], tasks: int = 400, seed: int = 7) -> list[Record]:
    source = random.Random(seed)
    units = [f"task:{number}" for number in range(tasks)]
    arms = [arm_of(SALT, unit, 0.5) for unit in units]
    return [
        Record(number, unit, arm, 0.5, float(source.random() < rates[arm]), "research_synthesis")
        for number, (unit, arm) in enumerate(zip(units, arms, strict=True))
    ]


def until_decided(rates: tuple[float, float]) -> list[Record]:
    records = make_records(rates)
    return records[: replay(PLAN, records).state.next_ordinal]


WIN_RECORDS = until_decided((0.6, 0.97))
LOSS_RECORDS = until_decided((0.95, 0.3))
TEXTS = [b"a third of the tasks time out", b"the latency has a heavy tail", b"costs more"]


def verdict_payload(records: list[Record], experiment_id: int = 1) -> dict[str, Any]:
    result = replay(PLAN, records)
    return {
        "experiment_id": experiment_id, "proposal_id": 1, "verdict": str(result.decision.verdict),
        "reason": result.decision.reason, **outcome_fields(result), "estimate": "0.27", "lower": "0.05",
        "upper": "0.5", "salt": SALT, "records_sha256": sha(records_bytes(experiment_id, records)),
    }  # fmt: skip


def change(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    (name,) = [key for key in after if before[key] != after[key]]
    return {
        "parameter": name, "from": before[name], "to": after[name],
        "config_before": config_hash(before), "config_after": config_hash(after),
    }  # fmt: skip


def ballot(voter: str, choice: str, text: bytes = TEXTS[1]) -> dict[str, Any]:
    return {
        "proposal_id": 1, "voter": voter, "choice": choice, "forecast_percent": 80,
        "reason_sha256": sha(text),
    }  # fmt: skip


def honest_steps() -> list[Step]:
    kind = EntryType
    counts = {"electorate": 6, "yes": 4, "no": 1, "abstain": 0}
    ids = {"experiment_id": 1, "proposal_id": 1}
    tested = {"parameter": PARAMETER, "control": "0.9", "treatment": "1.8"}
    episode = {"episode_id": 3, "numerator": 65, "denominator": 100}
    seen = {"metric": "task_success", "dimension": "task_type", "key": "research_synthesis", "rule": "line"}
    rules = {"threshold_percent": 51, "minimum_ballots": 3}
    hashes = {"config_before": config_hash(BEFORE), "config_after": config_hash(REGISTERED)}
    proposal = {
        "proposal_id": 1, "proposer": "doc", "parameter": PARAMETER, "from": "0.9", "to": "1.8",
        "metric": "task_success", "expected_effect": "0.2", "cap_tasks": 400, "content_hash": sha(b"content"),
        "evidence": [4, 8], "root_cause_sha256": sha(TEXTS[0]), "electorate": VOTERS,
        "opens_at_us": START_US, "closes_at_us": CLOSES_US, "risk": "open",
    }  # fmt: skip
    rolled_back = {"reason": "harm shown", "version": 3, "read_back": "0.9", "promoted_index": 14}
    return [
        Step("genesis", kind.GENESIS, {"origin": "nacre.test/ledger", "config": BEFORE, "rules": rules}),
        Step("registered", kind.REGISTERED, {"parameter": OTHER, "value": "5.0", **hashes}),
        Step("anomaly", kind.ANOMALY, {**episode, **seen}),
        Step("standing", kind.STANDING, {"agent": "ada", "from": "full", "to": "shadow", "reason": "old"}),
        Step("proposal", kind.PROPOSAL, proposal),
        Step("ballot_ada", kind.BALLOT, ballot("ada", "for")),
        Step("ballot_ben", kind.BALLOT, ballot("ben", "for", b"")),
        Step("ballot_cyd", kind.BALLOT, ballot("cyd", "against", TEXTS[2])),
        Step("ballot_dot", kind.BALLOT, ballot("dot", "for")),
        Step("ballot_eve", kind.BALLOT, ballot("eve", "for")),
        Step("tally", kind.TALLY, {"proposal_id": 1, **counts, "is_closed": False, "outcome": "passed"}),
        Step("started", kind.EXPERIMENT_STARTED,
             {**ids, **tested, "salt_commitment": commitment(SALT), "plan": PLAN.to_payload()}),
        Step("correction", kind.CORRECTION, {"corrects": 3, "reason": "Zoë's \u201crecord\u201d was older"}),
        Step("verdict", kind.VERDICT, verdict_payload(WIN_RECORDS)),
        Step("promoted", kind.PROMOTED,
             {**ids, **change(REGISTERED, PROMOTED), "version": 2, "read_back": "1.8"}),
        Step("recovered", kind.RECOVERED, {**episode, "numerator": 94}),
        Step("confirmed", kind.CONFIRMED, {"experiment_id": 1, "parameter": PARAMETER}),
        Step("rolled_back", kind.ROLLED_BACK, {**change(PROMOTED, REGISTERED), **rolled_back}),
        Step("override", kind.OVERRIDE,
             {**change(REGISTERED, REGISTERED | {OTHER: "6.0"}), "act": "set", "reason": "by hand"}),
        Step("refused", kind.REFUSED,
             {"proposal_id": 2, "experiment_id": None, "parameter": "voting.threshold", "reason": "FIXED"}),
    ]  # fmt: skip


def write(steps: Iterable[Step]) -> Ledger:
    leaves: list[bytes] = []
    frontier = Frontier()
    for index, step in enumerate(steps):
        at_us = step.at_us or START_US + index * SECOND_US
        root_hex = frontier.root().hex()
        leaf = entry_bytes(Entry(index, at_us, step.type, "platform", 1, root_hex, step.payload))
        leaves.append(leaf)
        frontier = frontier.append(leaf_hash(leaf))
    blobs = [*TEXTS, records_bytes(1, WIN_RECORDS), records_bytes(1, LOSS_RECORDS)]
    return Ledger(leaves, {sha(blob): blob for blob in blobs}, [step.name for step in steps])


HONEST = write(honest_steps())


def rewritten(
    name: str, edit: Callable[[dict[str, Any]], dict[str, Any]] | dict[str, Any], **fields: Any
) -> Ledger:
    """The whole log written anew with one payload changed, so that every hash fits."""
    steps = honest_steps()
    place = HONEST.index(name)
    payload = steps[place].payload
    changed = edit(payload) if callable(edit) else {**payload, **edit}
    steps[place] = steps[place]._replace(payload=changed, **fields)
    return write(steps)


def without(*names: str) -> Ledger:
    return write([step for step in honest_steps() if step.name not in names])


def repeated(name: str, **payload: Any) -> Ledger:
    """The log with the named entry a second time, right after the first."""
    steps = honest_steps()
    place = HONEST.index(name)
    again = steps[place]._replace(name="again", payload={**steps[place].payload, **payload})
    return write([*steps[: place + 1], again, *steps[place + 1 :]])


def assert_found(report: AuditReport, index: int, reason: str) -> None:
    assert (report.first_error_index, report.ok) == (index, False), report.reason
    assert re.search(reason, report.reason), report.reason
