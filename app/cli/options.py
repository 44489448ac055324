"""The options that many commands share, each declared once.

Stands beside the declarations of commands. It never reads a setting.
"""

from typing import Annotated

import typer

LARGEST_ID = 2**63 - 1
LIMIT_HIGHEST = 500

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="sqlite:///file.db or postgresql://… (else NACRE_DATABASE_URL, else sqlite:///var/nacre.db)",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in the shape of the API.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=LIMIT_HIGHEST, help="How many to list.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where a list ended (next_cursor).")
]
Oldest = Annotated[bool, typer.Option("--oldest", help="Oldest first.")]
Identity = Annotated[int, typer.Argument(metavar="ID", min=1, max=LARGEST_ID)]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="Where to listen (else NACRE_PORT, else 8000).")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")]

LIMIT_DEFAULT = 50


def examples(*commands: str) -> str:
    """Return the closing lines of a command's help: how it is called."""
    return "\n\n".join(["Examples:", *commands])
