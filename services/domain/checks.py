"""Checks of health: their layers, what they answer, and how an answer ages.

Stands under the health of the platform, of every job, agent and task type. An answer is kept with the instant
it was given at: an old pass is worth less and less. It never looks at anything itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.domain.clock import HOUR_US

WARN_AFTER_US: Final = 2 * HOUR_US
"""A pass of correctness that is older than this is a warning."""
FAIL_AFTER_US: Final = 6 * HOUR_US
"""A pass, or a warning, of correctness that is older than this is a failure: nobody looks any more."""


class Layer(StrEnum):
    """What a check asks; each layer has one consequence and no other."""

    LIVE = "live"
    """Would a restart of this process mend it? Own process only; may restart it."""
    READY = "ready"
    """Can it do its work now? Dependencies and room; takes it out of routing."""
    CORRECT = "correct"
    """Is what it says right and fresh? Opens an investigation and holds promotions."""


class Status(StrEnum):
    """What a check answers."""

    PASS = "pass"  # noqa: S105 (a status, not a password)
    """As it should be."""
    WARN = "warn"
    """Works, and somebody should look; or the answer is getting old."""
    FAIL = "fail"
    """Not as it should be, or not known for too long."""


GRAVITY: Final[Mapping[Status, int]] = {Status.PASS: 0, Status.WARN: 1, Status.FAIL: 2}


@dataclass(frozen=True, slots=True)
class Check:
    """One answer: of which component, what was measured, the value with its unit, and when.

    `output` says in a sentence what is wrong; it may hold what only operators and agents should read.
    `component_type` is one of `platform`, `datastore`, `job`, `agent`, `task_type`, `process`.
    """

    component: str
    measurement: str
    status: Status
    at_us: int
    component_type: str = "platform"
    observed: float | None = None
    unit: str | None = None
    output: str | None = None
    affected: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return `component:measurement`, the name of the check in application/health+json."""
        return f"{self.component}:{self.measurement}"


def aged(status: Status, age_us: int, *, warn_after_us: int, fail_after_us: int) -> Status:
    """Return what an answer of this age is still worth: never better than it was."""
    if age_us > fail_after_us:
        return Status.FAIL
    if age_us > warn_after_us and status is Status.PASS:
        return Status.WARN
    return status


def worst(statuses: Iterable[Status]) -> Status:
    """Return the gravest of the answers; a pass for none."""
    return max(statuses, key=GRAVITY.__getitem__, default=Status.PASS)
