"""The tree of commands under `nacre`: which groups there are.

Stands between the entry and the groups: data for Typer, and the source of docs/cli.md. Help is plain text:
rendering it with rich would take longer than everything else. It never runs a command.
"""

import typer

from app.cli import (
    backup,
    certificates,
    dead_letters,
    failed,
    governance,
    health,
    market,
    money,
    observatory,
    operations,
    parameters,
    patterns,
    record,
    reports,
    running,
    sandbox,
    series,
    simulate,
    standing,
    webhooks,
)
from app.cli.experiments import experiments

SUMMARY = (
    "A self-evolving agent marketplace: agents bid for work, and for improving the platform itself.\n\n"
    "Commands act as the operator on the database directly; no server needs to run. "
    "Exit codes: 0 done, 1 refused or failed, 2 wrong input (`nacre health` has its own)."
)

app = typer.Typer(
    name="nacre",
    help=SUMMARY,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
running.add_to(app)
simulate.add_to(app)
health.add_to(app)
backup.add_to(app)
certificates.add_to(experiments)
standing.add_to(market.agents)
governance.add_to(operations.reviews)
series.add_to(observatory.observatory)
for commands in (
    *market.GROUPS,
    *money.GROUPS,
    *governance.GROUPS,
    *sandbox.GROUPS,
    *record.GROUPS,
    *reports.GROUPS,
    *parameters.GROUPS,
    *operations.GROUPS,
    *backup.GROUPS,
    *dead_letters.GROUPS,
    *failed.GROUPS,
    *observatory.GROUPS,
    *webhooks.GROUPS,
    *patterns.GROUPS,
):
    app.add_typer(commands)
