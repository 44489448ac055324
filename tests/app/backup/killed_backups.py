"""Run as a script: make or restore a backup, and be killed with SIGKILL when a named step has been reached.

Arguments: `make` or `restore`, the file, the database URL, the step (module:function), how many calls of it.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

from app.backup import making, restoring
from app.backup.restoring import Terms
from services.domain.clock import WallClock
from services.store.tx import Store


def die_at(step: str, calls: int) -> None:
    """Replace a function by one that ends this process in its n-th call, before doing its work."""
    module_name, _, name = step.partition(":")
    module = importlib.import_module(module_name)
    real, seen = getattr(module, name), [0]

    def dying(*arguments, **named):
        seen[0] += 1
        if seen[0] >= calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(module, name, dying)


def main(act: str, file: str, url: str, step: str, calls: str) -> None:
    """Do it."""
    die_at(step, int(calls))
    if act == "make":
        making.make(Store(url, WallClock()), Path(file), Path("/nonexistent"))
        return
    target = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None
    restoring.restore(Path(file), url, target, Terms())


if __name__ == "__main__":
    main(*sys.argv[1:])
