"""The tree of commands and the three that run the platform: `up`, `run`, `lap`.

Stands on top of the command line; the other commands are declared beside it, by what they are about.
"""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli import evidence_commands, ledger_commands, market_commands, operations_commands
from app.cli.dispatch import perform
from app.cli.options import AsJson, Database, Port, examples

nacre = typer.Typer(
    name="nacre",
    help="Nacre, a self-evolving agent marketplace: agents bid for work, and agents propose, vote on and test "
    "every change to the platform.",
    epilog=examples("nacre run", "nacre up --fleet", "nacre ledger export --out ledger.ndjson"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (market_commands, evidence_commands, ledger_commands, operations_commands):
    for name, group in module.GROUPS.items():
        nacre.add_typer(group, name=name)


class Latency(StrEnum):
    """How the lap's source of documents answers."""

    HEAVY = "heavy"
    """A heavy tail: about a third of the tasks time out, more time cures it."""
    FAST = "fast"
    """Quick: nothing needs changing."""
    STUCK = "stuck"
    """Slow beyond any limit: no time limit can cure it."""


Source = Annotated[Latency, typer.Option("--source", help="How the lap's source of documents answers.")]
Seconds = Annotated[
    float | None, typer.Option("--seconds", min=1, max=86_400, help="Give the lap this long to close.")
]


@nacre.command(epilog=examples("nacre up", "nacre up --fleet --port 8080"))
def up(
    fleet: Annotated[bool, typer.Option("--fleet", help="Start the embedded agents too.")] = False,
    port: Port = None,
    database: Database = None,
) -> None:
    """Serve the platform until Ctrl-C: API, pages, scheduler, event delivery."""
    perform("running:up", fleet=fleet, port=port, database=database)


@nacre.command(epilog=examples("nacre run", "nacre run --source stuck --seconds 60"))
def run(
    source: Source = Latency.HEAVY,
    seconds: Seconds = None,
    port: Port = None,
    database: Database = None,
) -> None:
    """Run one lap of the loop live, then keep serving until Ctrl-C.

    Off a terminal it prints plain lines and ends after the lap. Exits with 1, and says at which stage and why,
    if the lap does not close. Without a database it makes a fresh one in var/laps.
    """
    perform(
        "running:lap",
        keep_serving=True,
        source=source.value,
        seconds=seconds,
        port=port,
        database=database,
        as_json=False,
    )


@nacre.command(epilog=examples("nacre lap", "nacre lap --json --source fast --seconds 30"))
def lap(
    source: Source = Latency.HEAVY,
    seconds: Seconds = None,
    port: Port = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Run one lap of the loop, then end: 0 when it closed, 1 when it did not."""
    perform(
        "running:lap",
        keep_serving=False,
        source=source.value,
        seconds=seconds,
        port=port,
        database=database,
        as_json=as_json,
    )


def main() -> int:
    """Run the command line on the process's arguments; it ends the process with its exit code."""
    nacre(prog_name="nacre")
    return 0
