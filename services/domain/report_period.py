"""The report of a period: what changed, what was refused and why, who agreed, how far it can be believed.

Stands over the parts and stories of reports. It uses the ledger up to the period's end, so that a period that
is over reads the same for ever. A period in which nothing happened says so.
"""

from typing import Final

from services.domain import report_acts as acts
from services.domain import report_parts as parts
from services.domain import report_stories as stories
from services.domain.clock import to_rfc3339
from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_annals import Annals, Story
from services.domain.report_formulas import figure
from services.domain.report_model import Block, Cell, Figure, LedgerRecord, Report, Section, Table, Unit

TOLD_HIGHEST: Final = 20
"""Changes told in full; further ones stand in the tables alone."""
ROWS_HIGHEST: Final = 500
"""Rows of a table of what happened; beyond them the count is given."""


def period_report(record: LedgerRecord, from_us: int, to_us: int) -> Report:
    """Return the report of [from_us, to_us), microseconds since the epoch; only earlier entries are used."""
    end = sum(1 for entry in record.entries if entry.at_us < to_us)
    used = record.first(end)
    annals = Annals(used)
    mine = [entry for entry in used.entries if entry.at_us >= from_us]
    first = mine[0].index if mine else end
    sections = _sections(annals, mine, first, end)
    headline = _headline(mine)
    blocks = [headline, *(block for section in sections for block in section.blocks)]
    return Report(
        kind="period",
        subject=f"{to_rfc3339(from_us)}/{to_rfc3339(to_us)}",
        title="What the loop did",
        lead=_lead(mine),
        from_us=from_us,
        to_us=to_us,
        headline=headline,
        sections=sections,
        appendix=parts.appendix(used, blocks),
        origin=used.origin,
        size=end,
        root=used.root,
    )


def _of(mine: list[Entry], *kinds: EntryType) -> list[Entry]:
    return [entry for entry in mine if entry.type in kinds]


def not_carried(mine: list[Entry]) -> list[Entry]:
    """Return the tallies that did not pass."""
    return [entry for entry in _of(mine, EntryType.TALLY) if entry.payload["outcome"] != "passed"]


def turned_down(mine: list[Entry]) -> list[Entry]:
    """Return the entries by which a change ended without going into production."""
    ended = _of(mine, EntryType.REFUSED, EntryType.EXPIRED, EntryType.WITHDRAWN)
    return sorted([*ended, *not_carried(mine)], key=lambda entry: entry.index)


def _lead(mine: list[Entry]) -> str:
    if not mine:
        return "Nothing happened in this period: the ledger has no entry of it."
    counts = (
        (len(_of(mine, EntryType.ANOMALY)), "anomaly was seen", "anomalies were seen"),
        (len(_of(mine, EntryType.PROPOSAL)), "change was proposed", "changes were proposed"),
        (len(_of(mine, EntryType.PROMOTED)), "went into production", "went into production"),
        (len(_of(mine, EntryType.CONFIRMED)), "was confirmed", "were confirmed"),
        (len(_of(mine, EntryType.ROLLED_BACK)), "was rolled back", "were rolled back"),
        (len(turned_down(mine)), "was refused or not carried", "were refused or not carried"),
        (len(acts.overrides(mine)), "setting was set by a person", "settings were set by a person"),
    )
    if not any(count for count, _, _ in counts):
        return "Nothing was proposed, tested or changed in this period."
    said = [f"{count:,} {one if count == 1 else more}" for count, one, more in counts]
    return f"{', '.join(said[:-1])}, and {said[-1]}."


def _headline(mine: list[Entry]) -> tuple[Figure, ...]:
    count = [
        ("anomalies", "anomalies seen", (EntryType.ANOMALY,)),
        ("proposals", "changes proposed", (EntryType.PROPOSAL,)),
        ("experiments", "experiments started", (EntryType.EXPERIMENT_STARTED,)),
        ("promotions", "put into production", (EntryType.PROMOTED,)),
        ("confirmations", "confirmed", (EntryType.CONFIRMED,)),
        ("rollbacks", "rolled back", (EntryType.ROLLED_BACK,)),
    ]
    found = [figure(name, label, "count", _of(mine, *kinds), Unit.COUNT) for name, label, kinds in count]
    found.append(figure("turned_down", "refused or not carried", "count", turned_down(mine), Unit.COUNT))
    found.append(figure("overrides", "set by a person", "count", acts.overrides(mine), Unit.COUNT))
    spent = _of(mine, EntryType.LAP_CLOSED)
    found.append(figure("spent", "spent", "total:spent_microcredits", spent, Unit.MICROCREDITS))
    return tuple(found)


def _sections(annals: Annals, mine: list[Entry], first: int, end: int) -> tuple[Section, ...]:
    inside = {entry.index for entry in mine}
    touched = [s for s in annals.stories.values() if any(entry.index in inside for entry in s.entries)]
    moved = [
        story
        for story in touched
        if any(
            e.index in inside
            for e in story.every(EntryType.PROMOTED, EntryType.CONFIRMED, EntryType.ROLLED_BACK)
        )
    ]
    found: list[Section] = []
    drawn = parts.timeline(mine, "timeline", "When what happened")
    if drawn is not None:
        found.append(Section("timeline", "The course of it", (drawn,)))
    found += _changes(annals, moved, acts.overrides(mine))
    found.append(_trials(mine))
    found.append(_refusals(annals, mine))
    found.append(_under_way(touched))
    found.append(_anomalies(mine))
    found.append(parts.forecasters(annals, touched))
    about = {e.index: e for e in (*mine, *(e for story in moved[:TOLD_HIGHEST] for e in story.entries))}
    found.append(acts.remarks(annals, annals.about(about.values())))
    found.append(acts.people(annals, mine))
    found.append(parts.times(mine, is_one=False))
    found.append(parts.cost(mine))
    found.append(parts.config(annals, first, end))
    found.append(parts.trust(annals))
    return tuple(found)


def _changes(annals: Annals, moved: list[Story], overrides: list[Entry]) -> list[Section]:
    """Return what went into production or left it, each told in full as far as there is room."""
    table = Table(
        "changes",
        "Changes",
        ("setting", "change", "estimated effect in the trial (95 % interval)", "E", "how it stands"),
        tuple(_change_row(story) for story in moved[:ROWS_HIGHEST]),
        none="No setting was changed by the loop in this period.",
    )
    says: tuple[Block, ...] = (table, _overrides(annals, overrides))
    if len(moved) > TOLD_HIGHEST:
        says = (*says, f"The first {TOLD_HIGHEST} of {len(moved)} are told in full below.")
    sections = [Section("changes", "What changed", says)]
    for story in moved[:TOLD_HIGHEST]:
        sections += stories.told(annals, story)
    return sections


def _overrides(annals: Annals, entries: list[Entry]) -> Table:
    rows = tuple(
        (
            figure("override_at", "when", "at", [entry], Unit.INSTANT),
            figure("parameter", "setting", "field:parameter", [entry], Unit.TEXT),
            acts.values_of(entry),
            acts.why_of(annals, entry),
        )
        for entry in entries[:ROWS_HIGHEST]
    )
    columns = ("when", "setting", "change", "why")
    none = "No setting was set by a person in this period."
    return Table("overrides", "Set by a person", columns, rows, none=none)


def _change_row(story: Story) -> tuple[Cell, ...]:
    filed, trial = story.proposal, story.trial
    return (
        figure("parameter", "setting", "field:parameter", [filed], Unit.TEXT),
        acts.values_of(filed),
        stories.effect_of(story, trial),
        figure("e", "E", "decimal:e", [trial], Unit.EVIDENCE),
        stories.how_it_stands(story),
    )


def _trials(mine: list[Entry]) -> Section:
    """Return how many trials ended, by how."""
    verdicts = [entry for entry in _of(mine, EntryType.VERDICT) if parts.leg_of(entry) == "trial"]
    by = [
        figure(f"trials_{verdict}", words, "count", found, Unit.COUNT)
        for verdict, words in stories.VERDICT_WORDS.items()
        if (found := [entry for entry in verdicts if entry.payload["verdict"] == verdict])
        or verdict != "invalid"
    ]
    return Section("trials", "How trials ended", (tuple(by),))


def _refusals(annals: Annals, mine: list[Entry]) -> Section:
    """Return every change that ended without going into production, and every trial without a decision."""
    ended = turned_down(mine)
    rows = tuple(_refusal_row(annals, entry) for entry in ended[:ROWS_HIGHEST])
    table = Table(
        "refusals",
        "Refused, not carried, expired or withdrawn",
        ("when", "how", "setting", "change", "why", "estimated effect (95 % interval)", "E", "line"),
        rows,
        none="Nothing was refused in this period.",
        explains="Effect and E are of the trial, where there was one. E must reach the line for a change.",
    )
    more = f"{len(ended) - ROWS_HIGHEST} more are not listed." if len(ended) > ROWS_HIGHEST else ""
    blocks: list[Block] = [table]
    if more:
        blocks.append(more)
    return Section("refusals", "What was refused, and why", tuple(blocks))


def _refusal_row(annals: Annals, entry: Entry) -> tuple[Cell, ...]:
    payload = entry.payload
    story = annals.stories.get(payload["proposal_id"]) if payload.get("proposal_id") is not None else None
    filed, trial = (story.proposal, story.trial) if story is not None else (None, None)
    started = story.first(EntryType.EXPERIMENT_STARTED) if story is not None else None
    setting = figure("parameter", "setting", "field:parameter", [filed or entry], Unit.TEXT)
    why: Figure
    if entry.type is EntryType.TALLY:
        why = figure("why", "why", "field:outcome", [entry], Unit.TEXT)
    elif "reason" in payload:
        why = figure("why", "why", "field:reason", [entry], Unit.TEXT)
    else:
        why = figure("why", "why", "type", [entry], Unit.TEXT)
    return (
        figure("ended_at", "when", "at", [entry], Unit.INSTANT),
        "not carried" if entry.type is EntryType.TALLY else entry.type.lower(),
        setting,
        acts.values_of(filed),
        why,
        stories.effect_of(story, trial),
        figure("e", "E", "decimal:e", [trial], Unit.EVIDENCE),
        figure("line", "line", "line", [started], Unit.EVIDENCE),
    )


def _under_way(touched: list[Story]) -> Section:
    open_now = [story for story in touched if story.end is None]
    rows = tuple(
        (
            figure("filed_at", "filed", "at", [story.proposal], Unit.INSTANT),
            figure("parameter", "setting", "field:parameter", [story.proposal], Unit.TEXT),
            acts.values_of(story.proposal),
            stories.how_it_stands(story),
        )
        for story in open_now[:ROWS_HIGHEST]
    )
    columns = ("filed", "setting", "change", "how it stands")
    table = Table("under_way", "Still under way at the end", columns, rows, none="Nothing is under way.")
    return Section("under_way", "What is still under way", (table,))


def _anomalies(mine: list[Entry]) -> Section:
    seen = _of(mine, EntryType.ANOMALY)
    back = {entry.payload["episode_id"]: entry for entry in _of(mine, EntryType.RECOVERED)}
    rows = tuple(
        (
            figure("anomaly_at", "seen at", "at", [entry], Unit.INSTANT),
            figure("anomaly_metric", "metric", "field:metric", [entry], Unit.TEXT),
            stories.where_of(entry),
            figure("anomaly_rate", "share", "share:numerator/denominator", [entry], Unit.SHARE),
            figure("anomaly_rule", "rule", "field:rule", [entry], Unit.TEXT),
            figure("anomaly_lap", "turn", "lap", [entry], Unit.COUNT),
            figure("recovered_at", "back at", "at", [back.get(entry.payload["episode_id"])], Unit.INSTANT),
        )
        for entry in seen[:ROWS_HIGHEST]
    )
    columns = ("seen at", "metric", "where", "share", "rule", "turn", "back in its band at")
    table = Table("anomalies", "What was seen", columns, rows, none="Nothing was out of its band.")
    return Section("anomalies", "What was seen", (table,))
