"""How a command runs: its act is loaded now, not before, and a refusal becomes one line and an exit code.

Stands between the declarations and the acts. 0 is done, 1 refused or failed, 2 wrong input. It never hides an
error of ours: what is not a refusal keeps its traceback.
"""

import errno
import sys

import typer

from app.cli.plain import one_line
from app.lazy import LazyLoadError, load
from services.domain.errors import InvalidValueError, NacreError

FAILED = 1
WRONG_INPUT = 2


def perform(act: str, **arguments: object) -> None:
    """Run the act `module:function` of `app.cli.acts`; raise typer.Exit with its code when that is not 0."""
    try:
        code = load(f"app.cli.acts.{act}")(**arguments)
    except NacreError as error:
        raise refused(error.code, error.detail, _exit_code(error)) from None
    except LazyLoadError as error:
        raise refused("not_installed", str(error), FAILED) from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise refused("system", _system_text(error), FAILED) from None
    if code:
        raise typer.Exit(code)


def refused(code: str, detail: str, exit_code: int) -> typer.Exit:
    """Print the refusal as one line on standard error and return the exit to raise."""
    sys.stderr.write(f"nacre: {code}: {one_line(detail)}\n")
    return typer.Exit(exit_code)


def _exit_code(error: NacreError) -> int:
    return WRONG_INPUT if isinstance(error, InvalidValueError) else FAILED


def _system_text(error: OSError) -> str:
    named = f"{error.filename}: " if error.filename else ""
    return f"{named}{error.strerror or error}"
