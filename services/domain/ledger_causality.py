"""What may follow what in the ledger: the fold of all entries, refusing the first that has no cause.

Stands under the audit, and says of each entry whether the entries before it allow it: every promotion has a
passed vote that re-tallies and an experiment that recomputes. Config = fold(ledger). It never looks at
hashes of entries, and it never repairs.
"""

from collections.abc import Callable
from typing import Final

from services.domain import ledger_experiments as acts
from services.domain import ledger_safeguards as safeguards
from services.domain import ledger_terms as terms
from services.domain import ledger_votes as votes
from services.domain.ledger_history import (
    EMPTY_BLOB_SHA256,
    CausalityError,
    LedgerHistory,
    config_hash,
    require_cause,
)
from services.domain.ledger_schema import FORMAT, LATER, UNITS, Entry, EntryType, check_fields

__all__ = ["EMPTY_BLOB_SHA256", "CausalityError", "History", "config_hash"]


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
    if written >= UNITS:
        check_fields("GENESIS payload", entry.payload, LATER[UNITS][EntryType.GENESIS])
        for name, declaration in entry.payload["declarations"].items():
            terms.declare(history, name, declaration)


def _registered(history: LedgerHistory, entry: Entry) -> None:
    history.change_config(entry.payload, entry.payload["parameter"], None, entry.payload["value"])
    if history.format >= UNITS:
        terms.declared(history, entry)


def _anomaly(history: LedgerHistory, entry: Entry) -> None:
    history.open_episodes.add(entry.payload["episode_id"])


def _recovered(history: LedgerHistory, entry: Entry) -> None:
    episode_id = entry.payload["episode_id"]
    require_cause(episode_id in history.open_episodes, f"no anomaly opened episode {episode_id}")
    history.open_episodes.remove(episode_id)


def _override(history: LedgerHistory, entry: Entry) -> None:
    payload = entry.payload
    require_cause(history.format == 1 or entry.is_by_person, "only a person overrides")
    if "parameter" in payload:
        history.change_config(payload, payload["parameter"], payload["from"], payload["to"])
        if history.format >= UNITS:
            terms.check_value(history, payload["parameter"], payload["to"])


def _correction(history: LedgerHistory, entry: Entry) -> None:
    is_own = history.format < UNITS or not entry.actor.startswith("agent:")
    require_cause(is_own, "an agent does not correct the ledger")
    require_cause(entry.payload["corrects"] < entry.index, "a correction names an earlier entry")


def _lap_closed(history: LedgerHistory, entry: Entry) -> None:
    lap = entry.lap
    if lap is None or lap in history.closed_laps:
        raise CausalityError("a lap is closed once, by an entry that bears it")
    require_cause(entry.payload["opened_at_us"] <= entry.at_us, "the lap was closed before it was opened")
    history.closed_laps.add(lap)


def _erased(_history: LedgerHistory, entry: Entry) -> None:
    require_cause(entry.is_by_person, "only a person has a text erased")


def _format(history: LedgerHistory, entry: Entry) -> None:
    written = entry.payload["format"]
    is_next = history.format > 1 and history.format < written <= FORMAT
    require_cause(is_next, f"format {written} does not follow format {history.format}")
    history.format = written


def _shift_accepted(_history: LedgerHistory, entry: Entry) -> None:
    require_cause(entry.is_by_person, "only a person accepts a shift as normal")


def _standing(_history: LedgerHistory, _entry: Entry) -> None:
    """Standing follows settlements, which are not in this log: nothing here to check it against."""


_ACTS: Final[dict[EntryType, Callable[[LedgerHistory, Entry], None]]] = {
    EntryType.GENESIS: _genesis,
    EntryType.REGISTERED: _registered,
    EntryType.DECLARED: terms.declared,
    EntryType.ANOMALY: _anomaly,
    EntryType.PROPOSAL: votes.proposal,
    EntryType.BALLOT: votes.ballot,
    EntryType.EXTENDED: votes.extended,
    EntryType.TALLY: votes.tallied,
    EntryType.REVIEW_OPENED: votes.review_opened,
    EntryType.REVIEW_DECIDED: votes.review_decided,
    EntryType.WITHDRAWN: votes.withdrawn,
    EntryType.EXPIRED: votes.expired,
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
    EntryType.LAP_CLOSED: _lap_closed,
    EntryType.CORRECTION: _correction,
    EntryType.ERASED: _erased,
    EntryType.FORMAT: _format,
}
