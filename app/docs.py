"""The pages of `docs/` generated from the code: `python -m app.docs` writes them, `--check` compares.

Stands beside the loop: it reads the tables that the platform runs by (parameters, events, states, jobs,
commands) and prints them. The same code always gives the same bytes. It never opens a database, and it
prints only what the code says: what is wrong on a page is mended in the code.
"""

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec
from rich.markup import render
from typer import Context
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from app.api.bodies import NewProposal
from app.bootstrap import build_registry
from app.cli.tree import app as command_tree
from app.demonstration import profile as demonstration
from app.page_text import code, page, table
from app.tasks.registry import load_registry
from cron_registry import CRON_JOBS
from services.domain import states
from services.domain.events import EventType
from services.domain.measures import MEASURES, Bad
from services.domain.parameters import Parameter, Risk
from services.domain.priority import Role
from services.loop import BOOKKEEPING, STAGES
from services.observatory.evidence import Evidence

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs"
PUBLISHERS = ("services", "app")
LIFECYCLES = ("State", "Standing")
"""How the names of those enumerations end whose members follow each other; the others are plain words."""
SHARED_BY = 8
"""An option that this many commands take alike is described once, at the top of the page."""
BAD_WORDS = {Bad.FALL: "falls", Bad.RISE: "rises", Bad.EITHER: "does either"}


# --- what every page is made of


def _in_code(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((code(name), told) for name, told in pairs)


def member_docs(kind: type[StrEnum]) -> dict[str, str]:
    """Return value → docstring for each member, in order; raise LookupError for a member that has none."""
    [body] = (node.body for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef))
    found = {}
    for statement, after in pairwise(body):
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[statement.targets[0].id] = " ".join(str(after.value.value).split())
    silent = [name for name in kind.__members__ if name not in found]
    if silent:
        raise LookupError(f"{kind.__name__}.{silent[0]} has no docstring: say what it means under it")
    return {member.value: found[name] for name, member in kind.__members__.items()}


def first_line(of: object) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(of) or "").partition("\n")[0]


# --- parameters


def parameters_page() -> str:
    """Every parameter of the platform and of the built-in task types, by owner."""
    types = load_registry(()).types
    registry = build_registry(types, {})
    shown = build_registry(types, demonstration.STARTING_VALUES)
    owners: dict[str, list[Parameter]] = {"platform": [], **{name: [] for name in types}}
    for parameter in registry:
        owners[parameter.owner].append(parameter)
    return page(
        "Parameters",
        """
        What the platform is set by: each a typed, bounded setting with an owner and a risk class.
        `nacre parameter list` shows the values in force. Bounds are inclusive; one change may at
        most multiply or divide a value by its step. The demonstration starts from other values
        where its column says so. Task types that are installed besides bring their own.
        """,
        table(("risk", "who may change it"), _in_code(member_docs(Risk).items())),
        *(
            f"## {_owner_title(owner)}\n\n{_parameter_table(owned, shown.get)}"
            for owner, owned in owners.items()
            if owned
        ),
    )


def _owner_title(owner: str) -> str:
    return "The platform" if owner == "platform" else f"Task type `{owner}`"


def _parameter_table(owned: Iterable[Parameter], in_demonstration: Callable[[str], Parameter]) -> str:
    header = ("parameter", "default", "demonstration", "least", "most", "step", "unit", "risk", "what it is")
    return table(header, (_parameter_row(one, in_demonstration(one.name).default) for one in owned))


def _parameter_row(one: Parameter, demonstrated: str) -> Sequence[str]:
    unit = f"{one.unit}, whole" if one.is_whole else one.unit
    other = "" if demonstrated == one.default else demonstrated
    bounds = (one.low, one.high, f"× {one.step_max}") if one.is_number else (" or ".join(one.choices), "", "")
    return (code(one.name), one.default, other, *bounds, unit, str(one.risk), one.summary)


# --- events


def events_page() -> str:
    """Every event: what has happened, which module says so, who hears it; and the loop that they make."""
    told, said = member_docs(EventType), publishers()
    return page(
        "Events",
        """
        What the platform says has happened. An event is written in the transaction that made it
        true and delivered to each of its subscribers at least once. Events that nobody hears are
        kept as the record.
        """,
        table(
            ("event", "what has happened", "published in", "heard by"),
            (
                (code(event), told[event], ", ".join(map(code, said.get(event.name, ()))), _hearers(event))
                for event in EventType
            ),
        ),
        "## The loop\n\nThe word of each stage is what the next one hears.",
        table(
            ("stage", "hears", "does", "says", "in words"),
            (
                (
                    stage.name,
                    code(stage.hears),
                    first_line(stage.does) if stage.does else "What agents do over the API.",
                    code(stage.says),
                    stage.summary,
                )
                for stage in STAGES
            ),
        ),
        "## Bookkeeping\n\nWhat keeps the rest in step with the loop.",
        table(
            ("subscriber", "hears", "does"),
            ((name, code(hears), first_line(does)) for name, (hears, does) in BOOKKEEPING.items()),
        ),
    )


def _hearers(event: EventType) -> str:
    stages = [
        f"stage *{stage.name}*" if stage.does else f"agents (stage *{stage.name}*)"
        for stage in STAGES
        if stage.hears is event
    ]
    return ", ".join([*stages, *(code(name) for name, (hears, _) in BOOKKEEPING.items() if hears is event)])


@cache
def publishers() -> Mapping[str, list[str]]:
    """Return event name → the modules that make such an event, read off the source."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for top in PUBLISHERS for path in (ROOT / top).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name in dict.fromkeys(_events_made(path)):
            found.setdefault(name, []).append(module)
    return found


def _events_made(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "Event":
            continue
        for argument in node.args[:1]:
            if isinstance(argument, ast.Attribute):
                yield argument.attr


# --- lifecycles


def lifecycles_page() -> str:
    """Every state of every lifecycle, and the other fixed words that are stored."""
    kinds = state_kinds()
    lifecycles = [kind for kind in kinds if kind.__name__.endswith(LIFECYCLES)]
    words = [kind for kind in kinds if kind not in lifecycles]
    return page(
        "Lifecycles",
        """
        Every state that is stored, what it means and who moves it on. A change of state is a
        guarded update: it names the state it leaves and does nothing where that has gone. What time
        alone decides (is a window open, has a lease passed) is derived and not stored. From a final
        state nothing leads on.
        """,
        *(f"## {_kind_section(kind, 'state', 'means, and who moves it on')}" for kind in lifecycles),
        "## Other fixed words",
        *(f"### {_kind_section(kind, 'word', 'means')}" for kind in words),
    )


def state_kinds() -> list[type[StrEnum]]:
    """Return the enumerations of `services.domain.states`, in the order they stand there."""
    return [
        kind
        for kind in vars(states).values()
        if isinstance(kind, type) and issubclass(kind, StrEnum) and kind.__module__ == states.__name__
    ]


def _kind_section(kind: type[StrEnum], *header: str) -> str:
    members = table(header, _in_code(member_docs(kind).items()))
    return f"{kind.__name__}\n\n{inspect.getdoc(kind)}\n\n{members}"


# --- cron


def cron_page() -> str:
    """Every job that runs by the clock."""
    return page(
        "Cron",
        """
        What the platform runs by the clock (`cron_registry.py`). A tick is claimed in the database,
        so it fires once however many processes run. A job is one transaction, rolled back when it
        outlasts its budget. Where several are due, the lowest priority number runs first. While the
        platform's health is below 80 points, diagnostic jobs run first and more often, and housekeeping
        waits, six hours at most. A tick begins up to its jitter after it is due. A tick that was missed
        is run once, late, or skipped, or each is caught up. The demonstration shortens some intervals.
        """,
        table(
            (
                "job",
                "runs",
                "in the demonstration",
                "budget",
                "priority",
                "role",
                "while health is low",
                "jitter",
                "when missed",
                "what it does",
            ),
            (
                (
                    code(job.name),
                    _rhythm(job.every_seconds, job.daily_at),
                    _rhythm(demonstration.INTERVALS_SECONDS.get(job.name), None),
                    duration(job.budget_seconds),
                    str(job.priority),
                    str(job.role),
                    _when_unwell(job.role, job.every_seconds, job.divisor),
                    duration(job.jitter_seconds) if job.jitter_seconds else "",
                    str(job.misfire).replace("_", " "),
                    job.summary,
                )
                for job in CRON_JOBS
            ),
        ),
    )


def _when_unwell(role: Role, every_seconds: float | None, divisor: int) -> str:
    if role is Role.HOUSEKEEPING:
        return "waits"
    if role is Role.ESSENTIAL:
        return ""
    return _rhythm(None if every_seconds is None else every_seconds / divisor, None) or "first"


def _rhythm(every_seconds: float | None, daily_at: str | None) -> str:
    if every_seconds is not None:
        return f"every {duration(every_seconds)}"
    return f"daily at {daily_at} UTC" if daily_at else ""


def duration(seconds: float) -> str:
    """Return a length of time in its largest whole unit: `1 h`, `5 min`, `0.25 s`."""
    for unit, size in (("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


# --- the command


Entry = tuple[str, str]


def metrics_page() -> str:
    """Every metric: what its windows hold, how it is cut, and where it opens episodes."""
    return page(
        "Metrics",
        """
        What the observatory publishes, window by window, with numerator and denominator. A metric opens
        episodes in the dimensions where it is watched; elsewhere it is only published. How they are
        counted and judged stands in [observatory.md](observatory.md).
        """,
        table(
            ("metric", "kind", "unit", "bad when it", "cut by", "watched in", "what it counts"),
            (
                (code(one.name), one.kind, one.unit, BAD_WORDS[one.bad], ", ".join(one.dimensions),
                 ", ".join(one.watched) or "–", one.summary)
                for one in MEASURES
            ),
        ),
    )  # fmt: skip


def investigation_schema() -> str:
    """Return the JSON Schema of what every investigator is given."""
    return json.dumps(msgspec.json.schema(Evidence), indent=1, sort_keys=True) + "\n"


def proposal_schema() -> str:
    """Return the JSON Schema of a proposal as the API takes it."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**dialect, **NewProposal.model_json_schema()}, indent=1, sort_keys=True) + "\n"


def cli_page() -> str:
    """Every command of `nacre` with its arguments and options, from the objects that parse them."""
    contexts = list(_contexts(get_command(command_tree), "nacre", None))
    shared = _shared_options(contexts)
    return page(
        "The command line",
        f"{plain(contexts[0].command.help)}\n\nIt is at `.venv/bin/nacre`. Every command takes `--help`.",
        "## Options that many commands share\n\nListed once here and only named below.",
        table(("option", "means"), _in_code(shared)),
        *(_command_section(context, shared) for context in contexts),
    )


def _contexts(command: object, name: str, parent: Context | None) -> Iterator[Context]:
    """Yield the command's context and those of all below it, in the order the help lists them."""
    if not isinstance(command, TyperCommand | TyperGroup) or command.hidden:
        return
    context = Context(command, info_name=name, parent=parent)
    yield context
    if isinstance(command, TyperGroup):
        for inner in command.list_commands(context):
            yield from _contexts(command.get_command(context, inner), inner, context)


def plain(help_text: str | None) -> str:
    """Return a help text without the marks that colour it in a terminal."""
    return render(help_text or "", emoji=False).plain


def _entries(context: Context, kind: type[TyperArgument | TyperOption]) -> list[Entry]:
    """Return (spelling, meaning with default and bounds) of each argument or option that help shows."""
    found = []
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if not isinstance(parameter, kind) or record is None or "--help" in parameter.opts:
            continue
        spelling, told = record
        facts = told.removeprefix(parameter.help or "").strip().removeprefix("[").removesuffix("]")
        found.append((spelling, " ".join([plain(parameter.help), f"({facts})" if facts else ""]).strip()))
    return found


def _shared_options(contexts: Iterable[Context]) -> list[Entry]:
    every = [entry for context in contexts for entry in _entries(context, TyperOption)]
    return [entry for entry in dict.fromkeys(every) if every.count(entry) >= SHARED_BY]


def _command_section(context: Context, shared: Sequence[Entry]) -> str:
    command = context.command
    level = "##" if isinstance(command, TyperGroup) else "###"
    parts = [f"{level} {context.command_path}"]
    if context.parent is not None and command.help:
        parts.append(plain(command.help))
    usage = [piece.strip("{}") for piece in command.collect_usage_pieces(context)]
    parts.append(code(" ".join([context.command_path, *usage])))
    arguments, options = _entries(context, TyperArgument), _entries(context, TyperOption)
    own = [*arguments, *(entry for entry in options if entry not in shared)]
    if own:
        parts.append(table(("argument or option", "means"), _in_code(own)))
    others = [code(entry[0].split()[0]) for entry in options if entry in shared]
    if others:
        parts.append(f"Shared options: {', '.join(others)}.")
    head, _, lines = plain(command.epilog).partition("\n\n")
    if lines:
        parts += [head, "```\n" + lines.replace("\n\n", "\n") + "\n```"]
    return "\n\n".join(parts)


# --- writing and checking


PAGES: Mapping[str, Callable[[], str]] = {
    "parameters.md": parameters_page,
    "events.md": events_page,
    "lifecycles.md": lifecycles_page,
    "cron.md": cron_page,
    "cli.md": cli_page,
    "metrics.md": metrics_page,
    "investigation.schema.json": investigation_schema,
    "proposal.schema.json": proposal_schema,
}


def stale(folder: Path) -> dict[str, str]:
    """Return name → the text it should have, of every page in `folder` that is missing or differs."""
    fresh = {name: make() for name, make in PAGES.items()}
    return {name: text for name, text in fresh.items() if _read(folder / name) != text.encode()}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the pages, or with `--check` only compare; return 1 where a page is stale, else 0."""
    parser = argparse.ArgumentParser(prog="python -m app.docs", description="Generate docs from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    is_check = parser.parse_args(arguments).check
    found = stale(folder)
    for name, text in found.items():
        if is_check:
            sys.stderr.write(f"docs/{name} is not what the code says; `make docs` writes it\n")
        else:
            (folder / name).write_bytes(text.encode())
            sys.stdout.write(f"docs/{name} written\n")
    return 1 if found and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
