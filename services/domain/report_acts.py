"""What people did, as tables of reports: acts and overrides, corrections and erasures, each with its reason.

Stands over the annals, under the sections of reports. Reasons stand as quotations or as the entry has them.
It never judges an act.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_annals import Annals, Story
from services.domain.report_formulas import figure
from services.domain.report_model import Cell, Figure, Joined, Section, Table, Unit

UNIT_OF_ENDING: Final = {"seconds": " s", "percent": " %"}
"""What a value counts in when the last word of its parameter's name says so for certain."""


def unit_of(parameter: str) -> str:
    """Return the unit of a parameter's values with a space before it, "" where its name does not say."""
    return UNIT_OF_ENDING.get(parameter.rpartition(".")[2].rpartition("_")[2], "")


def value_of(
    name: str, label: str, formula: str, entries: Iterable[Entry | None], parameter: str
) -> Figure | Joined:
    """Return a value of a parameter as a cell, with its unit where that is known."""
    found = figure(name, label, formula, entries, Unit.TEXT)
    unit = unit_of(parameter)
    return Joined(label, f"{{}}{unit}", (found,)) if unit and found.value is not None else found


def values_of(filed: Entry | None) -> Joined:
    """Return the values before and after a change, proposed or made by a person."""
    unit = unit_of(filed.payload["parameter"]) if filed is not None else ""
    return Joined(
        "change",
        f"{{}} → {{}}{unit}",
        (
            figure("from", "from", "field:from", [filed], Unit.TEXT),
            figure("to", "to", "field:to", [filed], Unit.TEXT),
        ),
    )


def actor_of(entry: Entry) -> str:
    """Return who changed a setting by an entry: a person, a proposal, a rollback, or the platform."""
    if entry.is_by_person:
        return "a person"
    if entry.type is EntryType.PROMOTED:
        return f"proposal {entry.payload['proposal_id']}"
    return "a rollback" if entry.type is EntryType.ROLLED_BACK else "the platform"


def acts_table(annals: Annals, acts: Sequence[Entry], key: str, title: str, none: str) -> Table:
    """Return acts of people one a row: when, who, what, on what, why."""
    rows = tuple(
        (
            figure("act_at", "when", "at", [entry], Unit.INSTANT),
            figure("act_by", "who", "actor", [entry], Unit.TEXT),
            _act(entry),
            why_of(annals, entry),
        )
        for entry in acts
    )
    return Table(key, title, ("when", "who", "what", "why"), rows, none=none)


def _act(entry: Entry) -> Figure | Joined:
    payload = entry.payload
    if entry.type is EntryType.CORRECTION:
        found = figure("act", "corrects entry", "field:corrects", [entry], Unit.COUNT)
        return Joined("corrects entry", "corrected entry {}", (found,))
    if entry.type is EntryType.ERASED:
        found = figure("act_kind", "what was erased", "field:kind", [entry], Unit.TEXT)
        return Joined("what was erased", "erased a text: {}", (found,))
    if entry.type is EntryType.OVERRIDE and "to" in payload:
        change = values_of(entry)
        setting = figure("parameter", "setting", "field:parameter", [entry], Unit.TEXT)
        return Joined("setting that was set", f"set {{}}: {change.form}", (setting, *change.figures))
    for name in ("act", "decision", "parameter", "metric", "shown_sha256"):
        if name in payload:
            note = str(payload.get("parameter") or payload.get("job") or "")
            label = f"{entry.type.replace('_', ' ').lower()} {note}".strip()
            return figure("act", label, f"field:{name}", [entry], Unit.TEXT, note=label)
    return figure("act", "what", "type", [entry], Unit.TEXT)


def why_of(annals: Annals, entry: Entry) -> Cell:
    """Return why somebody acted: the quotation of a text, or the reason that the entry holds."""
    if "reason_sha256" in entry.payload:
        return annals.said(entry, "reason_sha256", author=str(entry.payload.get("reviewer") or entry.actor))
    return figure("act_reason", "why", "field:reason", [entry], Unit.TEXT)


def people(annals: Annals, entries: Sequence[Entry]) -> Section:
    """Return what people did, and freezes of promotion."""
    acts = annals.people(entries)
    frozen = [entry for entry in entries if entry.type is EntryType.FROZEN]
    shown = sorted([*acts, *frozen], key=lambda entry: entry.index)
    table = acts_table(annals, shown, "people", "Acts of people", "No person acted.")
    return Section("people", "What people did", (table,))


def remarks(annals: Annals, found: Sequence[Entry]) -> Section:
    """Return the corrections and erasures that speak of what a report tells."""
    none = "Nothing that this report tells was corrected or erased."
    table = acts_table(annals, found, "remarks", "Corrections and erasures", none)
    return Section("remarks", "What was corrected or erased", (table,))


def overrides(entries: Iterable[Entry]) -> list[Entry]:
    """Return the settings that people set among entries."""
    return [entry for entry in entries if entry.type is EntryType.OVERRIDE and "to" in entry.payload]


def replaced_by(story: Story) -> list[Figure | Joined]:
    """Return when, by whom and by what a promoted value was replaced, nothing where it was not."""
    entry = story.replaced
    if entry is None:
        return []
    return [
        figure("replaced_at", "replaced at", "at", [entry], Unit.INSTANT),
        figure("replaced_by", "replaced by", "actor", [entry], Unit.TEXT),
        value_of("replaced_with", "replaced with", "field:to", [entry], entry.payload["parameter"]),
    ]
