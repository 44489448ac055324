"""`nacre experiment export`, `verify` and `plot`: an experiment checked and seen by anyone.

Stands at the edge, beside `list` and `show`. With a FILE these commands need neither a
database nor a server. They never decide an experiment.
"""

from typing import Annotated

import typer

from app.cli.options import AsJson, Database, Id, examples
from app.lazy import load

Subject = Annotated[
    str,
    typer.Argument(
        metavar="ID|FILE", help="An experiment's number, or a certificate (- for standard input)."
    ),
]


def export(
    experiment_id: Id,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Where to (- for standard output).")
    ] = "-",
    database: Database = None,
) -> int:
    """Write an experiment's certificate: everything that is needed to recompute both of its legs.

    Ledger entries with their proofs to a signed checkpoint, the records, and per record the m and log E that
    the platform claims. There is one as soon as the trial has its verdict.
    """
    return int(load("app.cli.actions.certifying:export")(database, experiment_id, out))


def verify(
    subject: Subject,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="VERIFIER_KEY", help="Check the signature with this key (`nacre ledger key`)."
        ),
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Recompute an experiment from its records: arms, shares, m, E, limits, level, verdict.

    Prints OK with the state that the experiment is in and what the records give, or the first difference.
    With a FILE it needs no database. Exits with 0 when everything holds, 1 when something differs or the
    signature is not the key's, 2 when there is no such experiment, no verdict yet, or FILE is no certificate.
    """
    return int(load("app.cli.actions.certifying:verify")(database, subject, key, as_json=as_json))


def plot(
    subject: Subject,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Where to (- for standard output).")
    ] = "-",
    database: Database = None,
) -> int:
    """Draw the evidence task by task, as an SVG that stands alone: both legs, their lines, both arms.

    With an ID also an experiment that still runs can be drawn; with a FILE it needs no database. Exits with
    1 when FILE does not hold (nothing is drawn), 2 when there is no such experiment or FILE is not a
    certificate.
    """
    return int(load("app.cli.actions.plotting:plot")(database, subject, out))


def add_to(group: typer.Typer) -> None:
    """Put these commands on the group of experiments."""
    group.command("export", **examples("nacre experiment export 2 --out experiment-2.json"))(export)
    group.command(
        "verify",
        **examples(
            "nacre experiment verify experiment-2.json",
            "nacre experiment verify experiment-2.json --key nacre+1f2e3d4c+AQ…",
            "nacre experiment verify 2",
        ),
    )(verify)
    group.command(
        "plot",
        **examples(
            "nacre experiment plot 2 --out wealth.svg",
            "nacre experiment plot experiment-2.json --out wealth.svg",
        ),
    )(plot)
