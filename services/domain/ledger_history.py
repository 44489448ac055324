"""What a sequence of ledger entries amounts to: config, proposals, experiments, promotions, the stream.

Stands under the acts of `ledger_causality` and `ledger_experiments`, which move it on one entry at a time.
It never looks at hashes of entries, and it never repairs.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.domain.bet import BetPlan, BetState, Verdict
from services.domain.canonical import digest_hex
from services.domain.states import BallotChoice, ProposalState
from services.domain.tally import Swing

EMPTY_BLOB_SHA256: Final = hashlib.sha256(b"").hexdigest()  # "no text": needs no blob


class CausalityError(ValueError):
    """An entry that the entries before it do not allow; the message is one sentence without the index."""


def config_hash(config: Mapping[str, str]) -> str:
    """Return the SHA-256 hex of the canonical JSON of a {parameter: value} map."""
    return digest_hex(dict(config))


def require_cause(holds: bool, reason: str) -> None:  # noqa: FBT001  a condition is what it checks
    """Raise CausalityError with `reason` unless the condition holds."""
    if not holds:
        raise CausalityError(reason)


@dataclass(slots=True)
class ProposalFacts:
    """What the entries so far say of a proposal; `terms` is the payload it was filed with.

    `format` is the ledger's at its filing, `swing` a late swing that has yet to extend the vote, `review` the
    hash of what a person was shown and until when, `cast` the payloads of the ballots in their order.
    """

    parameter: str
    treatment: str
    terms: dict[str, Any]
    electorate: frozenset[str]
    opens_at_us: int
    closes_at_us: int
    format: int = 1
    state: ProposalState = ProposalState.OPEN
    ballots: dict[str, str] = field(default_factory=dict)
    swing: Swing | None = None
    is_extended: bool = False
    review: tuple[str, int] | None = None
    minimum_until_us: int = 0
    decided_at_us: int = 0
    cast: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def decisive(self) -> tuple[int, int]:
        """Return the ballots so far: (for, against)."""
        cast = list(self.ballots.values())
        return cast.count(BallotChoice.FOR), cast.count(BallotChoice.AGAINST)


@dataclass(slots=True)
class Probation:
    """The second leg: its plan, first state and commitment, and its verdict once there is one."""

    plan: BetPlan
    state: BetState
    salt_commitment: str
    started_at_us: int
    verdict: Verdict | None = None


@dataclass(slots=True)
class ExperimentFacts:
    """What the entries so far say of an experiment; `ended` is its bet at the end of the trial."""

    proposal_id: int
    parameter: str
    control: str
    treatment: str
    salt_commitment: str
    plan: BetPlan
    started_at_us: int
    confirm_alpha: float | None = None
    deadline_us: int | None = None
    ended: BetState | None = None
    verdict: Verdict | None = None
    records_sha256: str = ""
    promoted_index: int | None = None
    probation: Probation | None = None
    is_refused: bool = False
    is_confirmed: bool = False


@dataclass(slots=True)
class PromotionFacts:
    """What a promotion changed, and whether it was taken back."""

    parameter: str
    before: str
    after: str
    is_rolled_back: bool = False


class LedgerHistory:
    """The state that a sequence of entries amounts to, with the checks that acts share."""

    def __init__(self, blobs: Mapping[str, bytes], *, allow_erased: bool = False) -> None:
        """Take blobs by SHA-256 hex; with `allow_erased` only an experiment's records must be among them."""
        self.blobs = blobs
        self.allow_erased = allow_erased
        self.config: dict[str, str] = {}
        self.config_sha256 = config_hash({})
        self.threshold_percent = 0
        self.minimum_ballots = 0
        self.open_episodes: set[int] = set()
        self.proposals: dict[int, ProposalFacts] = {}
        self.experiments: dict[int, ExperimentFacts] = {}
        self.promotions: dict[int, PromotionFacts] = {}
        self.running: dict[str, int] = {}
        self.format = 1
        self.placebos: dict[int, ExperimentFacts] = {}
        self.started = 0
        self.known: list[int] = []
        self.is_frozen = False
        self.is_alarmed = False
        self.lifted_at_us = 0
        self.placebo_ends: list[tuple[int, Verdict]] = []
        self.epochs: set[int] = set()
        self.epoch_commitment = ""
        self.commitments: set[str] = set()
        self.closed_laps: set[int] = set()
        self.declarations: dict[str, dict[str, Any]] = {}

    def setting(self, name: str) -> float:
        """Return a setting of the sandbox in force; CausalityError where it is missing or no number."""
        return self._number(f"sandbox.{name}")

    def consensus(self, name: str) -> float:
        """Return a setting of the votes in force; CausalityError where it is missing or no number."""
        return self._number(f"consensus.{name}")

    def _number(self, name: str) -> float:
        try:
            value = float(self.config[name])
        except (KeyError, ValueError) as error:
            raise CausalityError(f"the config has no number for {name}") from error
        require_cause(math.isfinite(value), f"the config has no number for {name}")
        return value

    def new_experiment(self, number: int) -> None:
        """Raise CausalityError when an experiment of this number, placebo or not, was already started."""
        is_known = number in self.experiments or number in self.placebos
        require_cause(not is_known, f"experiment {number} was already started")

    def new_commitment(self, salt_commitment: str) -> None:
        """Note a commitment; raise CausalityError for one that was made before (its salt may be known)."""
        require_cause(
            self.format == 1 or salt_commitment not in self.commitments,
            "the salt was committed to before: each draw needs its own",
        )
        self.commitments.add(salt_commitment)

    def release(self, parameter: str, number: int) -> None:
        """End the hold of an experiment on its parameter, if it has it."""
        if self.running.get(parameter) == number:
            del self.running[parameter]

    def check_blob(self, name: str, sha256: str) -> None:
        """Raise CausalityError unless the blob is there and is what its name says (or may be erased)."""
        if sha256 == EMPTY_BLOB_SHA256:
            return
        blob = self.blobs.get(sha256)
        if blob is None:
            require_cause(self.allow_erased, f"the blob of {name} ({sha256[:12]}…) is missing")
        elif hashlib.sha256(blob).hexdigest() != sha256:
            raise CausalityError(f"the blob of {name} ({sha256[:12]}…) does not hash to its name")

    def change_config(
        self, payload: Mapping[str, Any], parameter: str, before: str | None, after: str
    ) -> None:
        """Set one value; the entry's hashes of the whole config before and after must be the fold's."""
        require_cause(
            payload["config_before"] == self.config_sha256,
            "config_before is not the hash of the config that the entries before add up to",
        )
        in_force = self.config.get(parameter)
        if before is None:
            require_cause(in_force is None, f"{parameter} is already registered")
        else:
            require_cause(in_force is not None, f"{parameter} is not a registered parameter")
            require_cause(in_force == before, f"{parameter} is {in_force!a} in the config, not {before!a}")
        changed = {**self.config, parameter: after}
        changed_sha256 = config_hash(changed)
        require_cause(
            payload["config_after"] == changed_sha256,
            "config_after is not the hash of the config with this change",
        )
        self.config, self.config_sha256 = changed, changed_sha256

    def proposal_in(self, proposal_id: int, state: ProposalState) -> ProposalFacts:
        """Return the proposal; CausalityError when it is unknown or in another state."""
        proposal = self.proposals.get(proposal_id)
        if proposal is None:
            raise CausalityError(f"proposal {proposal_id} is unknown")
        require_cause(proposal.state is state, f"proposal {proposal_id} is {proposal.state}, not {state}")
        return proposal

    def experiment_of(self, payload: Mapping[str, Any]) -> ExperimentFacts:
        """Return the entry's experiment; CausalityError when it is unknown or of another proposal."""
        experiment = self.experiments.get(payload["experiment_id"])
        if experiment is None:
            raise CausalityError(f"experiment {payload['experiment_id']} is unknown")
        proposal_id = payload.get("proposal_id", experiment.proposal_id)
        require_cause(
            proposal_id == experiment.proposal_id,
            f"experiment {payload['experiment_id']} belongs to proposal {experiment.proposal_id}",
        )
        require_cause(
            payload.get("parameter", experiment.parameter) == experiment.parameter,
            f"experiment {payload['experiment_id']} tested {experiment.parameter}",
        )
        return experiment
