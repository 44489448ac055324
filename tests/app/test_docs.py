"""The generated pages say what the code says: all of it, the same everywhere; a stale page is named."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from enum import StrEnum

import pytest
import typer

from app import docs, page_text
from app.bootstrap import build_registry
from app.cli.tree import app as command_tree
from app.demonstration import profile as demonstration
from app.tasks.registry import TASK_TYPE_REGISTRY
from cron_registry import CRON_JOBS
from services.domain import states
from services.domain.events import EventType
from services.loop import BOOKKEEPING, STAGES


class Spoken(StrEnum):
    ONE = "first"
    """Says what
    it means."""
    TWO = "second"
    """So does this."""


class HalfSilent(StrEnum):
    ONE = "first"
    """Says what it means."""
    TWO = "second"


class Fruit(StrEnum):
    APPLE = "apple"
    PEAR = "pear"


PLANTED_COMMAND = r"""
### nacre pick

Pick fruit.

It is eaten.

`nacre pick [OPTIONS] fruit`

| argument or option | means |
| --- | --- |
| `fruit <apple\|pear>` | (required) |
| `--where A\|B` | From where. (default: north\|south) |
| `--count <int range>` | (default: 2; 1<=x<=9) |

Shared options: `--json`.

Examples:

```
pick APPLE
pick PEAR [slowly]
```
"""


@pytest.fixture(scope="module")
def pages():
    return {name: make() for name, make in docs.PAGES.items()}


@pytest.fixture
def folder(tmp_path, pages):
    for name, text in pages.items():
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def rows(text):
    """Return the tables of a page as first cell (without its code marks) → the cells after it."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert len({cells[0] for cells in lines}) == len(lines), "a name stands twice"
    return {cells[0].strip("`"): cells[1:] for cells in lines}


def test_the_pages_in_the_tree_are_fresh():
    stale = sorted(docs.stale(docs.FOLDER))
    assert stale == [], "`make docs` writes them"


def test_another_process_with_a_narrow_terminal_and_other_hashes_gives_the_same_bytes(folder):
    program = "import pathlib, sys; from app import docs; print(docs.stale(pathlib.Path(sys.argv[1])))"
    environment = {**os.environ, "COLUMNS": "30", "PYTHONHASHSEED": "7", "TERM": "dumb", "LANGUAGE": "de"}
    run = subprocess.run(
        [sys.executable, "-c", program, folder],
        cwd=docs.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("{}\n", "")


@pytest.mark.parametrize("name", docs.PAGES)
def test_check_names_a_changed_page_and_leaves_it_alone(folder, capsys, name):
    assert docs.main(["--check"], folder) == 0
    changed = (folder / name).read_bytes() + b"\n"
    (folder / name).write_bytes(changed)
    assert docs.main(["--check"], folder) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"docs/{name}" in line
    assert "make docs" in line
    assert (folder / name).read_bytes() == changed


def test_a_missing_page_is_stale_and_writing_brings_back_only_that(folder, capsys):
    (folder / "cron.md").unlink()
    assert docs.main(["--check"], folder) == 1
    assert docs.main([], folder) == 0
    assert capsys.readouterr().out == "docs/cron.md written\n"
    assert docs.main(["--check"], folder) == 0


@pytest.mark.parametrize(
    ("place", "name", "item", "value", "page"),
    [
        (demonstration, "STARTING_VALUES", "sandbox.minimum_tasks", "21", "parameters.md"),
        (demonstration, "INTERVALS_SECONDS", "books_audit", 7.0, "cron.md"),
        (docs, "BOOKKEEPING", "echo", (EventType.BALLOT_CAST, print), "events.md"),
    ],
    ids=["value", "interval", "subscriber"],
)
def test_a_change_in_the_code_makes_its_page_stale(folder, monkeypatch, place, name, item, value, page):
    monkeypatch.setattr(place, name, {**getattr(place, name), item: value})
    assert list(docs.stale(folder)) == [page]


def test_every_parameter_stands_there_with_its_bounds_and_starting_values(pages):
    found = rows(pages["parameters.md"])
    registry = build_registry(TASK_TYPE_REGISTRY, {})
    for one in registry:
        default, demonstrated, low, high, step, unit, risk, summary = found[one.name]
        bounds = (one.low, one.high, f"× {one.step_max}")
        if not one.is_number:
            bounds = (" or ".join(one.choices), page_text.NOTHING, page_text.NOTHING)
        assert (default, low, high, step) == (one.default, *bounds)
        assert demonstrated == demonstration.STARTING_VALUES.get(one.name, page_text.NOTHING)
        assert (unit.removesuffix(", whole"), unit.endswith(", whole")) == (one.unit, one.is_whole)
        assert (risk, summary) == (str(one.risk), one.summary)
    assert len(found) == len(registry) + len(docs.Risk)


def test_every_owner_has_its_heading(pages):
    headings = [line for line in pages["parameters.md"].splitlines() if line.startswith("## ")]
    assert headings == ["## The platform", *(f"## Task type `{name}`" for name in TASK_TYPE_REGISTRY)]


def test_every_event_stands_there_with_who_says_it_and_who_hears_it(pages):
    found = rows(pages["events.md"])
    assert list(found) == list(EventType)
    for event, (told, said, heard) in found.items():
        assert told.endswith("."), event
        assert said.startswith("`services."), f"nobody publishes {event}"
        stages = {stage.name for stage in STAGES if stage.hears == event}
        keepers = {name for name, (hears, _) in BOOKKEEPING.items() if hears == event}
        assert set(re.findall(r"[*`](\w+)[*`]", heard)) == stages | keepers, event
        assert (heard == page_text.NOTHING) is not bool(stages | keepers), event


def test_the_loop_stands_there_stage_by_stage(pages):
    text = pages["events.md"]
    lines = [f"| {one.name} | `{one.hears}` | " for one in STAGES]
    assert [text.count(line) for line in lines] == [1] * len(STAGES)
    assert all(f"| `{one.says}` | {one.summary} |" in text for one in STAGES)
    assert all(f"\n| {name} | `{hears}` | " in text for name, (hears, _) in BOOKKEEPING.items())


def test_every_state_stands_there_under_its_lifecycle(pages):
    sections = {
        part.partition("\n")[0]: part for part in pages["lifecycles.md"].replace("###", "##").split("## ")
    }
    kinds = docs.state_kinds()
    assert {states.TaskState, states.Standing, states.EndReason} < set(kinds)
    for kind in kinds:
        found = rows(sections[kind.__name__])
        assert list(found) == list(kind)
        assert all(told.endswith(".") for [told] in found.values())
    assert list(sections).index("Other fixed words") > list(sections).index("TickState")


def test_every_job_stands_there_with_its_rhythm_and_budget(pages):
    found = rows(pages["cron.md"])
    assert list(found) == [job.name for job in CRON_JOBS]
    assert found["platform_metrics_snapshot"][:3] == ["every 1 h", "every 3 s", "30 s"]
    assert found["autodream_consolidation"][:3] == ["daily at 03:00 UTC", page_text.NOTHING, "2 min"]
    for job in CRON_JOBS:
        assert found[job.name][3:5] == [str(job.priority), str(job.role)]
        assert found[job.name][7:] == [str(job.misfire).replace("_", " "), job.summary]
    assert found["books_audit"][5:7] == ["every 15 min", "2 min"]
    assert found["history_pruning"][5:7] == ["waits", "5 min"]
    assert found["vote_tally"][5:7] == [page_text.NOTHING, page_text.NOTHING]
    assert found["autodream_consolidation"][5] == "first"


def test_every_command_stands_there_once(pages):
    headings = [line.lstrip("# ") for line in pages["cli.md"].splitlines() if line.startswith("##")]
    groups = [group.typer_instance for group in command_tree.registered_groups]
    commands = [f"nacre {command.name}" for command in command_tree.registered_commands] + [
        f"nacre {group.info.name} {command.name}" for group in groups for command in group.registered_commands
    ]
    inner = [
        (f"nacre {group.info.name} {sub.typer_instance.info.name}", sub.typer_instance)
        for group in groups
        for sub in group.registered_groups
    ]
    commands += [f"{name} {command.name}" for name, app in inner for command in app.registered_commands]
    named = [f"nacre {group.info.name}" for group in groups] + [name for name, _ in inner]
    assert len(commands) > 20
    assert sorted(headings[1:]) == sorted({"nacre", *named, *commands})


def test_a_command_s_section_tells_how_to_call_it(monkeypatch):
    monkeypatch.setattr(docs, "command_tree", planted_tree())
    text = docs.cli_page()
    assert text.endswith(PLANTED_COMMAND)
    assert "| `--json` | Print JSON. |" in text.partition("## nacre")[0]


def planted_tree():
    """Return a tree of commands, all but one of them empty, that share an option."""
    tree = typer.Typer(name="planted", help="A tree.", add_completion=False)
    as_json = typer.Option(False, "--json", help="Print JSON.")
    for number in range(docs.SHARED_BY):
        tree.command(f"empty-{number}")(lambda as_json=as_json: as_json)

    def pick(
        fruit: Fruit,
        where: str = typer.Option("north|south", "--where", metavar="A|B", help="From [bold]where[/bold]."),
        count: int = typer.Option(2, "--count", min=1, max=9),
        *,
        as_json: bool = as_json,
        secret: bool = typer.Option(False, "--secret", hidden=True),
    ):
        """Pick fruit.

        It is eaten.
        """

    tree.command("pick", epilog="Examples:\n\npick APPLE\n\npick PEAR \\[slowly]")(pick)
    return tree


def test_help_texts_lose_their_colour_marks_and_keep_their_brackets():
    assert docs.plain(r"[bold]Do[/bold] \[it] :smile:") == "Do [it] :smile:"


def test_a_cell_cannot_break_its_table():
    assert page_text.table(["a", "b"], [["x|y", "one\ntwo"], ["", "z"]]).splitlines()[2:] == [
        r"| x\|y | one two |",
        f"| {page_text.NOTHING} | z |",
    ]


def test_the_meaning_of_a_member_is_the_docstring_under_it():
    assert docs.member_docs(Spoken) == {"first": "Says what it means.", "second": "So does this."}
    with pytest.raises(LookupError, match=r"HalfSilent\.TWO has no docstring"):
        docs.member_docs(HalfSilent)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (15, "15 s"), (90, "90 s"), (120, "2 min"), (5_400, "90 min"), (86_400, "24 h")],
)
def test_lengths_of_time_are_whole_in_their_unit(seconds, text):
    assert docs.duration(seconds) == text


def test_a_task_type_that_was_not_there_gets_its_own_heading(monkeypatch, pages):
    kind = replace(TASK_TYPE_REGISTRY["monte_carlo"], name="dice")
    loaded = replace(docs.load_registry(()), types={**TASK_TYPE_REGISTRY, "dice": kind})
    monkeypatch.setattr(docs, "load_registry", lambda _found: loaded)
    text = docs.parameters_page()
    assert text.startswith(pages["parameters.md"])
    assert "## Task type `dice`" in text
    assert "| `dice.timeout_seconds` |" in text
