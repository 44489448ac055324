"""Every lifecycle's states: what each means, and who moves it on.

Stands under all layers. Writes are guarded updates from a named state; phases driven by time (is a window
open, has a lease passed) are derived from facts and not stored. It never moves anything itself.
"""

from enum import StrEnum


class TaskKind(StrEnum):
    """Who asked for the work."""

    USER = "user"
    """A requester's task; counts in the platform's success rate."""
    META = "meta"
    """The platform's own investigation; never counts in the platform's success rate."""


class TaskState(StrEnum):
    """The life of a task."""

    BIDDING = "bidding"
    """Posted, escrow reserved, bids come in; the award job moves it on when the window has closed."""
    AWARDED = "awarded"
    """A bid has won and its arm is fixed; the winning agent moves it on by taking the lease."""
    LEASED = "leased"
    """One agent works under a fencing token; its result, or the lease's expiry, moves it on."""
    SUBMITTED = "submitted"
    """A result is in; the platform's verifier moves it on (a meta-task: its lap's decision)."""
    SETTLED = "settled"
    """Verified and paid. Final."""
    FAILED = "failed"
    """Tried and not verified; the escrow went back. Final."""
    CANCELLED = "cancelled"
    """Taken back by its requester or an operator. Final."""
    EXPIRED = "expired"
    """Passed its deadline while it waited for a bid. Final."""


TASK_ENDS = (TaskState.SETTLED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED)


class AttemptState(StrEnum):
    """One agent's try at one task."""

    LEASED = "leased"
    """At work; the agent or the expiry job moves it on."""
    SUBMITTED = "submitted"
    """Handed in; the verifier moves it on."""
    VERIFIED = "verified"
    """The platform's verifier agreed. Final."""
    FAILED = "failed"
    """Reported as failed, or refused by the verifier. Final."""
    LAPSED = "lapsed"
    """The lease ran out without a result. Final."""


class EscrowState(StrEnum):
    """Money set aside; resolved exactly once."""

    HELD = "held"
    """Set aside; settlement, refund or forfeit moves it on."""
    PAID = "paid"
    """Went to the winner (the rest back to its source). Final."""
    RETURNED = "returned"
    """Went back to its source. Final."""
    FORFEITED = "forfeited"
    """A stake that was lost to the treasury. Final."""


class BudgetHoldState(StrEnum):
    """A part of the budgets set aside for one agent; resolved exactly once."""

    HELD = "held"
    """Reserved in every scope that applies; its agent moves it on, or its time limit does."""
    SETTLED = "settled"
    """What was used is spent, the rest went back. Final."""
    VOIDED = "voided"
    """Nothing was used, all went back. Final."""
    EXPIRED = "expired"
    """Its time limit passed, all went back. Final."""


class Standing(StrEnum):
    """An agent's place on the ladder; the settlement moves it."""

    SHADOW = "shadow"
    """New: may bid, may not vote."""
    PROBATION = "probation"
    """Some verified work, or vouched for by the operator."""
    FULL = "full"
    """A record of verified work."""
    SUSPENDED = "suspended"
    """Shown by its record to succeed too rarely; an operator, or a new stake after a while, reinstates it."""


class OutcomeKind(StrEnum):
    """One entry of an agent's record, in the order in which they happened; its standing is their fold."""

    VERIFIED = "verified"
    """The platform's verifier agreed."""
    FAILED = "failed"
    """Reported as failed, or refused by the verifier."""
    CRASHED = "crashed"
    """Fell silent: a lapsed lease, or an award it never took up."""
    SUSPENDED = "suspended"
    """An operator took its standing away."""
    REINSTATED = "reinstated"
    """Back on probation, by an operator's act or by a new stake after the cool-down."""


class EpisodeShape(StrEnum):
    """How a metric left its band."""

    SPIKE = "spike"
    """It was back three windows later; it may still become a shift."""
    SHIFT = "shift"
    """It stays out; the baseline moves only when a ledger entry accepts it. Final."""


class EpisodeState(StrEnum):
    """A stretch during which a metric is out of its band."""

    OPEN = "open"
    """Detected; the observatory closes it when the metric is back."""
    CLOSED = "closed"
    """Recovered. Final."""
    GIVEN_UP = "given_up"
    """Its lap ended and the metric is not back; after the cool-down a new one may open. Final."""


class ProposalState(StrEnum):
    """The life of a proposal."""

    OPEN = "open"
    """Ballots come in; the tally moves it on."""
    REVIEW = "review"
    """Passed the vote; a GATED change waits for a person, whose word or silence moves it on."""
    PASSED = "passed"
    """Voted into the sandbox; the sandbox moves it on, or the grace period does."""
    REJECTED = "rejected"
    """Voted down. Final."""
    INQUORATE = "inquorate"
    """Fewer than three ballots for or against by the deadline. Final."""
    WITHDRAWN = "withdrawn"
    """Taken back before the first ballot. Final."""
    EXPIRED = "expired"
    """Passed, but no experiment could start in time. Final."""
    TESTING = "testing"
    """Its experiment runs; the verdict moves it on."""
    PROMOTED = "promoted"
    """The evidence put it into production; an operator may roll it back."""
    REFUSED = "refused"
    """The evidence did not support it. Final."""
    ROLLED_BACK = "rolled_back"
    """Was in production and was taken out again. Final."""


LIVE_PROPOSALS = (ProposalState.OPEN, ProposalState.REVIEW, ProposalState.PASSED, ProposalState.TESTING)


class ReviewState(StrEnum):
    """The life of a review gate: a person decides once on exactly what was shown."""

    PENDING = "pending"
    """Shown to a person; a decision or the deadline moves it on."""
    APPROVED = "approved"
    """A person let the change go into the sandbox. Final."""
    REFUSED = "refused"
    """A person turned it down. Final."""
    EXPIRED = "expired"
    """Nobody decided in time, which means no. Final."""


class ElectorateMode(StrEnum):
    """Who has a ballot."""

    AGENT = "agent"
    """Every eligible agent: where an operator registers all agents."""
    OWNER = "owner"
    """Every owner of eligible agents, the first of them to vote: where anybody may register agents."""


class ExperimentState(StrEnum):
    """The life of an experiment."""

    RUNNING = "running"
    """The trial: tasks are assigned to both arms and bet on; the verdict moves it on."""
    PROVISIONAL = "provisional"
    """Won its trial (E ≥ 20); the ledger promotes the value, and probation begins."""
    PROBATION = "probation"
    """In production at 85 to 90 %, the rest on the old value; the second verdict moves it on."""
    CONFIRMED = "confirmed"
    """Held in probation at its level of the stream (E ≥ 1/α_j). Final."""
    ROLLED_BACK = "rolled_back"
    """Did not hold in probation, or a person took it back; the old value is in force. Final."""
    REFUSED = "refused"
    """Won, and could not be promoted: its setting had moved, or promotion is frozen. Final."""
    ABORTED = "aborted"
    """Stopped: harm was shown, or the arms did not have the promised shares. Final."""
    FUTILE = "futile"
    """The stated effect was refuted. Final."""
    INCONCLUSIVE = "inconclusive"
    """Its cap or its time was reached first. Final."""


LIVE_EXPERIMENTS = (ExperimentState.RUNNING, ExperimentState.PROVISIONAL, ExperimentState.PROBATION)
"""States in which an experiment holds its parameter."""
BETTING_EXPERIMENTS = (ExperimentState.RUNNING, ExperimentState.PROBATION)
"""States in which tasks are assigned to its arms."""


class ExperimentKind(StrEnum):
    """What an experiment is for."""

    CHANGE = "change"
    """A voted change against the value in force."""
    PLACEBO = "placebo"
    """Both arms alike (A/A): it must not win more often than alpha."""


class ExperimentScope(StrEnum):
    """What a change touches, hence what is randomised and bet on once."""

    TASK = "task"
    """The task alone: each task is a unit."""
    AGENT = "agent"
    """An agent that remembers: one agent in one time window is a unit."""
    PLATFORM = "platform"
    """Shared capacity: a time window of the whole task type is a unit (switchback)."""


class Leg(StrEnum):
    """The two parts of an experiment; each has its own plan, salt and verdict."""

    TRIAL = "trial"
    """At equal shares after the ramp, until E ≥ 20."""
    PROBATION = "probation"
    """Most tasks on the new value, until E ≥ 1/α_j."""


class DeliveryState(StrEnum):
    """One event on its way to one subscriber."""

    PENDING = "pending"
    """Waiting for its (next) try; the dispatcher moves it on."""
    DELIVERED = "delivered"
    """Handled once. Final."""
    DEAD = "dead"
    """Tried as often as allowed; an operator replays or discards it."""
    DISCARDED = "discarded"
    """Given up by an operator, with a reason. Final."""


class TickState(StrEnum):
    """One firing of one cron job."""

    RUNNING = "running"
    """Claimed by one process; that process moves it on."""
    DONE = "done"
    """Ended within its budget. Final."""
    FAILED = "failed"
    """Raised an error; its transaction was rolled back. Final."""
    OVERRUN = "overrun"
    """Stopped at its budget; its transaction was rolled back. Final."""
    MISSED = "missed"
    """No process ran when it was due; written by the next tick. Final."""
    SKIPPED = "skipped"
    """Not run, for the reason it bears: the job is paused or held back. Final."""


class TickCause(StrEnum):
    """Why a tick runs."""

    CLOCK = "clock"
    """It was due by the table."""
    CATCH_UP = "catch_up"
    """It was missed, and its job catches up."""
    RETRY = "retry"
    """The process that ran it died; it runs once more."""
    OPERATOR = "operator"
    """A person asked for it."""


class ValueSource(StrEnum):
    """Where a value in force comes from."""

    ARM = "arm"
    """The arm of the running experiment for this task."""
    PROMOTED = "promoted"
    """Put into production by the evolution ledger."""
    OVERRIDE = "override"
    """Set by a person (rollback included)."""
    HOLDOUT = "holdout"
    """The starting value of the epoch: this task stays on it for good."""
    DEFAULT = "default"
    """The value it was registered with."""


class Scope(StrEnum):
    """What an agent's key may do; reading needs none."""

    POST = "post"
    """Post tasks and cancel its own."""
    BID = "bid"
    """Bid, take leases, hand in results."""
    PROPOSE = "propose"
    """File proposals."""
    VOTE = "vote"
    """Cast ballots where it is in the electorate."""


class BallotChoice(StrEnum):
    """A voter's word."""

    FOR = "for"
    """Try it in the sandbox."""
    AGAINST = "against"
    """Do not; a reason is required."""
    ABSTAIN = "abstain"
    """Counts for the electorate, not for the share."""


class EndReason(StrEnum):
    """Why a task ended as it did."""

    VERIFIED = "verified"
    """The platform's verifier agreed with the result."""
    TIMED_OUT = "timed_out"
    """The time allowed passed before a result was in."""
    VERIFICATION_FAILED = "verification_failed"
    """The platform's verifier did not agree."""
    AGENT_ERROR = "agent_error"
    """The agent reported that it could not."""
    LEASE_LAPSED = "lease_lapsed"
    """Every attempt ended without a word from its agent."""
    PLATFORM_AWAY = "platform_away"
    """The time allowed ran out while the platform was away; the stake went back, no record counts it."""
    NO_BIDS = "no_bids"
    """Nobody bid before the deadline."""
    DEADLINE_PASSED = "deadline_passed"
    """The task's deadline came first."""
    CANCELLED = "cancelled"
    """Taken back."""
    NOT_SUPPORTED = "not_supported"
    """An investigation that led to nothing that passed a vote."""
