"""A person's changes of the config: compare-and-set, with a reason, all of an import or none."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from services import evolution_ledger
from services.domain.canonical import digest_hex
from services.domain.clock import to_rfc3339
from services.domain.errors import ConflictError, LedgerBrokenError, NacreError, NotFoundError
from services.operations import overrides, production_config
from services.operations.overrides import Wanted
from services.store import sql, tables, views
from services.store.views.config_history import point_of
from tests.services.laboratory import TIMEOUT

COOLING, STAKE, ELECTORATE = "market.cooling", "market.stake_percent", "consensus.electorate"


def set_one(market, name, value, version=None, reason="it must be so", actor="operator"):
    with market.write(actor) as tx:
        wanted = Wanted(name, value, version)
        return overrides.set_parameter(tx, market.platform.registry, wanted, reason=reason)


def set_many(market, *wanted):
    with market.write("operator") as tx:
        made = [Wanted(*one) for one in wanted]
        return overrides.set_many(tx, market.platform.registry, made, reason="as exported")


def leaves(market):
    return [json.loads(row["leaf"]) for row in market.rows(tables.ledger_entry)]


def folded(entries):
    """Return the config that entries amount to, by this test's own rule."""
    config = {}
    for entry in entries:
        payload = entry["payload"]
        if "config" in payload:
            config = dict(payload["config"])
        elif "parameter" in payload and "config_after" in payload:
            config[payload["parameter"]] = payload.get("to", payload.get("value"))
    return config


def test_an_override_is_written_down_and_found_at_any_instant_and_size(market):
    instants = [market.platform.store.clock.now_us()]
    for name, value in ((COOLING, "16.0"), (STAKE, "0"), (ELECTORATE, "owner"), (COOLING, "1")):
        market.pass_seconds(60)
        done = set_one(market, name, value, reason=f"{name} because")
        instants.append(market.platform.store.clock.now_us())
        assert done.read_back == done.value
    last = leaves(market)[-1]
    assert (last["type"], last["actor"]) == ("OVERRIDE", "operator")
    facts = last["payload"]
    expected = {"act": "set_parameter", "reason": f"{COOLING} because", "parameter": COOLING}
    expected |= {"from": "16", "to": "1", "version": 3, "read_back": "1"}
    assert facts == facts | expected
    change = market.row(tables.parameter_change, name=COOLING, version=3)
    assert (change["reason"], change["source"]) == (f"{COOLING} because", "override")
    assert change["ledger_index"] == last["index"]
    told = [json.dumps(row["payload"]) for row in market.rows(tables.event, type="ParameterOverridden")]
    assert len(told) == 4
    with market.read() as tx:
        found = [views.parameter_at(tx, COOLING, to_rfc3339(at_us)) for at_us in instants]
        assert [(one["value"], one["version"], one["source"]) for one in found] == [
            ("4", 1, "default"), ("16", 2, "override"), ("16", 2, "override"), ("16", 2, "override"),
            ("1", 3, "override"),
        ]  # fmt: skip
        entries = leaves(market)
        for size in range(1, len(entries) + 1):
            config = point_of(tx, str(size), "size").values
            assert config == folded(entries[:size])
            assert digest_hex(config) == entries[size - 1]["payload"].get("config_after", digest_hex(config))
        assert point_of(tx, to_rfc3339(instants[-1]), "at").values == production_config.snapshot(tx)
        for missing in (lambda: views.parameter_at(tx, COOLING, to_rfc3339(0)),
                        lambda: point_of(tx, str(len(entries) + 1), "size")):  # fmt: skip
            with pytest.raises(NotFoundError):
                missing()
        lines = list(evolution_ledger.export_lines(tx, market.platform.signer))
    assert evolution_ledger.verify_export(lines).ok


def test_what_may_not_be_set_is_refused_and_changes_nothing(market):
    with market.write() as tx:
        retired = {"name": "old.prompt", "value": "said", "version": 1, "source": "default"}
        sql.insert(tx, tables.parameter, **retired, changed_at_us=tx.now_us)
    before = (leaves(market), market.rows(tables.parameter))
    set_market = (
        (("market.cooling", "8"), {"actor": "agent:1"}, "forbidden"),
        (("market.cooling", "8"), {"reason": " "}, "reason_missing"),
        (("market.cooling", "8"), {"reason": "x" * 501}, "reason_length"),
        (("market.cooling", "8"), {"version": 2}, "version_changed"),
        (("market.cooling", "17"), {}, "value_out_of_bounds"),
        (("market.cooling", "9" * 27), {}, "value_out_of_bounds"),
        (("market.cooling", f"-8.{'0' * 30}"), {}, "value_out_of_bounds"),
        (("market.cooling", "1e1"), {}, "value_not_a_number"),
        (("market.cooling", "4.00"), {}, "value_unchanged"),
        (("market.stake_percent", "0.5"), {}, "value_not_whole"),
        (("consensus.electorate", "Owner"), {}, "value_not_a_choice"),
        (("market.coоling", "8"), {}, "not_found"),
        (("old.prompt", "8"), {}, "parameter_retired"),
    )
    for arguments, more, code in set_market:
        with pytest.raises(NacreError) as refusal:
            set_one(market, *arguments, **more)
        assert (refusal.value.code, bool(refusal.value.field)) == (code, True), arguments
    for wanted, code in (
        ([(COOLING, "8"), (STAKE, "51")], "value_out_of_bounds"),
        ([(COOLING, "8"), ("market.unknown", "1")], "not_found"),
        ([(COOLING, "8"), (STAKE, "10", 7)], "version_changed"),
        ([(COOLING, "8"), ("old.prompt", "1")], "parameter_retired"),
        ([(COOLING, "8"), (COOLING, "7")], "parameter_twice"),
    ):
        with pytest.raises(NacreError) as refusal:
            set_many(market, *wanted)
        assert refusal.value.code == code
        assert wanted[-1][0] in refusal.value.detail
    assert (leaves(market), market.rows(tables.parameter)) == before


def test_an_import_sets_what_differs_each_with_its_own_entry(market):
    size = len(leaves(market))
    done = set_many(market, (STAKE, "10", 1), (ELECTORATE, "owner"), (COOLING, "4.0", 9))
    assert [(one.name, one.value) for one in done] == [(ELECTORATE, "owner"), (STAKE, "10")]
    written = leaves(market)[size:]
    assert [entry["type"] for entry in written] == ["OVERRIDE", "OVERRIDE"]
    assert written[0]["payload"]["config_after"] == written[1]["payload"]["config_before"]


def test_exactly_one_of_two_racing_people_sets_it(market):
    for version in range(1, 6):
        barrier = Barrier(2)

        def act(value, version=version, barrier=barrier):
            barrier.wait(timeout=60)
            try:
                return set_one(market, COOLING, value, version).value
            except ConflictError as error:
                return error.code

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(act, [f"{version}.25", f"{version}.5"])
        lost = [one for one in (first, second) if one == "version_changed"]
        assert len(lost) == 1
        won = first if second == "version_changed" else second
        assert market.row(tables.parameter, name=COOLING)["value"] == won


def test_a_config_that_is_not_the_ledgers_is_not_overridden(market):
    with market.write() as tx:
        sql.update(tx, tables.parameter, {"name": STAKE}, value="1")
    with pytest.raises(LedgerBrokenError):
        set_one(market, COOLING, "8")
    assert market.row(tables.parameter, name=COOLING)["version"] == 1


def test_what_an_experiment_holds_is_left_to_it_and_a_rollback_knows_of_overrides(lab):
    number = lab.running()
    for act in (
        lambda: set_one(lab, TIMEOUT, "100"),
        lambda: set_many(lab, (COOLING, "8"), (TIMEOUT, "100")),
    ):
        with pytest.raises(ConflictError) as refusal:
            act()
        assert (refusal.value.code, refusal.value.arguments["experiment_id"]) == (
            "experiment_running",
            number,
        )
    assert lab.value(COOLING).version == 1
    lab.run_experiment(number)
    lab.deliver()
    lab.roll_back("costs doubled")
    assert lab.row(tables.parameter_change, name=TIMEOUT, version=3)["reason"] == "costs doubled"
    assert set_one(lab, TIMEOUT, "600").version == 4
    with pytest.raises(ConflictError) as refusal:
        lab.roll_back()
    assert refusal.value.code == "version_changed"
    assert (lab.value().value, lab.audit().ok) == ("600", True)
