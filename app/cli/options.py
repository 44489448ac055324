"""The options that many commands share, each declared once.

Stands beside the command tree; it loads nothing but Typer. It never gives a meaning to a value.
"""

from typing import Annotated, Any

import typer

LARGEST_ID = 2**63 - 1
LIMIT_DEFAULT = 50
LIMIT_HIGHEST = 500

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="The database (default: NACRE_DATABASE_URL, else sqlite:///var/nacre.db).",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in the API's shape.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=LIMIT_HIGHEST, help="Most items to list.")]
Cursor = Annotated[
    str | None,
    typer.Option("--cursor", help="next_cursor of the page before.", show_default=False),
]
Oldest = Annotated[bool, typer.Option("--oldest", help="Oldest first instead of newest first.")]
Id = Annotated[int, typer.Argument(metavar="ID", min=1, max=LARGEST_ID, show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the act.", show_default=False)]


def group(name: str, summary: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(name=name, help=summary, rich_markup_mode=None)


def examples(*lines: str) -> dict[str, Any]:
    """Return the keyword argument that shows example calls under a command's help."""
    return {"epilog": "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])}
