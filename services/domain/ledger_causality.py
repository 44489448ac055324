"""What may follow what in the ledger: the fold of all entries, refusing the first that has no cause.

Stands under the audit, and says of each entry whether the entries before it allow it: every promotion has a
passed vote that re-tallies and an experiment that recomputes. Config = fold(ledger). It never looks at
hashes of entries, and it never repairs.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.domain.canonical import digest_hex
from services.domain.ledger_records import check_verdict
from services.domain.ledger_schema import Entry, EntryType
from services.domain.sequential import BetPlan, Verdict
from services.domain.states import BallotChoice, ProposalState
from services.domain.tally import TallyOutcome, tally

EMPTY_BLOB_SHA256: Final = hashlib.sha256(b"").hexdigest()  # "no text": needs no blob

_AFTER_TALLY: Final = {
    TallyOutcome.PASSED: ProposalState.PASSED,
    TallyOutcome.REJECTED: ProposalState.REJECTED,
    TallyOutcome.INQUORATE: ProposalState.INQUORATE,
}


class CausalityError(ValueError):
    """An entry that the entries before it do not allow; the message is one sentence without the index."""


def config_hash(config: Mapping[str, str]) -> str:
    """Return the SHA-256 hex of the canonical JSON of a {parameter: value} map."""
    return digest_hex(dict(config))


@dataclass(slots=True)
class _Proposal:
    parameter: str
    treatment: str
    electorate: frozenset[str]
    opens_at_us: int
    closes_at_us: int
    state: ProposalState = ProposalState.OPEN
    ballots: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Experiment:
    proposal_id: int
    parameter: str
    control: str
    treatment: str
    salt_commitment: str
    plan: BetPlan
    verdict: Verdict | None = None
    promoted_index: int | None = None
    is_refused: bool = False
    is_confirmed: bool = False


@dataclass(slots=True)
class _Promotion:
    parameter: str
    before: str
    after: str
    is_rolled_back: bool = False


class History:
    """The state that a sequence of entries amounts to; `accept` moves it on by one entry or refuses."""

    def __init__(self, blobs: Mapping[str, bytes], *, allow_erased: bool = False) -> None:
        """Take blobs by SHA-256 hex; with `allow_erased` only an experiment's records must be among them."""
        self.blobs = blobs
        self.allow_erased = allow_erased
        self.config: dict[str, str] = {}
        self.config_sha256 = config_hash({})
        self.threshold_percent = 0
        self.minimum_ballots = 0
        self.open_episodes: set[int] = set()
        self.proposals: dict[int, _Proposal] = {}
        self.experiments: dict[int, _Experiment] = {}
        self.promotions: dict[int, _Promotion] = {}
        self.running: dict[str, int] = {}

    def accept(self, entry: Entry) -> None:
        """Fold one well-formed entry; raise CausalityError or EvidenceRefusedError when it has no cause."""
        _require((entry.index == 0) == (entry.type is EntryType.GENESIS), "GENESIS is entry 0 and no other")
        _ACTS[entry.type](self, entry)

    def check_blob(self, name: str, sha256: str) -> None:
        """Raise CausalityError unless the blob is there and is what its name says (or may be erased)."""
        if sha256 == EMPTY_BLOB_SHA256:
            return
        blob = self.blobs.get(sha256)
        if blob is None:
            _require(self.allow_erased, f"the blob of {name} ({sha256[:12]}…) is missing")
        elif hashlib.sha256(blob).hexdigest() != sha256:
            raise CausalityError(f"the blob of {name} ({sha256[:12]}…) does not hash to its name")

    def change_config(
        self, payload: Mapping[str, Any], parameter: str, before: str | None, after: str
    ) -> None:
        """Set one value; the entry's hashes of the whole config before and after must be the fold's."""
        _require(
            payload["config_before"] == self.config_sha256,
            "config_before is not the hash of the config that the entries before add up to",
        )
        in_force = self.config.get(parameter)
        if before is None:
            _require(in_force is None, f"{parameter} is already registered")
        else:
            _require(in_force is not None, f"{parameter} is not a registered parameter")
            _require(in_force == before, f"{parameter} is {in_force!a} in the config, not {before!a}")
        changed = {**self.config, parameter: after}
        changed_sha256 = config_hash(changed)
        _require(
            payload["config_after"] == changed_sha256,
            "config_after is not the hash of the config with this change",
        )
        self.config, self.config_sha256 = changed, changed_sha256

    def proposal_in(self, proposal_id: int, state: ProposalState) -> _Proposal:
        """Return the proposal; CausalityError when it is unknown or in another state."""
        proposal = self.proposals.get(proposal_id)
        if proposal is None:
            raise CausalityError(f"proposal {proposal_id} is unknown")
        _require(proposal.state is state, f"proposal {proposal_id} is {proposal.state}, not {state}")
        return proposal

    def experiment_of(self, payload: Mapping[str, Any]) -> _Experiment:
        """Return the entry's experiment; CausalityError when it is unknown or of another proposal."""
        experiment = self.experiments.get(payload["experiment_id"])
        if experiment is None:
            raise CausalityError(f"experiment {payload['experiment_id']} is unknown")
        proposal_id = payload.get("proposal_id", experiment.proposal_id)
        _require(
            proposal_id == experiment.proposal_id,
            f"experiment {payload['experiment_id']} belongs to proposal {experiment.proposal_id}",
        )
        _require(
            payload.get("parameter", experiment.parameter) == experiment.parameter,
            f"experiment {payload['experiment_id']} tested {experiment.parameter}",
        )
        return experiment


def _require(holds: bool, reason: str) -> None:  # noqa: FBT001  a condition is what it checks
    if not holds:
        raise CausalityError(reason)


def _genesis(history: History, entry: Entry) -> None:
    rules = entry.payload["rules"]
    history.config = dict(entry.payload["config"])
    history.config_sha256 = config_hash(history.config)
    history.threshold_percent = rules["threshold_percent"]
    history.minimum_ballots = rules["minimum_ballots"]


def _registered(history: History, entry: Entry) -> None:
    history.change_config(entry.payload, entry.payload["parameter"], None, entry.payload["value"])


def _anomaly(history: History, entry: Entry) -> None:
    history.open_episodes.add(entry.payload["episode_id"])


def _recovered(history: History, entry: Entry) -> None:
    episode_id = entry.payload["episode_id"]
    _require(episode_id in history.open_episodes, f"no anomaly opened episode {episode_id}")
    history.open_episodes.remove(episode_id)


def _proposal(history: History, entry: Entry) -> None:
    payload = entry.payload
    proposal_id, parameter, electors = payload["proposal_id"], payload["parameter"], payload["electorate"]
    _require(proposal_id not in history.proposals, f"proposal {proposal_id} was already filed")
    _require(parameter in history.config, f"{parameter} is not a registered parameter")
    _require(
        history.config[parameter] == payload["from"],
        f"{parameter} is {history.config[parameter]!a} in the config, not {payload['from']!a}",
    )
    _require(len(set(electors)) == len(electors), "the electorate names an elector twice")
    _require(payload["proposer"] not in electors, "the proposer is in the electorate of its own proposal")
    _require(payload["opens_at_us"] < payload["closes_at_us"], "the vote closes before it opens")
    history.check_blob("root_cause_sha256", payload["root_cause_sha256"])
    history.proposals[proposal_id] = _Proposal(
        parameter, payload["to"], frozenset(electors), payload["opens_at_us"], payload["closes_at_us"]
    )


def _ballot(history: History, entry: Entry) -> None:
    payload = entry.payload
    voter, choice = payload["voter"], payload["choice"]
    proposal = history.proposal_in(payload["proposal_id"], ProposalState.OPEN)
    _require(voter in proposal.electorate, f"{voter!a} is not in the frozen electorate")
    _require(voter not in proposal.ballots, f"{voter!a} has already voted")
    _require(proposal.opens_at_us <= entry.at_us, "the ballot was cast before the vote opened")
    _require(entry.at_us < proposal.closes_at_us, "the ballot was cast after the vote closed")
    if choice == BallotChoice.AGAINST:
        _require(payload["reason_sha256"] != EMPTY_BLOB_SHA256, "a ballot against needs a reason")
    history.check_blob("reason_sha256", payload["reason_sha256"])
    proposal.ballots[voter] = choice


def _tally(history: History, entry: Entry) -> None:
    payload = entry.payload
    proposal = history.proposal_in(payload["proposal_id"], ProposalState.OPEN)
    cast = list(proposal.ballots.values())
    counts = {
        "electorate": len(proposal.electorate),
        "yes": cast.count(BallotChoice.FOR),
        "no": cast.count(BallotChoice.AGAINST),
        "abstain": cast.count(BallotChoice.ABSTAIN),
    }
    for name, counted in counts.items():
        _require(payload[name] == counted, f"the tally says {name} {payload[name]}, the ballots {counted}")
    is_over = entry.at_us >= proposal.closes_at_us or len(cast) == len(proposal.electorate)
    _require(is_over or not payload["is_closed"], "the tally calls the vote closed before its deadline")
    _require(
        payload["is_closed"] or entry.at_us < proposal.closes_at_us,
        "the tally calls the vote open after its deadline",
    )
    outcome = tally(
        electorate=counts["electorate"],
        yes=counts["yes"],
        no=counts["no"],
        abstain=counts["abstain"],
        is_closed=payload["is_closed"],
        threshold_percent=history.threshold_percent,
        minimum_ballots=history.minimum_ballots,
    )
    _require(payload["outcome"] == outcome, f"the tally says {payload['outcome']}, the rule says {outcome}")
    proposal.state = _AFTER_TALLY[outcome]


def _withdrawn(history: History, entry: Entry) -> None:
    proposal = history.proposal_in(entry.payload["proposal_id"], ProposalState.OPEN)
    _require(not proposal.ballots, "a proposal can be withdrawn only before the first ballot")
    proposal.state = ProposalState.WITHDRAWN


def _expired(history: History, entry: Entry) -> None:
    history.proposal_in(entry.payload["proposal_id"], ProposalState.PASSED).state = ProposalState.EXPIRED


def _experiment_started(history: History, entry: Entry) -> None:
    payload = entry.payload
    experiment_id, parameter = payload["experiment_id"], payload["parameter"]
    _require(experiment_id not in history.experiments, f"experiment {experiment_id} was already started")
    proposal = history.proposal_in(payload["proposal_id"], ProposalState.PASSED)
    _require(parameter == proposal.parameter, f"the proposal was about {proposal.parameter}")
    in_force = history.config[parameter]
    _require(payload["control"] == in_force, f"control is not the value in force, {in_force!a}")
    _require(payload["treatment"] == proposal.treatment, "treatment is not the value that was voted on")
    _require(parameter not in history.running, f"an experiment on {parameter} is already running")
    try:
        plan = BetPlan.from_payload(payload["plan"])
    except (TypeError, ValueError) as error:
        raise CausalityError(f"the plan cannot be bet on: {error}") from error
    history.experiments[experiment_id] = _Experiment(
        payload["proposal_id"], parameter, in_force, proposal.treatment, payload["salt_commitment"], plan
    )
    history.running[parameter] = experiment_id
    proposal.state = ProposalState.TESTING


def _verdict(history: History, entry: Entry) -> None:
    payload = entry.payload
    experiment = history.experiment_of(payload)
    _require(experiment.verdict is None, f"experiment {payload['experiment_id']} already has its verdict")
    blob = history.blobs.get(payload["records_sha256"])
    if blob is None:
        raise CausalityError(f"the records blob ({payload['records_sha256'][:12]}…) is missing")
    check_verdict(
        experiment_id=payload["experiment_id"],
        plan=experiment.plan,
        salt_commitment=experiment.salt_commitment,
        payload=payload,
        blob=blob,
    )
    experiment.verdict = Verdict(payload["verdict"])
    del history.running[experiment.parameter]


def _promoted(history: History, entry: Entry) -> None:
    payload = entry.payload
    experiment = history.experiment_of(payload)
    _require(
        experiment.verdict is Verdict.WIN,
        f"experiment {payload['experiment_id']} has {experiment.verdict or 'no verdict'}, not a win",
    )
    _require(experiment.promoted_index is None, "the experiment was already promoted")
    _require(not experiment.is_refused, "the experiment's change was already refused")
    _require(payload["from"] == experiment.control, "from is not the control that was tested")
    _require(payload["to"] == experiment.treatment, "to is not the treatment that was tested")
    _require(payload["read_back"] == payload["to"], "the value read back is not the value promoted")
    history.change_config(payload, payload["parameter"], payload["from"], payload["to"])
    experiment.promoted_index = entry.index
    history.promotions[entry.index] = _Promotion(payload["parameter"], payload["from"], payload["to"])


def _confirmed(history: History, entry: Entry) -> None:
    experiment = history.experiment_of(entry.payload)
    index = experiment.promoted_index
    _require(
        index is not None and not history.promotions[index].is_rolled_back,
        "only a promotion that stands can be confirmed",
    )
    _require(not experiment.is_confirmed, "the promotion was already confirmed")
    experiment.is_confirmed = True


def _rolled_back(history: History, entry: Entry) -> None:
    payload = entry.payload
    promotion = history.promotions.get(payload["promoted_index"])
    if promotion is None:
        raise CausalityError(f"entry {payload['promoted_index']} is not a promotion")
    _require(payload["parameter"] == promotion.parameter, f"the promotion was of {promotion.parameter}")
    _require(not promotion.is_rolled_back, "the promotion was already rolled back")
    _require(payload["from"] == promotion.after, "from is not the value that was promoted")
    _require(
        payload["to"] == promotion.before,
        f"the value before the promotion was {promotion.before!a}, not {payload['to']!a}",
    )
    _require(payload["read_back"] == payload["to"], "the value read back is not the value restored")
    history.change_config(payload, payload["parameter"], payload["from"], payload["to"])
    promotion.is_rolled_back = True


def _refused(history: History, entry: Entry) -> None:
    payload = entry.payload
    proposal = history.proposals.get(payload["proposal_id"])
    if payload["experiment_id"] is not None:
        experiment = history.experiment_of(payload)
        _require(experiment.promoted_index is None, "the experiment's change was already promoted")
        experiment.is_refused = True
    elif proposal is not None:
        _require(proposal.state is not ProposalState.TESTING, "the proposal's experiment must be named")
    if proposal is not None and proposal.state in (ProposalState.OPEN, ProposalState.PASSED):
        proposal.state = ProposalState.REFUSED


def _override(history: History, entry: Entry) -> None:
    payload = entry.payload
    if "parameter" in payload:
        history.change_config(payload, payload["parameter"], payload["from"], payload["to"])


def _correction(_history: History, entry: Entry) -> None:
    _require(entry.payload["corrects"] < entry.index, "a correction names an earlier entry")


def _standing(_history: History, _entry: Entry) -> None:
    """Standing follows settlements, which are not in this log: nothing here to check it against."""


_ACTS: Final[dict[EntryType, Callable[[History, Entry], None]]] = {
    EntryType.GENESIS: _genesis,
    EntryType.REGISTERED: _registered,
    EntryType.ANOMALY: _anomaly,
    EntryType.PROPOSAL: _proposal,
    EntryType.BALLOT: _ballot,
    EntryType.TALLY: _tally,
    EntryType.WITHDRAWN: _withdrawn,
    EntryType.EXPIRED: _expired,
    EntryType.EXPERIMENT_STARTED: _experiment_started,
    EntryType.VERDICT: _verdict,
    EntryType.PROMOTED: _promoted,
    EntryType.CONFIRMED: _confirmed,
    EntryType.ROLLED_BACK: _rolled_back,
    EntryType.REFUSED: _refused,
    EntryType.STANDING: _standing,
    EntryType.OVERRIDE: _override,
    EntryType.RECOVERED: _recovered,
    EntryType.CORRECTION: _correction,
}
