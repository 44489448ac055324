"""`nacre market check`: every invariant of the market recounted from the rows of an existing database.

Stands over the watchdog's full check, without a server and without writing. It never mends what it finds.
"""

from app.cli.actions.opening import reading
from app.cli.actions.screen import say_json, say_line, say_note
from services.operations import watchdog


def check(database: str | None, *, as_json: bool) -> int:
    """Check everything, print each breach on a line; return 0, or 1 when anything does not hold."""
    with reading(database) as tx:
        found = sorted(watchdog.check_all(tx))
    if as_json:
        shown = [
            {"invariant": breach.invariant, "subject": breach.subject, "detail": breach.detail}
            for breach in found
        ]
        say_json({"ok": not found, "breaches": shown})
        return int(bool(found))
    for breach in found:
        say_line(str(breach))
    if found:
        names = ", ".join(sorted({breach.invariant for breach in found}))
        say_note(f"nacre: {len(found)} findings; these do not hold: {names}")
        return 1
    return say_line("every invariant of the market holds")
