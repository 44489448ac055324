"""What the API needs of the platform it is built over.

Stands between `app.bootstrap`, which provides it, and the routes. It never builds anything.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fastapi import Request

from app.settings import Settings
from app.tasks.task_type import TaskType
from services.cron_runner import CronJob
from services.domain.parameters import ParameterRegistry
from services.evolution_ledger import Signer
from services.loop import LoopContext
from services.store.group_commit import GroupWriter
from services.store.tx import Store


class ApiPlatform(Protocol):
    """The parts of a running platform that the routes use."""

    @property
    def store(self) -> Store:
        """The database and its clock."""
        ...

    @property
    def writer(self) -> GroupWriter:
        """What writes the acts of many callers in one transaction."""
        ...

    @property
    def settings(self) -> Settings:
        """What the deployment decides: rates, limits."""
        ...

    @property
    def registry(self) -> ParameterRegistry:
        """Every registered parameter."""
        ...

    @property
    def task_types(self) -> Mapping[str, TaskType]:
        """The task types that can be posted, by name."""
        ...

    @property
    def jobs(self) -> Sequence[CronJob[LoopContext]]:
        """The jobs that run by the clock."""
        ...

    @property
    def context(self) -> LoopContext:
        """What the loop's acts need: the registry, the source of random bytes, the verifier."""
        ...

    @property
    def operator_key_hash(self) -> str:
        """SHA-256 (hex) of the operator's key."""
        ...

    @property
    def signer(self) -> Signer:
        """What signs the ledger's checkpoints."""
        ...


def platform_of(request: Request) -> ApiPlatform:
    """Return the platform that this API was built over."""
    platform: ApiPlatform = request.app.state.platform
    return platform
