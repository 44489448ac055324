"""What may follow what in the ledger: the fold of all entries, refusing the first that has no cause.

Stands under the audit, and says of each entry whether the entries before it allow it: every promotion has a
passed vote that re-tallies and an experiment that recomputes. Config = fold(ledger). It never looks at
hashes of entries, and it never repairs.
"""

from collections.abc import Callable
from typing import Final

from services.domain import ledger_experiments as acts
from services.domain import ledger_safeguards as safeguards
from services.domain.ledger_history import (
    EMPTY_BLOB_SHA256,
    CausalityError,
    LedgerHistory,
    ProposalFacts,
    config_hash,
    require_cause,
)
from services.domain.ledger_schema import FORMAT, LATER, Entry, EntryType, check_fields
from services.domain.states import BallotChoice, ProposalState
from services.domain.tally import TallyOutcome, tally

__all__ = ["EMPTY_BLOB_SHA256", "CausalityError", "History", "config_hash"]

_AFTER_TALLY: Final = {
    TallyOutcome.PASSED: ProposalState.PASSED,
    TallyOutcome.REJECTED: ProposalState.REJECTED,
    TallyOutcome.INQUORATE: ProposalState.INQUORATE,
}


class History(LedgerHistory):
    """A history that moves on: `accept` folds one entry or refuses it."""

    def accept(self, entry: Entry) -> None:
        """Fold one well-formed entry; raise CausalityError or EvidenceRefusedError when it has no cause."""
        is_genesis = entry.type is EntryType.GENESIS
        require_cause((entry.index == 0) == is_genesis, "GENESIS is entry 0 and no other")
        for brought_by, types in LATER.items():
            later = types.get(entry.type, {})
            if self.format < brought_by:
                later = {name: kind for name, kind in later.items() if name in entry.payload}
            check_fields(f"{entry.type} payload", entry.payload, later)
        _ACTS[entry.type](self, entry)


def _genesis(history: LedgerHistory, entry: Entry) -> None:
    rules = entry.payload["rules"]
    history.config = dict(entry.payload["config"])
    history.config_sha256 = config_hash(history.config)
    history.threshold_percent = rules["threshold_percent"]
    history.minimum_ballots = rules["minimum_ballots"]
    written = entry.payload.get("format", 1)
    require_cause(type(written) is int and 1 <= written <= FORMAT, f"format {written!a} is unknown")
    history.format = written


def _registered(history: LedgerHistory, entry: Entry) -> None:
    history.change_config(entry.payload, entry.payload["parameter"], None, entry.payload["value"])


def _anomaly(history: LedgerHistory, entry: Entry) -> None:
    history.open_episodes.add(entry.payload["episode_id"])


def _recovered(history: LedgerHistory, entry: Entry) -> None:
    episode_id = entry.payload["episode_id"]
    require_cause(episode_id in history.open_episodes, f"no anomaly opened episode {episode_id}")
    history.open_episodes.remove(episode_id)


def _proposal(history: LedgerHistory, entry: Entry) -> None:
    payload = entry.payload
    proposal_id, parameter, electors = payload["proposal_id"], payload["parameter"], payload["electorate"]
    require_cause(proposal_id not in history.proposals, f"proposal {proposal_id} was already filed")
    require_cause(parameter in history.config, f"{parameter} is not a registered parameter")
    require_cause(
        history.config[parameter] == payload["from"],
        f"{parameter} is {history.config[parameter]!a} in the config, not {payload['from']!a}",
    )
    require_cause(len(set(electors)) == len(electors), "the electorate names an elector twice")
    require_cause(
        payload["proposer"] not in electors, "the proposer is in the electorate of its own proposal"
    )
    require_cause(payload["opens_at_us"] < payload["closes_at_us"], "the vote closes before it opens")
    history.check_blob("root_cause_sha256", payload["root_cause_sha256"])
    history.proposals[proposal_id] = ProposalFacts(
        parameter,
        payload["to"],
        payload,
        frozenset(electors),
        payload["opens_at_us"],
        payload["closes_at_us"],
    )


def _ballot(history: LedgerHistory, entry: Entry) -> None:
    payload = entry.payload
    voter, choice = payload["voter"], payload["choice"]
    proposal = history.proposal_in(payload["proposal_id"], ProposalState.OPEN)
    require_cause(voter in proposal.electorate, f"{voter!a} is not in the frozen electorate")
    require_cause(voter not in proposal.ballots, f"{voter!a} has already voted")
    require_cause(proposal.opens_at_us <= entry.at_us, "the ballot was cast before the vote opened")
    require_cause(entry.at_us < proposal.closes_at_us, "the ballot was cast after the vote closed")
    if choice == BallotChoice.AGAINST:
        require_cause(payload["reason_sha256"] != EMPTY_BLOB_SHA256, "a ballot against needs a reason")
    history.check_blob("reason_sha256", payload["reason_sha256"])
    proposal.ballots[voter] = choice


def _tally(history: LedgerHistory, entry: Entry) -> None:
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
        require_cause(
            payload[name] == counted, f"the tally says {name} {payload[name]}, the ballots {counted}"
        )
    is_over = entry.at_us >= proposal.closes_at_us or len(cast) == len(proposal.electorate)
    require_cause(is_over or not payload["is_closed"], "the tally calls the vote closed before its deadline")
    require_cause(
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
    require_cause(
        payload["outcome"] == outcome, f"the tally says {payload['outcome']}, the rule says {outcome}"
    )
    proposal.state = _AFTER_TALLY[outcome]


def _withdrawn(history: LedgerHistory, entry: Entry) -> None:
    proposal = history.proposal_in(entry.payload["proposal_id"], ProposalState.OPEN)
    require_cause(not proposal.ballots, "a proposal can be withdrawn only before the first ballot")
    proposal.state = ProposalState.WITHDRAWN


def _expired(history: LedgerHistory, entry: Entry) -> None:
    history.proposal_in(entry.payload["proposal_id"], ProposalState.PASSED).state = ProposalState.EXPIRED


def _override(history: LedgerHistory, entry: Entry) -> None:
    payload = entry.payload
    require_cause(history.format == 1 or entry.is_by_person, "only a person overrides")
    if "parameter" in payload:
        history.change_config(payload, payload["parameter"], payload["from"], payload["to"])


def _correction(_history: LedgerHistory, entry: Entry) -> None:
    require_cause(entry.payload["corrects"] < entry.index, "a correction names an earlier entry")


def _shift_accepted(_history: LedgerHistory, entry: Entry) -> None:
    require_cause(entry.is_by_person, "only a person accepts a shift as normal")


def _standing(_history: LedgerHistory, _entry: Entry) -> None:
    """Standing follows settlements, which are not in this log: nothing here to check it against."""


_ACTS: Final[dict[EntryType, Callable[[LedgerHistory, Entry], None]]] = {
    EntryType.GENESIS: _genesis,
    EntryType.REGISTERED: _registered,
    EntryType.ANOMALY: _anomaly,
    EntryType.PROPOSAL: _proposal,
    EntryType.BALLOT: _ballot,
    EntryType.TALLY: _tally,
    EntryType.WITHDRAWN: _withdrawn,
    EntryType.EXPIRED: _expired,
    EntryType.EXPERIMENT_STARTED: acts.experiment_started,
    EntryType.VERDICT: acts.verdict,
    EntryType.PROBATION_STARTED: acts.probation_started,
    EntryType.PLACEBO_STARTED: safeguards.placebo_started,
    EntryType.PLACEBO_VERDICT: safeguards.placebo_verdict,
    EntryType.SHIFT_ACCEPTED: _shift_accepted,
    EntryType.FROZEN: safeguards.frozen,
    EntryType.UNFROZEN: safeguards.unfrozen,
    EntryType.EPOCH: safeguards.epoch,
    EntryType.PROMOTED: acts.promoted,
    EntryType.CONFIRMED: acts.confirmed,
    EntryType.ROLLED_BACK: acts.rolled_back,
    EntryType.REFUSED: acts.refused,
    EntryType.STANDING: _standing,
    EntryType.OVERRIDE: _override,
    EntryType.RECOVERED: _recovered,
    EntryType.CORRECTION: _correction,
}
