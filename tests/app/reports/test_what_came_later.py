"""What was said or changed after a lap: remarks are told once, a replaced value is named, all else stays."""

from dataclasses import replace

import pytest

from app.periods import days_of
from app.reports import words
from app.reports.markdown import escaped
from app.reports.rendering import Format, rendered
from services.domain.clock import DAY_US
from services.domain.ledger_schema import OPERATOR, Entry, EntryType
from services.domain.report_formulas import compute
from services.domain.report_lap import lap_report
from services.domain.report_model import Figure, Unit
from services.domain.report_period import period_report

pytestmark = pytest.mark.slow


def with_more(record, *acts):
    """Return the record with further entries of the operator, given as (type, payload)."""
    entries, hashes = [*record.entries], [*record.leaf_hashes]
    for kind, payload in acts:
        at_us = entries[-1].at_us + DAY_US
        entries.append(Entry(len(entries), at_us, kind, OPERATOR, None, "ab" * 32, payload))
        hashes.append("cd" * 32)
    return replace(record, entries=entries, leaf_hashes=hashes, root="ab" * 32)


def set_by_hand(parameter, before, after):
    facts = {"config_before": "0" * 64, "config_after": "1" * 64, "version": 9, "read_back": after}
    change = {"parameter": parameter, "from": before, "to": after}
    return EntryType.OVERRIDE, {"act": "set_parameter", "reason": "by hand", **change, **facts}


def section(report, key):
    return next(one for one in report.sections if one.key == key)


def figure_of(report, name):
    return next(one for _, one in report.figures() if one.name == name)


def test_remarks_on_any_entry_of_a_lap_are_told_once_and_change_nothing_else(turned):
    plain = lap_report(turned.record, 1)
    assert section(plain, "remarks").blocks[0].rows == ()
    filed = next(e for e in turned.record.entries if e.type is EntryType.PROPOSAL)
    erased = {"sha256": filed.payload["root_cause_sha256"], "kind": "root_cause", "reason": "a name"}
    kinds = (
        EntryType.ANOMALY, EntryType.RECOVERED, EntryType.LAP_CLOSED, EntryType.VERDICT, EntryType.PROPOSAL,
    )  # fmt: skip
    for kind in kinds:
        about = next(e for e in turned.record.entries if e.type is kind)
        others = set_by_hand("market.cooling", "4", "8")
        placebo = (EntryType.PLACEBO_VERDICT, {"experiment_id": 99, "verdict": "win"})
        acts = (others, placebo, (EntryType.CORRECTION, {"corrects": about.index, "reason": "not so"}))
        longer = with_more(turned.record, *acts, (EntryType.ERASED, erased), others)
        report = lap_report(longer, 1)
        text = rendered(report, Format.MARKDOWN).decode()
        assert text.count(f"corrected entry {about.index} ") == 1, kind
        assert text.count("erased a text: root cause") == 1
        assert report.size == len(longer.entries) - 1, "up to the last remark, without what is no remark"
        same = [one for one in report.sections if one.key != "remarks"]
        assert same == [one for one in plain.sections if one.key != "remarks"], kind
        assert (report.lead, report.headline) == (plain.lead, plain.headline)


def test_a_promoted_value_that_was_replaced_is_said_to_be(turned):
    filed = next(e for e in turned.record.entries if e.type is EntryType.PROPOSAL).payload
    name, new = filed["parameter"], filed["to"]
    assert name.endswith("_seconds")
    longer = with_more(turned.record, set_by_hand("market.cooling", "4", "8"), set_by_hand(name, new, "2"))
    index = len(longer.entries) - 1
    later = with_more(longer, set_by_hand(name, "2", "3"))
    report = lap_report(later, 1)
    assert report == lap_report(longer, 1), "the first replacement is told; later ones are no news of the lap"
    assert "Replaced since by a person on 2026-01-03 00:0" in report.lead
    assert f"(entry {index})" in report.lead
    assert "stays" not in report.lead
    assert figure_of(report, "replaced_with").value == "2"
    changed = section(report, "config").blocks[2].rows
    assert [row[0] for row in changed] == [name], "what another changed since is not the lap's"
    assert changed[0][3].startswith("proposal 1 of lap 1, entry ")
    assert words.cell_text(changed[0][2]) == f"{new} s"
    period = period_report(later, 0, later.entries[-1].at_us + 1)
    by_hand = section(period, "changes").blocks[1].rows
    assert [row[1].value for row in by_hand] == ["market.cooling", name, name]
    assert "3 settings were set by a person" in period.lead
    assert section(period, "config").blocks[2].rows[-1][3].endswith(f"a person, entry {index + 1}")


def test_the_estimate_and_the_plain_difference_stand_side_by_side(kept):
    report = period_report(kept.record, 0, kept.record.entries[-1].at_us + 1)
    gaps = [one for _, one in report.figures() if one.formula == "gap"]
    assert len(gaps) >= 4
    for one in gaps:
        told = kept.record.entries[one.entries[0]].payload
        shares = [float(told[f"{arm}_successes"]) / told[f"{arm}_tasks"] for arm in ("treatment", "control")]
        assert one.value == pytest.approx(shares[0] - shares[1])
        assert len(one.entries) == 1
    text = rendered(report, Format.MARKDOWN).decode()
    assert "estimated effect, weighted for the changing shares" in text
    assert "plain difference counts every task alike" in text
    titles = [one.title for one in report.sections]
    assert titles.index("How trials ended") == titles.index("What was refused, and why") - 1
    timeline = {row[2] for row in section(report, "timeline").blocks[0].table.rows}
    assert {"verdict of the trial: win", "verdict of the probation: win"} <= timeline


def test_times_name_exactly_the_entries_they_use(kept, turned):
    whole = period_report(kept.record, 0, kept.record.entries[-1].at_us + 1)
    for held, report in ((kept, whole), (turned, lap_report(turned.record, 1))):
        for one in section(report, "times").blocks[1]:
            if ">" not in one.formula or not one.entries:
                continue
            entries = [held.record.entries[index] for index in one.entries]
            assert compute(one.formula, entries) == one.value
            for left in range(len(entries)):
                fewer = [e for n, e in enumerate(entries) if n != left]
                is_needed = compute(one.formula, fewer) != one.value or len(entries) > 2
                assert is_needed or one.value is None, (one.name, entries[left])
            starts = one.formula.partition(":")[2].split(">")
            assert {e.type for e in entries} <= set(starts)
            assert not any(e.payload.get("leg") == "probation" for e in entries), one.name


def test_who_was_silent_and_who_had_a_conflict_is_told(turned):
    report = lap_report(turned.record, 1)
    filed = next(e for e in turned.record.entries if e.type is EntryType.PROPOSAL)
    cast = {e.payload["voter"] for e in turned.record.entries if e.type is EntryType.BALLOT}
    first = next(e for e in turned.record.entries if e.type is EntryType.BALLOT)
    assert figure_of(report, "silent").value == (
        ", ".join(who for who in filed.payload["electorate"] if who not in cast) or "nobody"
    )
    assert f"{filed.payload['proposer']} (proposer)" in figure_of(report, "conflicts").value

    def altered(entry):
        if entry is filed:
            terms = {"electorate_mode": "owner", "proposer_unit": "owner:acme", "conflicts": {}}
            return replace(entry, payload={**entry.payload, **terms})
        if entry is first:
            return replace(entry, payload={**entry.payload, "voter": "owner:zeta", "agent": "agent:99"})
        return entry

    entries = [altered(entry) for entry in turned.record.entries]
    told = lap_report(replace(turned.record, entries=entries), 1)
    silent = figure_of(told, "silent").value
    assert first.payload["voter"] in silent.split(", "), "whose ballot is another's now"
    assert figure_of(told, "conflicts").value == "nobody"
    text = rendered(told, Format.MARKDOWN).decode()
    assert "owner:zeta by agent:99" in text
    assert f"{filed.payload['proposer']} of owner:acme" in text
    assert "a vote for each: **owner of agents**" in text
    older = {name: value for name, value in filed.payload.items() if name != "conflicts"}
    entries = [replace(e, payload=older) if e is filed else e for e in turned.record.entries]
    assert figure_of(lap_report(replace(turned.record, entries=entries), 1), "conflicts").value is None


def test_codes_read_as_words_and_money_in_two_decimals():
    def text(name, value, unit=Unit.TEXT):
        return words.cell_text(Figure(name, name, value, unit, (1,), "field:x"))

    plain = ("0.9 to 1.56", "+30.1 pts", "-4", "1.5", "2)x", "0.074")
    assert [escaped(one) for one in plain] == list(plain), "no decimal begins a list"
    marks = ("1. x", "12) x", "7.", "- x", "+ x", "+", "---", "===", "=x")
    assert all("\\" in escaped(one) for one in marks)
    assert text("anomaly_rule", "line") == "fell under the fixed line of success"
    assert text("extended_for", "flip") == "turned the result"
    assert text("anomaly_rule", "of_later") == "of later", "a code without words"
    money = {3_813_490: "3.81 credits", 1_250_000: "1.25 credits", 204: "0.000204 credits", 0: "0.00 credits"}
    assert {value: text("spent", value, Unit.MICROCREDITS) for value in money} == money
    days = {"from": "2026-11-15T00:00:00.000000Z", "to": "2026-11-16T00:00:00.000000Z"}
    assert (days_of(days), days_of(None)) == ("2026-11-15", None)
