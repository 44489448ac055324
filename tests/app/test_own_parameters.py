"""An operator's own parameters: what a file may declare, and what is refused with file, section and key."""

import pytest

from app.bootstrap import open_platform
from app.cli.actions.parameter_files import read_import
from app.own_parameters import registry_with_own
from app.settings import Settings
from services.domain.clock import VirtualClock
from services.domain.errors import InvalidValueError
from services.domain.parameters import PLATFORM_PARAMETERS, Parameter, ParameterRegistry, Risk
from services.evolution_ledger import export_lines, verify_export
from services.operations import production_config
from services.store import tables, views
from tests.services.laboratory import Laboratory

SHARED = 'owner = "ops"\nsummary = "What it says."\n'
OWN = f"""
[research_synthesis.prompt]
kind = "text"
default = '''Read every source.
Answer in 5 lines. "Quote" <b>nothing</b>.'''
risk = "gated"
length_max = 500
{SHARED}
[research_synthesis.style]
kind = "choice"
choices = ["brief", "full"]
default = "brief"
risk = "open"
{SHARED}
[research_synthesis.pause]
kind = "duration"
default = "1m30s"
low = 1
high = "2h"
step_max = 4
risk = "open"
{SHARED}
[research_synthesis.depth]
kind = "number"
default = 3
low = 0.5
high = 9
unit = "levels"
risk = "fixed"
{SHARED}"""
KNOWN = ParameterRegistry([
    *PLATFORM_PARAMETERS,
    Parameter("my_type.timeout_seconds", "9", "1", "99", "2", "seconds", "my_type", Risk.OPEN, "Time."),
])  # fmt: skip


def section(name="my_type.size", **changes):
    keys = {"kind": '"number"', "default": "3", "low": "1", "high": "9", "unit": '"cm"', "risk": '"open"'}
    keys |= {"owner": '"ops"', "summary": '"How big."', **changes}
    return f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items() if value is not None)


def text(**changes):
    keys = {"kind": '"text"', "risk": '"gated"', "default": '"x"', "low": None, "high": None, "unit": None}
    return section(**{**keys, **changes})


REFUSED = (
    (section(color='"red"'), "my_type.size.color", "no key of a number parameter"),
    (section(kind='"colour"'), "my_type.size.kind", "one of number, duration, choice, text"),
    (section(kind=None), "my_type.size.kind", "is missing"),
    (section(default=None), "my_type.size.default", "is missing"),
    (section(owner=None), "my_type.size.owner", "is missing"),
    (section(risk='"none"'), "my_type.size.risk", "one of open, gated, fixed"),
    (section(default="true"), "my_type.size.default", "must be a number"),
    (section(default="nan"), "my_type.size.default", "must be a number"),
    (section(default='"1e0"'), "my_type.size.default", "plain digits"),
    (section(default="2026-01-01"), "my_type.size.default", "must be a number"),
    (section(default="10"), "my_type.size.default", "within 1 and 9"),
    (section(default="1.5", whole="true"), "my_type.size.default", "not whole"),
    (section(whole='"yes"'), "my_type.size.whole", "true or false"),
    (section(low="9", high="1"), "my_type.size.low", "reversed"),
    (section(step_max="0.5"), "my_type.size.step_max", "at least 1"),
    (section(summary='"a\\nb"'), "my_type.size.summary", "one line"),
    (section(summary='"a\\u202Eb"'), "my_type.size.summary", "visible"),
    (section(choices='["a", "b"]'), "my_type.size.choices", "no key of a number parameter"),
    (text(risk='"open"'), "my_type.size.risk", "gated or fixed"),
    (text(default='""'), "my_type.size.default", "1 to 4000"),
    (text(default='"a\\u200Bb"'), "my_type.size.default", "U+200B"),
    (text(length_max="4001"), "my_type.size.length_max", "4000"),
    (text(kind='"choice"', choices='["a"]', default='"a"'), "my_type.size.choices", "two or more"),
    (text(kind='"choice"', choices='["a", 1]', default='"a"'), "my_type.size.choices", "list of strings"),
    (text(kind='"choice"', choices='["a", "b"]', default='"c"'), "my_type.size.default", "one of a, b"),
    (section("market.stake_percent"), "market", "platform's own"),
    (section("market.mine"), "market", "platform's own"),
    (section("my_type.timeout_seconds"), "my_type.timeout_seconds", "registered twice"),
    (section("my_type.timeoutseconds"), "my_type.timeoutseconds", "mistaken for my_type.timeout_seconds"),
    (section("rnarket.stake_percent"), "rnarket.stake_percent", "mistaken for market.stake_percent"),
    (section('"mаrket".stake_percent'), "mаrket", "lower-case letters"),
    (section("my_type.Size"), "my_type.Size", "lower-case letters"),
    (section("my_type.a.b"), "my_type.a", "nothing nested"),
    (section('"my_type.size"'), "my_type.size", "sections like [my_type.prompt]"),
    (section("size"), "size.kind", "nothing nested"),
    (section() + "\n" + section(), "file", "is not TOML"),
    ("[my_type.size", "file", "is not TOML"),
    (section("my_type." + "a" * 96), "my_type." + "a" * 88, "96 characters"),
)  # fmt: skip


def test_what_is_not_exactly_right_is_refused_with_file_section_and_key(tmp_path, monkeypatch):
    monkeypatch.setattr("services.domain.parameters.RETIRED_NAMES", frozenset({"my_type.gone"}))
    file = tmp_path / "own.toml"
    for content, field, why in (*REFUSED, (section("my_type.gone"), "my_type.gone", "retired")):
        file.write_text(content)
        with pytest.raises(InvalidValueError) as refusal:
            registry_with_own(KNOWN, file)
        error = refusal.value
        assert (error.code, error.field) == ("own_parameters_invalid", field), content
        assert error.detail.startswith(f"{file}:"), content
        assert why in error.detail, (content, error.detail)
    file.write_bytes(b"\xff")
    with pytest.raises(InvalidValueError, match="not UTF-8"):
        registry_with_own(KNOWN, file)
    with pytest.raises(InvalidValueError, match="cannot be read"):
        registry_with_own(KNOWN, tmp_path / "none.toml")
    file.write_text(section())
    assert registry_with_own(KNOWN, file).get("my_type.size").high == "9"


DEAR = (
    (section(default="9" * 5_000), "my_type.size.default", "5000 characters"),
    (section(default="0x" + "f" * 20_000), "my_type.size.default", "20002 characters"),
    (section(default="1e300000000"), "my_type.size.default", "exponent"),
    (section(default="1.5e-300000000"), "my_type.size.default", "exponent"),
    (section(low="[" * 5_000 + "]" * 5_000), "my_type.size.low", "nests"),
    (section(high="{a = " * 5_000 + "1" + "}" * 5_000), "my_type.size.high", "nests"),
    (section(high="[1, {b" + ".b" * 20_000 + " = 1}]"), "my_type.size.high", "nests"),
    (section(**{"a" + ".a" * 20_000: "1"}), "my_type.size.a.a.", "nests"),
    (section('my_type . "a"' + ".a" * 20_000), "my_type.a.a.a", "nests"),
    (section(default='"""\n' + "a.b" * 90_000 + '\n"""'), "file", "262144 bytes"),
)  # fmt: skip


def test_what_is_dear_to_read_is_refused_at_once_by_table_and_key(tmp_path, monkeypatch):
    """None of it reaches the reader of TOML, which takes minutes and gigabytes for some."""
    monkeypatch.setattr("tomllib.loads", lambda *_, **__: pytest.fail("it was read"))
    file = tmp_path / "dear.toml"
    for content, field, why in DEAR:
        file.write_text(content)
        with pytest.raises(InvalidValueError, match=why) as refusal:
            registry_with_own(KNOWN, file)
        assert refusal.value.field.startswith(field), refusal.value.field
        if field != "file":
            with pytest.raises(InvalidValueError, match=why) as refusal:
                read_import(file)
            assert (refusal.value.code, refusal.value.field[:7]) == ("import_malformed", field[:7])
    monkeypatch.undo()
    said = "a.b" * 1_000 + " = " + "9" * 300 + " 1e300000000 [[[[ #"
    kept = (f'"{said}"', f"'{said}'", f"'''{said}\n{said[:90]}'''", f'"""{said} \\" "" {said[:50]}"""')
    for default in kept:
        file.write_text(text(default=default) + "  # [[[[ " + "8" * 999 + "\n[my_type.more]\n")
        with pytest.raises(InvalidValueError) as refusal:
            registry_with_own(KNOWN, file)
        assert refusal.value.field == "my_type.more.kind", default[:9]


def opened(url, folder, file):
    settings = Settings(url, var_directory=folder, operator_key="operator", parameters_file=file)
    return open_platform(settings, clock=VirtualClock(), entropy=lambda count: b"7" * count, is_migrated=True)


def test_own_parameters_are_registered_reach_their_tasks_and_are_retired(migrated_database_url, tmp_path):
    file = tmp_path / "own.toml"
    opened(migrated_database_url, tmp_path, None).close()
    file.write_text(OWN)
    platform = opened(migrated_database_url, tmp_path, file)
    lab = Laboratory(platform)
    told = [payload for payload in lab.payloads("REGISTERED") if payload["parameter"].endswith(".pause")]
    assert [payload["value"] for payload in told] == ["90"]
    assert lab.row(tables.parameter_change, name="research_synthesis.pause")["ledger_index"] is not None
    lab.set_up(tasks=5)
    _, values = lab.assign()
    assert values["research_synthesis.style"].value == "brief"
    assert values["research_synthesis.prompt"].value.startswith("Read every source.\nAnswer")
    with lab.read() as tx:
        shown = {one["name"]: one for one in views.list_parameters(tx, platform.registry)["items"]}
    prompt, style = shown["research_synthesis.prompt"], shown["research_synthesis.style"]
    assert (prompt["kind"], prompt["risk"], prompt["length_max"], prompt["is_retired"]) == (
        "text",
        "gated",
        500,
        False,
    )
    assert (style["kind"], style["choices"]) == ("choice", ["brief", "full"])
    platform.close()

    file.write_text(
        OWN.replace('kind = "choice"\nchoices = ["brief", "full"]', 'kind = "text"').replace(
            '"open"', '"fixed"'
        )
    )
    opened(migrated_database_url, tmp_path, file).close()
    file.write_text(OWN.replace('kind = "text"', 'kind = "number"\nlow = 1\nhigh = 9\nunit = "x"').replace(
        "default = '''Read every source.\nAnswer in 5 lines. \"Quote\" <b>nothing</b>.'''", "default = 2"
    ).replace("length_max = 500", ""))  # fmt: skip
    with pytest.raises(InvalidValueError) as refusal:
        opened(migrated_database_url, tmp_path, file)
    assert (refusal.value.code, refusal.value.field) == ("kind_changed", "research_synthesis.prompt")

    platform = opened(migrated_database_url, tmp_path, None)
    with platform.store.read() as tx:
        found = views.get_parameter(tx, platform.registry, "research_synthesis.prompt")
        assert (found["is_retired"], found["risk"], len(found["history"])) == (True, "fixed", 1)
        retired = [
            one["name"] for one in views.list_parameters(tx, platform.registry)["items"] if one["is_retired"]
        ]
        assert retired == [f"research_synthesis.{name}" for name in ("depth", "pause", "prompt", "style")]
        assert "research_synthesis.prompt" in production_config.snapshot(tx)
        assert verify_export(list(export_lines(tx, platform.signer))).ok
    platform.close()
