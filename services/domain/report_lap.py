"""The report of one lap: from what was seen to what became of it, computed from the ledger alone.

Stands over the parts and stories of reports. Everything in it is of the ledger up to the lap's own last
entry; of what came later it has only the remarks on the lap's entries (corrections, erasures) and the first
entry that replaced its value. So it stays the same, byte for byte, until there is a new one of these.
"""

from services.domain import report_acts as acts
from services.domain import report_parts as parts
from services.domain import report_stories as stories
from services.domain.errors import NotFoundError
from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_annals import Annals, Story
from services.domain.report_formulas import figure
from services.domain.report_model import Block, Figure, Joined, LedgerRecord, Report, Section, Unit


def lap_report(record: LedgerRecord, lap_id: int) -> Report:
    """Return the report of a lap; raise NotFoundError when the ledger has no entry of it."""
    whole = Annals(record)
    later = [story for story in whole.stories.values() if story.proposal.lap == lap_id]
    of_it = {e.index: e for e in whole.laps.get(lap_id, [])}
    of_it |= {entry.index: entry for story in later for entry in story.entries}
    if not of_it:
        msg = f"the ledger has no entry of lap {lap_id}"
        raise NotFoundError(msg, field="lap_id")
    mine = [of_it[index] for index in sorted(of_it)]
    annals = Annals(record.first(mine[-1].index + 1))
    told = [annals.stories[story.number] for story in later]
    for story in told:
        story.replaced = whole.stories[story.number].replaced
    remarks = whole.about(mine)
    news = [*remarks, *(story.replaced for story in told if story.replaced is not None)]
    end = max(entry.index for entry in (mine[-1], *news)) + 1
    used = record.first(end)
    sections = _sections(annals, mine, told, remarks)
    headline = _headline(mine, told)
    blocks = [headline, *(block for section in sections for block in section.blocks)]
    return Report(
        kind="lap",
        subject=str(lap_id),
        title=f"Lap {lap_id}: one turn of the loop",
        lead=lead_of(mine, told),
        from_us=mine[0].at_us,
        to_us=max(entry.at_us for entry in (mine[-1], *news)),
        headline=headline,
        sections=sections,
        appendix=parts.appendix(used, blocks),
        origin=used.origin,
        size=end,
        root=used.root,
    )


def lead_of(mine: list[Entry], told: list[Story]) -> str:
    """Return the lap in a few sentences."""
    seen = next((entry for entry in mine if entry.type is EntryType.ANOMALY), None)
    said = []
    if seen is not None:
        cell = stories.where_of(seen)
        where = cell.form.format(*(str(one.value).replace("_", " ") for one in cell.figures))
        said.append(f"The platform saw {seen.payload['metric'].replace('_', ' ')} out of its band ({where}).")
    if not told:
        said.append("No change was proposed.")
    for story in told:
        terms = story.proposal.payload
        said.append(f"{terms['proposer']} proposed to change {stories.change_of(story)}.")
        said.append(stories.how_it_stands(story))
    closed = [entry for entry in mine if entry.type is EntryType.LAP_CLOSED]
    if closed:
        said.append(f"The turn is closed: {closed[-1].payload['outcome'].replace('_', ' ')}.")
    return " ".join(said)


def _headline(mine: list[Entry], told: list[Story]) -> tuple[Figure | Joined, ...]:
    of = {kind: [entry for entry in mine if entry.type is kind] for kind in EntryType}
    story = told[-1] if told else None
    figures: list[Figure | Joined] = []
    if story is not None:
        figures += [
            figure("parameter", "setting", "field:parameter", [story.proposal], Unit.TEXT),
            acts.values_of(story.proposal),
            stories.effect_of(story, story.trial),
            *stories.plain_gap(story, story.trial, "plain_gap"),
            figure("evidence", "evidence E of the trial", "decimal:e", [story.trial], Unit.EVIDENCE),
        ]
    recovered = parts.of_span(mine, EntryType.ANOMALY, EntryType.RECOVERED, is_one=True)
    span = f"elapsed:{EntryType.ANOMALY}>{EntryType.RECOVERED}"
    figures.append(figure("recovered_in", "recovered after", span, recovered, Unit.MICROSECONDS))
    spent = of[EntryType.LAP_CLOSED]
    figures.append(figure("spent", "spent", "total:spent_microcredits", spent, Unit.MICROCREDITS))
    return tuple(figures)


def _sections(
    annals: Annals, mine: list[Entry], told: list[Story], remarks: list[Entry]
) -> tuple[Section, ...]:
    found: list[Section] = []
    drawn = parts.timeline(mine, "timeline", "When what happened")
    found.append(Section("timeline", "The course of it", (drawn,) if drawn is not None else ("Nothing.",)))
    if not told:
        seen = next((entry for entry in mine if entry.type is EntryType.ANOMALY), None)
        blocks: list[Block] = [stories.seen_figures(seen)] if seen is not None else []
        found.append(Section("seen", "What was seen", (*blocks, "No change was proposed in this turn.")))
    for story in told:
        found += stories.told(annals, story)
    found.append(acts.remarks(annals, remarks))
    if told:
        found.append(parts.forecasters(annals, told))
    found.append(acts.people(annals, mine))
    found.append(parts.times(mine, is_one=True))
    found.append(parts.cost(mine))
    found.append(parts.config(annals, mine[0].index, mine[-1].index + 1))
    found.append(parts.trust(annals))
    return tuple(found)
