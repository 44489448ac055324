"""How one proposed change went, as sections of a report: why, who agreed, what was shown, what followed.

Stands over the annals; every figure comes from a formula over the entries it names. Refusals and trials that
ended without a decision are told as fully as promotions. It never judges.
"""

import math
from typing import Final

from services.domain.bet import BetPlan, BetState
from services.domain.clock import to_datetime
from services.domain.ledger_records import EvidenceRefusedError, read_records
from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_acts import actor_of, replaced_by, unit_of, value_of, values_of
from services.domain.report_annals import Annals, Story
from services.domain.report_formulas import figure, wilson
from services.domain.report_model import (
    ArmDrawn,
    Block,
    Cell,
    Chart,
    Figure,
    Joined,
    LegDrawn,
    Section,
    Table,
    Unit,
)
from services.domain.report_votes import proposer_of, votes
from services.domain.sequential import replay, start, start_probation
from services.domain.states import Leg

TASKS_SHOWN: Final = 40
INTERVAL: Final = "{} ({} to {})"
DRAWN_ROWS: Final = 12
"""Rows of the table beside a drawn path."""
VERDICT_WORDS: Final = {
    "win": "better",
    "loss": "worse",
    "inconclusive": "no decision",
    "invalid": "invalid: the groups did not get the shares of tasks they were promised",
}
E_WORDS: Final = (
    "E measures evidence: it is what one unit, staked again and again on “the new value is better”, would "
    "have grown to. Without a real improvement it reaches 20 with a chance of at most 1 in 20, however often "
    "one looks. The line is how far it must get. The interval beside an effect holds at every look too, and "
    "is more careful than E: it may still include zero when E has reached its line."
)
WEIGHTED: Final = "estimated effect, weighted for the changing shares"
WHY_WEIGHTED: Final = (
    "The estimated effect and the plain difference of the two shares differ because the share of tasks that "
    "get the new value changes during a test: the estimate weighs each task by the share it was drawn with, "
    "the plain difference counts every task alike."
)


def effect_of(story: Story | None, ended: Entry | None, prefix: str = "") -> Joined:
    """Return the effect that a verdict states with its 95 % limits: a gain, or for ranks a chance."""
    is_ranked = story is not None and story.is_ranked
    formula, unit = ("chance", Unit.SHARE) if is_ranked else ("decimal", Unit.POINTS)
    what = "chance that a new task beats an old one" if is_ranked else WEIGHTED
    return Joined(
        f"{what} (95 % interval)",
        INTERVAL,
        (
            figure(f"{prefix}effect", what, f"{formula}:estimate", [ended], unit),
            figure(f"{prefix}effect_lower", "at least (95 %)", f"{formula}:lower", [ended], unit),
            figure(f"{prefix}effect_upper", "at most (95 %)", f"{formula}:upper", [ended], unit),
        ),
    )


def plain_gap(story: Story, ended: Entry | None, name: str) -> tuple[Figure, ...]:
    """Return the plain difference of both groups' shares; nothing for ranks, which have no shares."""
    if story.is_ranked:
        return ()
    return (figure(name, "plain difference of the shares, new − old", "gap", [ended], Unit.POINTS),)


def change_figures(story: Story) -> tuple[Figure | Joined, ...]:
    """Return the setting, both values, and what was expected."""
    filed = story.proposal
    return (
        figure("parameter", "setting", "field:parameter", [filed], Unit.TEXT),
        values_of(filed),
        proposer_of(filed),
        figure("expected", "expected effect", "decimal:expected_effect", [filed], Unit.POINTS),
        figure("metric", "judged by", "field:metric", [filed], Unit.TEXT),
        figure("risk", "risk class", "field:risk", [filed], Unit.TEXT),
        figure("evidence_tasks", "tasks named as evidence", "list:evidence", [filed], Unit.TASKS),
    )


WHOLE: Final = "the whole platform"


def why(annals: Annals, story: Story, level: int) -> Section:
    """Return why the change was asked for: what was seen, and the root cause in the agent's words."""
    blocks: list[Block] = []
    seen = story.lap_first(EntryType.ANOMALY)
    if seen is not None:
        blocks.append(seen_figures(seen))
    blocks.append(change_figures(story))
    blocks.append(annals.said(story.proposal, "root_cause_sha256", about="Root cause"))
    tasks = story.proposal.payload["evidence"]
    more = f" and {len(tasks) - TASKS_SHOWN} more" if len(tasks) > TASKS_SHOWN else ""
    shown = ", ".join(map(str, tasks[:TASKS_SHOWN])) + more
    if tasks:
        blocks.append(f"It names these tasks as evidence: {shown}.")
    return Section(f"why_{story.number}", "Why it was proposed", tuple(blocks), level)


def seen_figures(seen: Entry) -> tuple[Figure | Joined, ...]:
    """Return what an anomaly says."""
    return (
        figure("anomaly_metric", "what was seen", "field:metric", [seen], Unit.TEXT),
        where_of(seen),
        figure("anomaly_rate", "share seen", "share:numerator/denominator", [seen], Unit.SHARE),
        figure("anomaly_of", "of", "field:denominator", [seen], Unit.COUNT),
        figure("anomaly_rule", "found because it", "field:rule", [seen], Unit.TEXT),
        figure("anomaly_at", "seen at", "at", [seen], Unit.INSTANT),
    )


def where_of(seen: Entry) -> Joined:
    """Return where an anomaly was seen: over the whole platform, or in one of its parts."""
    dimension = figure("anomaly_dimension", "dimension", "field:dimension", [seen], Unit.TEXT)
    key = figure("anomaly_key", "where", "field:key", [seen], Unit.TEXT)
    is_whole = (dimension.value, key.value) == ("platform", "all")
    return Joined("where", WHOLE if is_whole else "{} {}", (dimension, key))


def evidence(annals: Annals, story: Story, level: int) -> Section:
    """Return what the trial and the probation showed, with both charts."""
    blocks: list[Block] = []
    legs = (
        ("Trial", story.first(EntryType.EXPERIMENT_STARTED), story.trial, Leg.TRIAL),
        ("Probation", story.first(EntryType.PROBATION_STARTED), story.probation, Leg.PROBATION),
    )
    if legs[0][1] is None:
        blocks.append("No experiment was started.")
    else:
        blocks.append(E_WORDS)
        if story.trial is not None and not story.is_ranked:
            blocks.append(WHY_WEIGHTED)
    for name, started, ended, leg in legs:
        if started is None:
            continue
        blocks.append(f"{name}: {LEG_SAYS[leg]}" + ("" if ended is not None else " It has not ended."))
        blocks.append(leg_figures(story, started, ended))
        if ended is not None and not story.is_ranked:
            blocks.append(arms_chart(story, ended, leg))
    drawn = wealth_chart(annals, story)
    if drawn is not None:
        blocks.append(drawn)
    elif story.trial is not None:
        blocks.append("The records of this experiment are not here, so its path cannot be drawn.")
    return Section(f"evidence_{story.number}", "What the experiment showed", tuple(blocks), level)


LEG_SAYS: Final = {
    Leg.TRIAL: "tasks were assigned to the old or the new value by a draw that was fixed beforehand.",
    Leg.PROBATION: "the new value was in production; a small share of tasks stayed on the old one.",
}


def leg_figures(story: Story, started: Entry | None, ended: Entry | None) -> tuple[Figure | Joined, ...]:
    """Return what one leg came to: verdict, effect with interval, E against its line, both groups."""
    leg = "probation" if started is not None and started.type is EntryType.PROBATION_STARTED else "trial"
    if ended is None:
        return (figure(f"{leg}_line", "line E has to reach", "line", [started], Unit.EVIDENCE),)
    share = "mean rank (higher is better)" if story.is_ranked else "success"
    return (
        figure(f"{leg}_verdict", "verdict", "field:verdict", [ended], Unit.TEXT),
        figure(f"{leg}_reason", "because", "field:reason", [ended], Unit.TEXT),
        effect_of(story, ended, f"{leg}_"),
        *plain_gap(story, ended, f"{leg}_gap"),
        figure(f"{leg}_e", "evidence E", "decimal:e", [ended], Unit.EVIDENCE),
        figure(f"{leg}_line", "line E had to reach", "line", [started], Unit.EVIDENCE),
        figure(f"{leg}_tasks", "tasks", "field:tasks", [ended], Unit.TASKS),
        figure(
            f"{leg}_old", f"old value: {share}", "share:control_successes/control_tasks", [ended], Unit.SHARE
        ),
        figure(
            f"{leg}_new",
            f"new value: {share}",
            "share:treatment_successes/treatment_tasks",
            [ended],
            Unit.SHARE,
        ),
    )


def arms_chart(story: Story, ended: Entry, leg: Leg) -> Chart:
    """Return success by arm with its interval."""
    terms = story.proposal.payload
    values = {"control": terms["from"][:40], "treatment": terms["to"][:40]}
    values = {arm: f"{value}{unit_of(terms['parameter'])}" for arm, value in values.items()}
    drawn, rows = [], []
    for arm, name in (("control", "old"), ("treatment", "new")):
        successes, tasks = float(ended.payload[f"{arm}_successes"]), ended.payload[f"{arm}_tasks"]
        lower, upper = wilson(successes, tasks)
        drawn.append(ArmDrawn(f"{name}: {values[arm]}", successes, tasks, lower, upper))
        share = f"share:{arm}_successes/{arm}_tasks"
        rows.append(
            (
                f"{name}: {values[arm]}",
                figure(f"{leg}_{arm}_tasks", "tasks", f"field:{arm}_tasks", [ended], Unit.TASKS),
                figure(f"{leg}_{arm}_won", "succeeded", f"decimal:{arm}_successes", [ended], Unit.COUNT),
                figure(f"{leg}_{arm}_share", "share", share, [ended], Unit.SHARE),
                figure(f"{leg}_{arm}_lower", "at least", f"arm_limit:{arm}/lower", [ended], Unit.SHARE),
                figure(f"{leg}_{arm}_upper", "at most", f"arm_limit:{arm}/upper", [ended], Unit.SHARE),
            )
        )
    title = f"Success by value in the {leg}"
    table = Table(
        f"arms_{story.number}_{leg}",
        title,
        ("value", "tasks", "succeeded", "share", "at least", "at most"),
        tuple(rows),
    )
    says = "Bars are the share of tasks that succeeded; lines are 95 % intervals of each share, for the eye."
    return Chart(f"arms_{story.number}_{leg}", title, says, tuple(drawn), table, (ended.index,))


def wealth_chart(annals: Annals, story: Story) -> Chart | None:
    """Return the path of E task by task, replayed from the records; None where they are erased."""
    legs = drawn_legs(annals, story)
    if not legs:
        return None
    used = story.every(EntryType.EXPERIMENT_STARTED, EntryType.PROBATION_STARTED, EntryType.VERDICT)
    rows: list[tuple[Cell, ...]] = []
    for leg in legs:
        step = max(1, math.ceil(len(leg.path) / (DRAWN_ROWS / len(legs))))
        kept = sorted({*range(step - 1, len(leg.path), step), len(leg.path) - 1} - {-1})
        rows += [(leg.name, str(leg.path[n][0] + 1), e_text(leg.path[n][1])) for n in kept]
    title = f"Evidence of experiment {used[0].payload['experiment_id']}, task by task"
    table = Table(f"wealth_{story.number}", title, ("part", "after task", "evidence E"), tuple(rows))
    says = (
        "The line is E after each task; the dashed line is where it decides"
        + ("; the shaded part is the probation" if len(legs) > 1 else "")
        + ". Beneath: what the tasks with the old and the new value came to."
    )
    indexes = tuple(entry.index for entry in used)
    return Chart(f"wealth_{story.number}", title, says, tuple(legs), table, indexes)


def e_text(log_e: float) -> str:
    """Return E of a natural logarithm to three digits."""
    return f"{math.exp(min(log_e, 700.0)):.3g}"


def drawn_legs(annals: Annals, story: Story) -> list[LegDrawn]:
    """Return the ended legs of a story with their paths, as far as their records are there."""
    started, ended = story.first(EntryType.EXPERIMENT_STARTED), story.trial
    if started is None or ended is None:
        return []
    plan = BetPlan.from_payload(started.payload["plan"])
    found = _leg(annals, ended, plan, start(plan))
    if found is None:
        return []
    leg, state = found
    second, verdict = story.first(EntryType.PROBATION_STARTED), story.probation
    if second is None or verdict is None:
        return [leg]
    own = BetPlan.from_payload(second.payload["plan"])
    later, begun = start_probation(
        plan, state, alpha=own.alpha, share=own.treatment_share, cap_tasks=own.cap_tasks
    )
    after = _leg(annals, verdict, later, begun, name="probation")
    return [leg] if after is None else [leg, after[0]]


def _leg(
    annals: Annals, ended: Entry, plan: BetPlan, state: BetState, name: str = "trial"
) -> tuple[LegDrawn, BetState] | None:
    blob = annals.blob(ended.payload["records_sha256"])
    if blob is None:
        return None
    try:
        _, records = read_records(blob)
        done = replay(plan, records, state)
    except (EvidenceRefusedError, ValueError):
        return None
    path = tuple(
        (n, point.log_e, record.arm, record.outcome)
        for n, (point, record) in enumerate(zip(done.path, records, strict=False))
    )
    ramp = 0 if plan.ramp_share is None else sum(record.share == plan.ramp_share for record in records)
    is_share = not plan.metric.is_ranked
    line = math.log(1.0 / plan.alpha)
    return LegDrawn(name, path, line, ramp, name == "probation", is_share), done.state


def after(_annals: Annals, story: Story, level: int) -> Section:
    """Return what followed: promotion, probation, confirmation or rollback, recovery, replacement."""
    promoted, confirmed = story.first(EntryType.PROMOTED), story.first(EntryType.CONFIRMED)
    undone, recovered = story.first(EntryType.ROLLED_BACK), story.lap_first(EntryType.RECOVERED)
    name = story.proposal.payload["parameter"]
    figures = [
        figure("promoted_at", "put into production", "at", [promoted], Unit.INSTANT),
        value_of("read_back", "value read back", "field:read_back", [promoted], name),
        figure("confirmed_at", "confirmed after probation", "at", [confirmed], Unit.INSTANT),
        figure("rolled_back_at", "rolled back", "at", [undone], Unit.INSTANT),
        figure("rolled_back_for", "rolled back because", "field:reason", [undone], Unit.TEXT),
        figure("rolled_back_by", "rolled back by", "actor", [undone], Unit.TEXT),
        figure("recovered_at", "metric back in its band", "at", [recovered], Unit.INSTANT),
        figure("recovered_rate", "share then", "share:numerator/denominator", [recovered], Unit.SHARE),
        *replaced_by(story),
    ]
    shown = tuple(one for one in figures if not isinstance(one, Figure) or one.entries)
    blocks: tuple[Block, ...] = (how_it_stands(story), *((shown,) if shown else ()))
    return Section(f"after_{story.number}", "What happened after", blocks, level)


def how_it_stands(story: Story) -> str:
    """Return in a sentence how the change ended, or where it stands; also what replaced its value since."""
    since = story.replaced
    if since is None:
        return _standing(story)
    moment = f"{to_datetime(since.at_us):%Y-%m-%d %H:%M} UTC"
    how = "Replaced" if story.first(EntryType.ROLLED_BACK) is None else "Set anew"
    return f"{_standing(story)} {how} since by {actor_of(since)} on {moment} (entry {since.index})."


def _standing(story: Story) -> str:
    end, promoted = story.end, story.first(EntryType.PROMOTED)
    if end is not None:
        return END_WORDS[end.type] + (
            f" The reason given: {end.payload['reason']}." if "reason" in end.payload else ""
        )
    if promoted is not None:
        return "The new value went into production and into probation: it is not confirmed yet."
    if story.first(EntryType.EXPERIMENT_STARTED) is not None:
        return "The experiment goes on; the old value is in force."
    if story.first(EntryType.TALLY) is not None:
        return "The vote passed; no experiment has started yet."
    return "The vote is still open."


END_WORDS: Final = {
    EntryType.CONFIRMED: "Confirmed: the new value held in probation.",
    EntryType.ROLLED_BACK: "Rolled back: the old value was put into force again.",
    EntryType.REFUSED: "Refused: the old value was kept.",
    EntryType.EXPIRED: "Expired: the vote passed, and no experiment could start in time.",
    EntryType.WITHDRAWN: "Withdrawn by its proposer before the first ballot.",
    EntryType.TALLY: "The vote did not carry it: the old value was kept.",
}


PARTS: Final = (why, votes, evidence, after)
"""The sections that tell of one change, in order."""


def change_of(story: Story) -> str:
    """Return a change in words: the setting, both values, their unit where it is known."""
    terms = story.proposal.payload
    name = terms["parameter"]
    return f"{name} {terms['from']} → {terms['to']}{unit_of(name)}"


def told(annals: Annals, story: Story) -> list[Section]:
    """Return all that a report tells of one change: how it stands, then each part."""
    title = f"Proposal {story.number}: {change_of(story)}"
    head = Section(f"story_{story.number}", title, (how_it_stands(story),))
    return [head, *(part(annals, story, 2) for part in PARTS)]
