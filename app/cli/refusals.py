"""Errors as one line on standard error: what was wrong, its code, and what would be right.

Stands around every command. Databases are recognised by the package their errors come from, so that no
database library is loaded for it. It never hides what nobody expected: that keeps its traceback.
"""

import os
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import typer

from app.terminal_text import plain
from services.domain.errors import InvalidValueError, NacreError

FAILED = 1
WRONG_INPUT = 2
LINE_LIMIT = 2_000
DATABASE_PACKAGES = frozenset({"sqlalchemy", "psycopg", "sqlite3", "alembic"})
WRONG_URL = frozenset({"ArgumentError", "NoSuchModuleError"})
NO_SCHEMA = ("no such table", "does not exist", "no such column")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is said (None: nothing) and the exit code it ends with."""

    line: str | None
    exit_code: int


class Refusals:
    """A context that turns the errors a user can cause into one line and an exit code."""

    def __init__(self) -> None:
        self.exit_code = 0

    def __enter__(self) -> Self:
        """Enter the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Say the error and swallow it, if it is one of those."""
        refusal = None if error is None else explain(error)
        if refusal is None:
            return False
        self.exit_code = refusal.exit_code
        if refusal.line is None:
            _forget_standard_output()
        else:
            sys.stderr.write(f"nacre: {plain(refusal.line)[:LINE_LIMIT]}\n")
        return True


def explain(error: BaseException) -> Refusal | None:
    """Return what to say about an error, or None for one that is a fault of ours."""
    if isinstance(error, NacreError):
        code = WRONG_INPUT if isinstance(error, InvalidValueError) else FAILED
        return Refusal(f"{error.detail} ({error.code})", code)
    if isinstance(error, typer.TyperException):
        return Refusal(_usage(error), error.exit_code)
    if isinstance(error, typer.Abort):
        return Refusal("stopped", FAILED)
    if isinstance(error, BrokenPipeError):
        return Refusal(None, FAILED)
    if type(error).__module__.partition(".")[0] in DATABASE_PACKAGES:
        return _database(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Refusal(f"{where}{error.strerror or error} (os_error)", FAILED)
    return None


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "nacre"
    return f"{error.format_message().rstrip('.')}; see `{command} --help` (usage)"


def _database(error: BaseException) -> Refusal:
    cause = getattr(error, "orig", None) or error
    said = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
    if type(error).__name__ in WRONG_URL:
        right = "give sqlite:///FILE or postgresql://USER@HOST/NAME"
        return Refusal(f"{said}; {right} (database_url)", WRONG_INPUT)
    hint = "; `nacre db upgrade` brings its tables up to date" if any(w in said for w in NO_SCHEMA) else ""
    return Refusal(f"the database refused: {said}{hint} (database_error)", FAILED)


def _forget_standard_output() -> None:
    """Let nothing more be written to a pipe whose reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
