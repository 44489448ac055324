"""The events of the platform, in the past tense: what happened, to which aggregate, with which facts.

Stand between the layers: a layer publishes in its own transaction, `services.loop` says who hears. Payloads
are small JSON objects of ids and plain values; receivers load the rest. An event never carries an order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class EventType(StrEnum):
    """Everything that the platform says has happened."""

    SNAPSHOT_TAKEN = "SnapshotTaken"
    """The observatory has closed a window and stored its counts."""
    SNAPSHOT_MISSED = "SnapshotMissed"
    """A window was far longer than it should be: for a time nobody counted."""
    ANOMALY_DETECTED = "AnomalyDetected"
    """A metric left its band and an episode opened."""
    ANOMALY_RECOVERED = "AnomalyRecovered"
    """The metric is back in its band and the episode closed."""
    EPISODE_GIVEN_UP = "EpisodeGivenUp"
    """A promoted change did not bring the metric back in time; the episode ended."""
    SHIFT_ACCEPTED = "ShiftAccepted"
    """A lasting change of a metric was accepted as normal; its baseline starts anew."""
    CHECK_FAILED = "CheckFailed"
    """A check of correctness no longer gives the expected answers; promotions are held."""
    CHECK_RECOVERED = "CheckRecovered"
    """A failed check of correctness gives the expected answers again."""
    INVESTIGATION_POSTED = "InvestigationPosted"
    """A meta-task was posted for an episode."""
    INVESTIGATION_CLOSED = "InvestigationClosed"
    """The meta-task of an episode ended."""
    TASK_AWARDED = "TaskAwarded"
    """A bid won a task; its values and arm are fixed."""
    RESULT_SUBMITTED = "ResultSubmitted"
    """An agent handed in a result; the platform has yet to verify it."""
    TASK_ENDED = "TaskEnded"
    """A task came to one of its final states."""
    INVESTIGATION_ENDED = "InvestigationEnded"
    """The meta-task of a lap came to one of its final states."""
    PROPOSAL_FILED = "ProposalFiled"
    """A typed change was proposed and its electorate frozen."""
    BALLOT_CAST = "BallotCast"
    """A voter of the electorate has voted."""
    PROPOSAL_PASSED = "ProposalPassed"
    """The vote sent the change into the sandbox."""
    REVIEW_ASKED = "ReviewAsked"
    """A GATED change passed its vote and waits for a person."""
    REVIEW_DECIDED = "ReviewDecided"
    """A person approved or refused it, or nobody did in time."""
    VOTE_EXTENDED = "VoteExtended"
    """A late swing gave a vote more time, once."""
    PROPOSAL_CLOSED = "ProposalClosed"
    """A proposal ended without an experiment: rejected, inquorate, withdrawn or expired."""
    EXPERIMENT_STARTED = "ExperimentStarted"
    """Tasks are being assigned to the two arms."""
    EXPERIMENT_CONCLUDED = "ExperimentConcluded"
    """The bet has ended with one of four verdicts."""
    VERDICT_RECORDED = "VerdictRecorded"
    """The verdict and its evidence stand in the ledger."""
    PARAMETER_PROMOTED = "ParameterPromoted"
    """The tested value is in production and was read back."""
    PROBATION_STARTED = "ProbationStarted"
    """A promoted value is in production for most tasks; the rest stays on the old one."""
    CHANGE_CONFIRMED = "ChangeConfirmed"
    """A promoted value held in probation at its level of the stream."""
    PROMOTION_FROZEN = "PromotionFrozen"
    """Placebos won too often: nothing is promoted until a person has looked."""
    CHANGE_REFUSED = "ChangeRefused"
    """The verdict did not support the change."""
    PARAMETER_ROLLED_BACK = "ParameterRolledBack"
    """A promoted value was taken out again and the old one read back."""
    PARAMETER_OVERRIDDEN = "ParameterOverridden"
    """A person set a value; it was read back."""
    CHECKPOINT_SIGNED = "CheckpointSigned"
    """The ledger's size and root were signed and put in a second place."""
    REPORT_MADE = "ReportMade"
    """A scheduled report was built and delivered to its folder."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event before it is published: its type, the aggregate it belongs to (`task:12`), its facts.

    `actor` is whose act it was where one transaction carries the acts of several, else the transaction's.
    """

    type: EventType
    aggregate: str
    payload: Mapping[str, object]
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveredEvent:
    """One event as a subscriber gets it. `event_id` is unique; handlers may see it again after a crash."""

    event_id: int
    type: EventType
    aggregate: str
    payload: Mapping[str, object]
    actor: str
    lap_id: int | None
    published_at_us: int

    def integer(self, name: str) -> int:
        """Return the integer fact `name`; raise KeyError or TypeError when it is not there."""
        value = self.payload[name]
        if not isinstance(value, int):
            msg = f"{self.type} carries {name}={value!r}, not an integer"
            raise TypeError(msg)
        return value
