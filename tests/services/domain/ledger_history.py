"""A small whole history of the ledger for its tests: every type of entry, and ways to tamper with it.

`HONEST` passes the audit: one change promoted, confirmed and rolled back by a person, one promoted and taken
back after probation, placebos, a freeze and its end, two epochs. `FIRST` is a history of the first format.
`rewritten`, `without` and `repeated` write the log anew with one lie in it, so that every hash fits and only
causality or an older checkpoint can tell.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from services.domain.assignment import commitment
from services.domain.canonical import canonical_bytes
from services.domain.hash_chain import Frontier, leaf_hash
from services.domain.ledger_audit import AuditReport, audit_ledger
from services.domain.ledger_causality import config_hash
from services.domain.ledger_schema import Entry, EntryType, entry_bytes
from services.domain.placebo import excess_evidence
from tests.services.domain.ledger_evidence import (
    ALARMS,
    BETS,
    FELL,
    FIRST_PLAN,
    HELD,
    PLAN,
    QUIET,
    SETTINGS,
    WON,
    WON_2,
    WON_FIRST,
    Bet,
    level_of,
    salt_of,
    sha,
)

__all__ = [
    "BEFORE",
    "CLOSES_US",
    "FIRST",
    "HONEST",
    "OTHER",
    "PARAMETER",
    "PLAN",
    "PROMOTED",
    "REGISTERED",
    "SECOND_US",
    "START_US",
    "TEXTS",
    "VOTERS",
    "Ledger",
    "Step",
    "assert_found",
    "ballot",
    "change",
    "first",
    "first_steps",
    "honest_steps",
    "placebo_steps",
    "probation_of",
    "repeated",
    "rewritten",
    "root_after",
    "second_lap",
    "sha",
    "started",
    "until",
    "verdict_of",
    "voted",
    "without",
    "write",
]

PARAMETER = "research_synthesis.timeout_seconds"
OTHER = "monte_carlo.timeout_seconds"
BEFORE = {PARAMETER: "0.9", **SETTINGS}
REGISTERED = {**BEFORE, OTHER: "5.0"}
PROMOTED = {**REGISTERED, PARAMETER: "1.8"}
BOTH = {**PROMOTED, OTHER: "7.0"}
START_US = 1_795_000_000_000_000
SECOND_US = 1_000_000
CLOSES_US = START_US + 3600 * SECOND_US
VOTERS = ["ada", "ben", "cyd", "dot", "eve", "fay"]
TEXTS = [b"a third of the tasks time out", b"the latency has a heavy tail", b"costs more"]
RULES = {"threshold_percent": 51, "minimum_ballots": 3}
SYSTEM = "system:learn"
LATER_PLAN = {"metric", "guardrails", "is_proof_required", "minimum_per_arm", "minimum_cycle_us"}
LATER_PLAN |= {"ramp_share", "ramp_tasks"}


class Step(NamedTuple):
    name: str
    type: EntryType
    payload: dict[str, Any]
    at_us: int = 0
    actor: str = SYSTEM


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


def change(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    (name,) = [key for key in after if before[key] != after[key]]
    return {
        "parameter": name, "from": before[name], "to": after[name],
        "config_before": config_hash(before), "config_after": config_hash(after),
    }  # fmt: skip


def ballot(voter: str, choice: str, text: bytes = TEXTS[1], proposal_id: int = 1) -> dict[str, Any]:
    return {
        "proposal_id": proposal_id, "voter": voter, "choice": choice, "forecast_percent": 80,
        "reason_sha256": sha(text),
    }  # fmt: skip


def proposal(number: int, parameter: str, before: str, after: str, voters: list[str]) -> dict[str, Any]:
    return {
        "proposal_id": number, "proposer": "doc", "parameter": parameter, "from": before, "to": after,
        "metric": "task_success", "expected_effect": "0.2", "cap_tasks": 400, "cap_days": 7,
        "content_hash": sha(b"content"),
        "evidence": [4, 8], "root_cause_sha256": sha(TEXTS[0]), "electorate": voters,
        "opens_at_us": START_US, "closes_at_us": CLOSES_US, "risk": "open", "scope": "task",
        "guardrails": [{"metric": "task_cost", "margin": "0.4", "ceiling": "100.0"}],
    }  # fmt: skip


def started(bet: Bet, control: str, treatment: str, parameter: str) -> dict[str, Any]:
    number = bet.experiment_id
    return {
        "experiment_id": number, "proposal_id": number, "parameter": parameter, "control": control,
        "treatment": treatment, "salt_commitment": bet.commitment, "plan": bet.plan.to_payload(),
        "scope": "task", "window_us": 0, "stream_rule": "lord", "stream_position": number,
        "confirm_alpha": repr(level_of(number)),
    }  # fmt: skip


def verdict_of(bet: Bet) -> dict[str, Any]:
    return {**bet.verdict(), "proposal_id": bet.experiment_id, "leg": str(bet.leg)}


def probation_of(bet: Bet) -> dict[str, Any]:
    ids = {"experiment_id": bet.experiment_id, "proposal_id": bet.experiment_id}
    return {**ids, "salt_commitment": bet.commitment, "plan": bet.plan.to_payload()}


def placebo_steps(bet: Bet) -> list[Step]:
    number = bet.experiment_id
    begun = {"experiment_id": number, "salt_commitment": bet.commitment, "plan": bet.plan.to_payload()}
    return [
        Step(f"placebo_{number}", EntryType.PLACEBO_STARTED, begun),
        Step(f"placebo_verdict_{number}", EntryType.PLACEBO_VERDICT, bet.verdict()),
    ]


def epoch(number: int, config: dict[str, str], previous_salt: str = "") -> dict[str, Any]:
    return {
        "epoch_id": number, "salt_commitment": commitment(salt_of(f"epoch {number}")), "share": "0.03",
        "config": config_hash(config), "previous_salt": previous_salt,
    }  # fmt: skip


def first_lap() -> list[Step]:
    """From the beginning to a change that was promoted and confirmed."""
    kind = EntryType
    counts = {"electorate": 6, "yes": 4, "no": 1, "abstain": 0}
    ids = {"experiment_id": 1, "proposal_id": 1}
    episode = {"episode_id": 3, "numerator": 65, "denominator": 100}
    seen = {"metric": "task_success", "dimension": "task_type", "key": "research_synthesis", "rule": "line"}
    hashes = {"config_before": config_hash(BEFORE), "config_after": config_hash(REGISTERED)}
    genesis = {"origin": "nacre.test/ledger", "config": BEFORE, "rules": RULES, "format": 2}
    return [
        Step("genesis", kind.GENESIS, genesis),
        Step("registered", kind.REGISTERED, {"parameter": OTHER, "value": "5.0", **hashes}),
        Step("anomaly", kind.ANOMALY, {**episode, **seen}),
        Step("standing", kind.STANDING, {"agent": "ada", "from": "full", "to": "shadow", "reason": "old"}),
        Step("proposal", kind.PROPOSAL, proposal(1, PARAMETER, "0.9", "1.8", VOTERS)),
        Step("ballot_ada", kind.BALLOT, ballot("ada", "for")),
        Step("ballot_ben", kind.BALLOT, ballot("ben", "for", b"")),
        Step("ballot_cyd", kind.BALLOT, ballot("cyd", "against", TEXTS[2])),
        Step("ballot_dot", kind.BALLOT, ballot("dot", "for")),
        Step("ballot_eve", kind.BALLOT, ballot("eve", "for")),
        Step("tally", kind.TALLY, {"proposal_id": 1, **counts, "is_closed": False, "outcome": "passed"}),
        Step("started", kind.EXPERIMENT_STARTED, started(WON, "0.9", "1.8", PARAMETER)),
        Step("correction", kind.CORRECTION, {"corrects": 3, "reason": "Zoë's \u201crecord\u201d was older"}),
        Step("verdict", kind.VERDICT, verdict_of(WON)),
        Step("promoted", kind.PROMOTED,
             {**ids, **change(REGISTERED, PROMOTED), "version": 2, "read_back": "1.8"}),
        Step("probation", kind.PROBATION_STARTED, probation_of(HELD)),
        Step("recovered", kind.RECOVERED, {**episode, "numerator": 94}),
        Step("held", kind.VERDICT, verdict_of(HELD)),
        Step("confirmed", kind.CONFIRMED, {"experiment_id": 1, "parameter": PARAMETER}),
    ]  # fmt: skip


def voted(number: int, parameter: str, before: str, after: str) -> list[Step]:
    """A proposal that three electors pass."""
    kind = EntryType
    counts = {"electorate": 3, "yes": 3, "no": 0, "abstain": 0, "is_closed": True, "outcome": "passed"}
    return [
        Step(f"proposal_{number}", kind.PROPOSAL, proposal(number, parameter, before, after, VOTERS[:3])),
        *[
            Step(f"ballot_{number}_{name}", kind.BALLOT, ballot(name, "for", proposal_id=number))
            for name in VOTERS[:3]
        ],
        Step(f"tally_{number}", kind.TALLY, {"proposal_id": number, **counts}),
    ]


def second_lap() -> list[Step]:
    """A second change, promoted and taken back by the platform after a lost probation."""
    kind = EntryType
    ids = {"experiment_id": 2, "proposal_id": 2}
    undone = {"reason": "harm shown", "version": 3, "read_back": "5.0", "promoted_index": 0}
    return [
        *voted(2, OTHER, "5.0", "7.0"),
        Step("started_2", kind.EXPERIMENT_STARTED, started(WON_2, "5.0", "7.0", OTHER)),
        Step("verdict_2", kind.VERDICT, verdict_of(WON_2)),
        Step("promoted_2", kind.PROMOTED,
             {**ids, **change(PROMOTED, BOTH), "version": 2, "read_back": "7.0"}),
        Step("probation_2", kind.PROBATION_STARTED, probation_of(FELL)),
        Step("fell", kind.VERDICT, verdict_of(FELL)),
        Step("taken_back", kind.ROLLED_BACK, {**change(BOTH, PROMOTED), **undone}),
    ]  # fmt: skip


def honest_steps() -> list[Step]:
    kind = EntryType
    undone = {"reason": "by hand", "version": 3, "read_back": "0.9", "promoted_index": 0}
    alarm = {"reason": "3 of 4 placebos won", "placebos": 4, "wins": 3,
             "e": repr(excess_evidence(3, 4, 0.05))}  # fmt: skip
    renewed = {"act": "renew_holdout", "reason": "a quarter is over"}
    steps = [
        *first_lap(),
        Step("epoch", kind.EPOCH, epoch(1, PROMOTED)),
        *placebo_steps(QUIET),
        *second_lap(),
        Step("rolled_back", kind.ROLLED_BACK, {**change(PROMOTED, REGISTERED), **undone}, actor="operator"),
        *[step for bet in ALARMS for step in placebo_steps(bet)],
        Step("frozen", kind.FROZEN, alarm),
        Step("unfrozen", kind.UNFROZEN, {"reason": "the verifier was mended"}, actor="operator"),
        Step("renewed", kind.OVERRIDE, renewed, actor="operator"),
        Step("epoch_2", kind.EPOCH, epoch(2, REGISTERED, salt_of("epoch 1")), actor="operator"),
        Step("override", kind.OVERRIDE,
             {**change(REGISTERED, REGISTERED | {OTHER: "6.0"}), "act": "set", "reason": "by hand"},
             actor="operator"),
        Step("refused", kind.REFUSED,
             {"proposal_id": 3, "experiment_id": None, "parameter": "voting.threshold", "reason": "FIXED"}),
    ]  # fmt: skip
    names = [step.name for step in steps]
    for undoing, promoting in (("taken_back", "promoted_2"), ("rolled_back", "promoted")):
        steps[names.index(undoing)].payload["promoted_index"] = names.index(promoting)
    return steps


def until(name: str) -> list[Step]:
    """The honest steps before the named one."""
    steps = honest_steps()
    return steps[: [step.name for step in steps].index(name)]


def write(steps: Iterable[Step]) -> Ledger:
    leaves: list[bytes] = []
    frontier = Frontier()
    for index, step in enumerate(steps):
        at_us = step.at_us or START_US + index * SECOND_US
        root_hex = frontier.root().hex()
        leaf = entry_bytes(Entry(index, at_us, step.type, step.actor, 1, root_hex, step.payload))
        leaves.append(leaf)
        frontier = frontier.append(leaf_hash(leaf))
    blobs = [*TEXTS, *[bet.blob for bet in BETS]]
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


def first_steps() -> list[Step]:
    """A history as the first format wrote it: no stream, no legs, records of six columns, no probation."""
    later = {
        "proposal": ("scope", "guardrails", "cap_days"), "verdict": ("leg",), "genesis": ("format",),
        "started": ("scope", "window_us", "stream_rule", "stream_position", "confirm_alpha"),
    }  # fmt: skip
    steps = [step for step in first_lap() if step.name not in ("probation", "held")]
    for place, step in enumerate(steps):
        payload = {key: value for key, value in step.payload.items() if key not in later.get(step.name, ())}
        if step.name == "started":
            plan = FIRST_PLAN.to_payload()
            payload |= {"plan": {key: value for key, value in plan.items() if key not in LATER_PLAN}}
        if step.name == "verdict":
            payload |= {**WON_FIRST.verdict(), "records_sha256": sha(FIRST_BLOB)}
        steps[place] = step._replace(payload=payload)
    undone = {"reason": "by hand", "version": 3, "read_back": "0.9", "promoted_index": 14}
    taken_back = {**change(PROMOTED, REGISTERED), **undone}
    return [*steps, Step("rolled_back", EntryType.ROLLED_BACK, taken_back)]


def first(name: str = "genesis", **edit: Any) -> Ledger:
    """The history of the first format, with fields of one payload changed."""
    steps = [
        step._replace(payload={**step.payload, **edit}) if step.name == name else step
        for step in first_steps()
    ]
    ledger = write(steps)
    return ledger._replace(blobs={**ledger.blobs, sha(FIRST_BLOB): FIRST_BLOB})


FIRST_ROWS = [
    [record.ordinal, record.unit, record.arm, repr(record.share), repr(record.outcome), record.stratum]
    for record in WON_FIRST.records
]
FIRST_BLOB = canonical_bytes({"experiment_id": 1, "records": FIRST_ROWS})
FIRST = first()
