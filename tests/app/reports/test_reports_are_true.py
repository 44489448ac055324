"""Every figure of a report is what its entries say, from the database as from an export, and nothing else."""

import json
from dataclasses import replace

import pytest

from app.reports import source
from app.reports.rendering import Format, rendered
from services.domain.clock import DAY_US
from services.domain.errors import InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.domain.report_formulas import compute
from services.domain.report_lap import lap_report
from services.domain.report_model import Said, figures_of
from services.domain.report_period import period_report
from services.operations import production_config
from services.store import sql, tables

pytestmark = pytest.mark.slow


def whole(record):
    """Return the report of everything a record holds."""
    return period_report(record, record.entries[0].at_us, record.entries[-1].at_us + 1)


def figures(report, name, section=None):
    return [one for key, one in report.figures() if one.name == name and section in (None, key)]


def test_every_figure_follows_from_just_the_entries_it_names(kept, turned):
    for held, report in ((kept, whole(kept.record)), (turned, lap_report(turned.record, 1))):
        found = list(report.figures())
        assert len(found) > 100
        listed = {item.index for item in report.appendix}
        for section, figure in found:
            entries = [held.record.entries[index] for index in figure.entries]
            assert compute(figure.formula, entries) == figure.value, (section, figure)
            assert set(figure.entries) <= listed
        assert [item.leaf_hash for item in report.appendix] == [
            held.record.leaf_hashes[item.index] for item in report.appendix
        ]


def test_figures_are_what_the_database_says(kept):
    report = whole(kept.record)
    with kept.store.read() as tx:
        experiments = {row["id"]: row for row in sql.find_all(tx, tables.experiment, order_by="id")}
        config = {row["name"]: row["value"] for row in sql.find_all(tx, tables.parameter, order_by="name")}
        config_hash = production_config.config_hash(production_config.snapshot(tx))
    count = {figure.name: figure.value for figure in figures_of((report.headline,))}
    types = [entry.type for entry in kept.record.entries]
    assert count["promotions"] == types.count(EntryType.PROMOTED) == 5
    assert count["rollbacks"] == 2
    assert count["turned_down"] == types.count(EntryType.REFUSED) == 2
    assert count["spent"] is None, "no lap was closed: what was spent is not recorded, and not 0"
    trial = experiments[kept.ids["confirmed"]]
    effects = figures(report, "trial_effect", f"evidence_{trial['proposal_id']}")
    assert [one.value for one in effects] == [pytest.approx(trial["estimate"])]
    ranked = experiments[kept.ids["ranked"]]
    chance = figures(report, "trial_effect", f"evidence_{ranked['proposal_id']}")
    assert [one.value for one in chance] == [pytest.approx(0.5 + ranked["estimate"])]
    after = {row[0]: next(figures_of(((row[2],),))).value for row in _table(report, "config").rows}
    assert after
    assert all(config[name] == value for name, value in after.items())
    assert figures(report, "config_hash_after")[0].value == config_hash


def test_forecasts_are_scored_as_brier_says(turned):
    report = lap_report(turned.record, 1)
    with turned.store.read() as tx:
        ballots = sql.find_all(tx, tables.ballot, order_by="id")
        won = sql.find(tx, tables.experiment, proposal_id=1)["verdict"] == "win"
    scores = {f"agent:{row['agent_id']}": (row["forecast_percent"] / 100 - won) ** 2 for row in ballots}
    assert len(scores) == 6
    shown = {row[0].value: row[3].value for row in _table(report, "ballots_1").rows}
    assert shown == {voter: pytest.approx(score) for voter, score in scores.items()}
    assert figures(report, "brier")[0].value == pytest.approx(sum(scores.values()) / 6)
    assert {row[0].value: row[3].value for row in _table(report, "forecasters").rows} == shown
    assert figures(report, "need")[0].value == 4, "51 % of six"


def _table(report, key):
    return next(
        block for section in report.sections for block in section.blocks if getattr(block, "key", "") == key
    )


def test_refusals_and_acts_of_people_are_told_with_their_reasons(kept):
    report = whole(kept.record)
    refused = {row[2].value + " " + row[3].figures[1].value: row for row in _table(report, "refusals").rows}
    assert len(refused) == 2
    reasons = [row[4].value for row in refused.values()]
    assert any("futile" in reason for reason in reasons)
    assert all(row[5].figures[0].value is not None for row in refused.values()), (
        "with the effect that was seen"
    )
    people = _table(report, "people").rows
    assert [row[1].value for row in people] == ["operator"]
    assert people[0][3].value == "it costs too much"
    assert figures(report, "placebos")[0].value == 1
    assert "rolled back because" in {one.label for one in figures(report, "rolled_back_for")}


def test_a_report_is_the_same_from_the_database_and_from_an_export(kept, turned, typst):
    for held, build in ((kept, whole), (turned, lambda record: lap_report(record, 1))):
        record, verification = source.of_export(held.lines)
        assert f"{len(record.entries)} entries" in verification
        assert record.root in verification
        live, offline = build(held.record), build(record)
        assert live == offline
        for wanted in Format:
            assert rendered(live, wanted) == rendered(offline, wanted), wanted
            told = rendered(source.with_verification(offline, verification), wanted)
            assert told != rendered(live, wanted), "it says that it was verified"


def test_a_period_that_is_over_reads_the_same_for_ever(kept):
    start, end = kept.record.entries[0].at_us, kept.record.entries[40].at_us
    now = period_report(kept.record, start, end)
    size = now.size
    then = period_report(kept.record.first(size), start, end)
    assert then == now
    assert rendered(then, Format.JSON) == rendered(now, Format.JSON)
    assert now.root == kept.record.entries[size].previous_root


def test_an_altered_export_makes_no_report(kept):
    place = next(n for n, line in enumerate(kept.lines) if b'"type":"BALLOT"' in line)
    forged = [*kept.lines]
    forged[place] = forged[place].replace(b'"choice":"for"', b'"choice":"abstain"')
    assert forged != kept.lines
    with pytest.raises(LedgerBrokenError, match=f"entry {place - 1}"):
        source.of_export(forged)
    with pytest.raises(InvalidValueError, match="ledger export"):
        source.of_export([b"{}\n"])


def test_an_empty_period_says_so_and_counts_nothing_that_is_not_recorded(kept):
    end = kept.record.entries[-1].at_us + 400 * DAY_US
    report = period_report(kept.record, end - DAY_US, end)
    assert "Nothing happened" in report.lead
    text = rendered(report, Format.MARKDOWN).decode()
    assert "spent: **not recorded**" in text
    assert "time to detect: **not recorded**" in text
    assert "Nothing was refused in this period." in text
    with pytest.raises(NotFoundError):
        lap_report(kept.record, 7)


def test_erased_and_forged_texts_are_not_shown(turned):
    entry = next(entry for entry in turned.record.entries if entry.type is EntryType.PROPOSAL)
    digest = entry.payload["root_cause_sha256"]
    text = turned.record.blobs[digest].decode()
    told = json.loads(rendered(lap_report(turned.record, 1), Format.JSON))
    shown = [block for one in told["sections"] for block in one["blocks"] if isinstance(block, dict)]
    assert text in [block.get("text") for block in shown]
    for blobs in (
        {name: blob for name, blob in turned.record.blobs.items() if name != digest},
        {**turned.record.blobs, digest: b"another text"},
    ):
        report = lap_report(replace(turned.record, blobs=blobs), 1)
        said = [block for one in report.sections for block in one.blocks if isinstance(block, Said)]
        assert [block.text for block in said if block.about == "Root cause"] == [None]
        assert b"[erased]" in rendered(report, Format.HTML)
        assert b"another text" not in rendered(report, Format.HTML)
