"""What every agent script has in common: when it works, when it rests, when it ends.

`run` calls a step again and again, resting longer after idle steps, until SIGTERM or until the process that
started it is gone (an orphan has nobody to answer to). It never works itself.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from app.agents.client import ApiProblem, UnreachableError

UNAUTHENTICATED = 401
TROUBLE_REST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often an agent asks for work: every `busy_seconds`; after `patience_steps` idle steps more slowly,
    down to every `idle_seconds`.
    """

    busy_seconds: float = 0.2
    idle_seconds: float = 1.0
    patience_steps: int = 25

    def rest_seconds(self, idle_steps: int) -> float:
        """Return the rest after so many idle steps in a row: constant, then doubling up to the limit."""
        beyond = idle_steps - self.patience_steps
        if beyond <= 0:
            return self.busy_seconds
        return min(self.idle_seconds, self.busy_seconds * 2.0 ** min(beyond, 16))


def log(text: str) -> None:
    """Write one line to stderr, which the supervisor keeps the end of."""
    print(text, file=sys.stderr, flush=True)


def end_on_sigterm() -> None:
    """Make SIGTERM and SIGINT end the process at once with exit code 0; only `finally` blocks still run."""

    def end(_signal: int, _frame: object) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def run(step: Callable[[], bool], pace: Pace, rest: Callable[[float], None] = time.sleep) -> None:
    """Call `step` (True when it did something) until the process is told to end or is orphaned.

    An unreachable or refusing platform is waited for; a refused key ends the agent, as it can never work.
    """
    end_on_sigterm()
    parent = os.getppid()
    idle_steps = 0
    while os.getppid() == parent:
        try:
            idle_steps = 0 if step() else idle_steps + 1
        except UnreachableError as error:
            log(f"platform unreachable: {error}")
            rest(TROUBLE_REST_SECONDS)
        except ApiProblem as problem:
            log(f"refused: {problem}")
            if problem.status == UNAUTHENTICATED:
                raise SystemExit(f"the key is not known to the platform: {problem}") from problem
            rest(TROUBLE_REST_SECONDS)
        rest(pace.rest_seconds(idle_steps))
    log("the process that started this agent is gone; ending")
