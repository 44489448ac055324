"""Where the `nacre` command begins and ends: arguments in, one exit code out.

Exit codes: 0 done, 1 refused or failed, 2 the input was wrong, 130 interrupted. It never shows a
traceback for what a user can get wrong.
"""

import sys
from collections.abc import Sequence
from io import TextIOWrapper

from typer.main import get_command

from app.cli.refusals import Refusals
from app.cli.tree import app
from services.domain.errors import InvalidValueError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these words (default: the process's) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _write_whatever_the_terminal_can()
    refusals = Refusals()
    with refusals:
        _check_words(words)
        code = get_command(app).main(words, prog_name="nacre", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    return refusals.exit_code


def _check_words(words: Sequence[str]) -> None:
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise InvalidValueError(f"the argument {word!a} is not UTF-8 text", field="argument")


def _write_whatever_the_terminal_can() -> None:
    """Show a question mark for what the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
