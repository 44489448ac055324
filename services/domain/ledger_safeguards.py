"""What the ledger may say of the instrument itself: placebos, the freeze they pull, epochs of the holdout.

Stands beside `ledger_experiments`. The evidence of placebos is counted from the entries: a freeze needs it,
and nothing is promoted where it asks for a freeze. It never looks at hashes of entries, and it never repairs.
"""

import math
from typing import Final

from services.domain.assignment import opens
from services.domain.bet import Verdict
from services.domain.clock import DAY_US
from services.domain.ledger_experiments import replayed, trial_evidence
from services.domain.ledger_history import CausalityError, ExperimentFacts, LedgerHistory, require_cause
from services.domain.ledger_plans import PERCENT, check_placebo_plan, plan_of
from services.domain.ledger_schema import Entry
from services.domain.placebo import FREEZE_EVIDENCE, LONGEST_DAYS, excess_evidence

TOLERANCE: Final = 1e-9


def placebo_started(history: LedgerHistory, entry: Entry) -> None:
    """An A/A experiment begins, outside the stream."""
    payload = entry.payload
    history.new_experiment(payload["experiment_id"])
    history.new_commitment(payload["salt_commitment"])
    plan = plan_of(payload)
    if history.format > 1:
        check_placebo_plan(history, plan)
    history.placebos[payload["experiment_id"]] = ExperimentFacts(
        0, "", "", "", payload["salt_commitment"], plan, entry.at_us, deadline_us=LONGEST_DAYS * DAY_US
    )


def placebo_verdict(history: LedgerHistory, entry: Entry) -> None:
    """An A/A experiment ends as its records say."""
    payload = entry.payload
    number = payload["experiment_id"]
    placebo = history.placebos.get(number)
    if placebo is None or placebo.verdict is not None:
        raise CausalityError(f"experiment {number} is no placebo that could end")
    replayed(history, payload, trial_evidence(number, placebo, entry))
    placebo.verdict = Verdict(payload["verdict"])
    history.placebo_ends.append((placebo.started_at_us, placebo.verdict))
    if history.format > 1:
        history.is_alarmed = not history.is_frozen and _least_evidence(history) >= FREEZE_EVIDENCE


def _least_evidence(history: LedgerHistory) -> float:
    """Return the evidence that the platform must have seen at least.

    It counts placebos by their ends, which the ledger learns of a little later. So those that were running
    when the last freeze was lifted, and those whose verdict is not written yet, are taken for no wins.
    """
    ends = [(at_us >= history.lifted_at_us, verdict) for at_us, verdict in history.placebo_ends]
    wins = sum(is_new and verdict is Verdict.WIN for is_new, verdict in ends)
    return excess_evidence(wins, len(ends) + _unended(history), history.setting("alpha"))


def _unended(history: LedgerHistory) -> int:
    return sum(placebo.verdict is None for placebo in history.placebos.values())


def frozen(history: LedgerHistory, entry: Entry) -> None:
    """Promotion stops, on the evidence of placebos."""
    payload = entry.payload
    require_cause(not history.is_frozen, "promotion is already frozen")
    if history.format > 1:
        ends = [verdict for _, verdict in history.placebo_ends]
        wins, placebos = payload["wins"], payload["placebos"]
        open_now = _unended(history)
        most_wins = ends.count(Verdict.WIN) + open_now
        require_cause(wins <= most_wins, f"{wins} placebos cannot have won, at most {most_wins}")
        most = len(ends) + open_now
        require_cause(wins <= placebos <= most, f"{placebos} placebos cannot have ended, at most {most}")
        computed = excess_evidence(wins, placebos, history.setting("alpha"))
        require_cause(
            math.isclose(float(payload["e"]), computed, rel_tol=TOLERANCE),
            f"e is {payload['e']}, the counts give {computed!r}",
        )
    require_cause(float(payload["e"]) >= FREEZE_EVIDENCE, f"a freeze needs E of at least {FREEZE_EVIDENCE:g}")
    history.is_frozen = True
    history.is_alarmed = False


def unfrozen(history: LedgerHistory, entry: Entry) -> None:
    """A person lets promotions go on; placebos are counted anew."""
    require_cause(history.is_frozen, "promotion is not frozen")
    require_cause(entry.is_by_person, "only a person lifts a freeze")
    history.is_frozen = False
    history.lifted_at_us = entry.at_us
    history.placebo_ends.clear()


def epoch(history: LedgerHistory, entry: Entry) -> None:
    """A holdout begins from the config in force; the salt of the one before is revealed."""
    payload = entry.payload
    number, salt = payload["epoch_id"], payload["previous_salt"]
    require_cause(number not in history.epochs, f"epoch {number} has already begun")
    require_cause(
        payload["config"] == history.config_sha256,
        "the epoch's config is not the one that the entries before add up to",
    )
    is_first = not history.epochs
    require_cause(is_first == (salt == ""), "previous_salt reveals the salt of the epoch before, if any")
    require_cause(is_first or entry.is_by_person, "only a person begins another epoch")
    try:
        is_opened = is_first or opens(history.epoch_commitment, salt)
    except ValueError as error:
        raise CausalityError(f"previous_salt is not one: {error}") from error
    require_cause(is_opened, "previous_salt does not open the epoch before's commitment")
    if history.format > 1:
        share = history.setting("holdout_percent") / PERCENT
        require_cause(
            math.isclose(float(payload["share"]), share),
            f"the holdout's share is {payload['share']}, the config says {share:g}",
        )
    history.new_commitment(payload["salt_commitment"])
    history.epochs.add(number)
    history.epoch_commitment = payload["salt_commitment"]
