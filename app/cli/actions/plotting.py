"""`nacre experiment plot`: the evidence of an experiment as an SVG that stands alone.

Stands over the certificate (with a file: no database) or over the exposures that are bet on (with an ID: also
while the experiment runs). Both are replayed by the bet's own code. It never decides an experiment.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from app.cli.actions.certifying import certificate_read, is_number, write_text
from app.cli.actions.opening import existing, opened_store
from app.cli.actions.screen import say_note
from app.terminal_text import plain
from app.web.charts import PathPoint, Poster, WealthLeg, poster
from services.ab_sandbox.units import record_of, units_of
from services.domain.bet import BetPlan, BetState, Record
from services.domain.certificate import Certificate, Finding, verify_certificate
from services.domain.errors import InvalidValueError
from services.domain.metrics import Metric
from services.domain.sequential import Verdict, update
from services.domain.states import ExperimentKind, ExperimentState, Leg
from services.evolution_ledger.verdicts import leg_start
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

LEAD = {
    ExperimentState.RUNNING: "On trial: not decided yet",
    ExperimentState.PROVISIONAL: "Won its trial; the value is being promoted",
    ExperimentState.PROBATION: "Promoted, in probation: not confirmed yet",
    ExperimentState.CONFIRMED: "Confirmed: better, and held in probation",
    ExperimentState.ROLLED_BACK: "Rolled back ({reason})",
    ExperimentState.REFUSED: "Won its trial and was refused: the old value stays",
    ExperimentState.ABORTED: "Stopped ({reason}): the old value stays",
    ExperimentState.FUTILE: "No decision (the stated effect was refuted): the old value stays",
    ExperimentState.INCONCLUSIVE: "No decision ({reason}): the old value stays",
}
TAKEN_BACK = "taken back after its win"
ARMS = {
    Metric.SUCCESS: "success so far",
    Metric.DURATION: "mean seconds so far",
    Metric.COST: "mean microcredits so far",
}


class Story(NamedTuple):
    """One leg as it is replayed: plan, records, the bet before each and after the last, what it ended in."""

    leg: Leg
    plan: BetPlan
    records: Sequence[Record]
    states: Sequence[BetState]
    verdict: str | None
    reason: str | None


def plot(database: str | None, subject: str, out: str) -> int:
    """Draw an experiment and write the picture; return 1 for a certificate that does not hold."""
    if is_number(subject):
        write_text(out, str(poster(_of_number(database, int(subject)))))
    else:
        certificate = certificate_read(None, subject)
        finding = verify_certificate(certificate)
        if finding.difference is not None:
            say_note(f"NOT OK, nothing is drawn: experiment {finding.experiment_id}: {finding.difference}")
            return 1
        write_text(out, str(poster(_of_certificate(certificate, finding))))
    if out != "-":
        say_note(f"the picture is in {out}")
    return 0


def _of_certificate(certificate: Certificate, finding: Finding) -> Poster:
    started = certificate.entries[0].payload
    is_placebo = certificate.kind is ExperimentKind.PLACEBO
    change = None if is_placebo else (started["parameter"], started["control"], started["treatment"])
    stories = [
        Story(leg.leg, leg.plan, leg.records, leg.states, leg.payload["verdict"], leg.payload["reason"])
        for leg in finding.legs
    ]
    state = None if is_placebo else _state_of(finding.outcome, stories)
    return _poster(certificate.experiment_id, change, state, stories)


def _state_of(outcome: str, stories: Sequence[Story]) -> ExperimentState:
    """Return the state that a certificate's outcome means; a verdict comes before the entry it leads to."""
    if outcome.startswith("probation: "):
        is_won = stories[-1].verdict == Verdict.WIN
        return ExperimentState.CONFIRMED if is_won else ExperimentState.ROLLED_BACK
    if "rolled back" in outcome:
        return ExperimentState.ROLLED_BACK
    return ExperimentState(outcome)


def _of_number(database: str | None, experiment_id: int) -> Poster:
    with opened_store(existing(database)) as store, store.read() as tx:
        experiment = sql.find(tx, tables.experiment, id=experiment_id)
        if experiment is None:
            msg = f"there is no experiment {experiment_id}; `nacre experiment list` lists what there is"
            raise InvalidValueError(msg, field="id", code="not_found")
        later = sql.find(tx, tables.probation, experiment_id=experiment_id)
        stories = [_story(tx, experiment, experiment, later, Leg.TRIAL)]
        if later is not None:
            stories.append(_story(tx, experiment, later, None, Leg.PROBATION))
    change = (experiment["parameter"], experiment["control_value"], experiment["treatment_value"])
    is_placebo = experiment["kind"] == ExperimentKind.PLACEBO
    if is_placebo:
        return _poster(experiment_id, None, None, stories)
    return _poster(experiment_id, change, ExperimentState(experiment["state"]), stories)


def _story(tx: Tx, experiment: Row, row: Row, later: Row | None, leg: Leg) -> Story:
    """Return a leg replayed from what is bet on so far; `later` is the probation after a trial."""
    plan, state = leg_start(experiment, row, leg)
    first = row["first_ordinal"] if leg is Leg.PROBATION else 0
    folded = governance.folded_exposures(tx, experiment["id"], first)
    mine = [item for item in folded if later is None or item["ordinal"] < later["first_ordinal"]]
    records = [
        record_of(
            plan,
            unit,
            ordinal=ordinal,
            started_at_us=row["started_at_us"],
            maximum_wait_us=experiment["maximum_wait_us"],
        )
        for ordinal, unit in enumerate(units_of(mine))
    ]
    states = [state]
    for record in records:
        states.append(update(plan, states[-1], record))
    return Story(leg, plan, records, states, row["verdict"], row["reason"])


def _poster(
    number: int,
    change: tuple[str, str, str] | None,
    state: ExperimentState | None,
    stories: Sequence[Story],
) -> Poster:
    """Return what the picture says; a placebo has neither a change nor a state that says anything."""
    heading = f"Experiment {number}: both arms alike (a placebo)"
    if change is not None:
        heading = f"Experiment {number}: {change[0]} {change[1]} → {change[2]}"
    metric = stories[0].plan.metric
    return Poster(
        plain(heading),
        plain(f"{_lead(state, stories[-1])}. {_counts(stories)}"),
        [_drawn(story) for story in stories],
        ARMS[metric],
        is_share=metric is Metric.SUCCESS,
    )


def _lead(state: ExperimentState | None, last: Story) -> str:
    """Return how the experiment stands, with the reason that its last verdict gives."""
    if state is None:
        if last.verdict is None:
            return "A placebo, not decided yet: it should not win"
        return f"A placebo, {last.verdict} ({last.reason})"
    is_taken_back = state is ExperimentState.ROLLED_BACK and last.verdict in (None, Verdict.WIN)
    return LEAD[state].format(reason=TAKEN_BACK if is_taken_back else last.reason)


def _counts(stories: Sequence[Story]) -> str:
    said = []
    for story in stories:
        control, treatment = story.states[-1].assigned
        said.append(f"{story.leg}: {control} old, {treatment} new")
    return "; ".join(said).capitalize() + "."


def _drawn(story: Story) -> WealthLeg:
    path = [
        PathPoint(record.ordinal, state.e_log, record.arm, record.outcome, state.harm_log)
        for record, state in zip(story.records, story.states[1:], strict=True)
    ]
    plan = story.plan
    is_ramp = [record.share == plan.ramp_share != plan.treatment_share for record in story.records]
    return WealthLeg(
        path,
        -math.log(plan.alpha),
        story.leg.value,
        sum(is_ramp),
        is_shaded=story.leg is Leg.PROBATION,
    )
