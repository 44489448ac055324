"""The task types this installation knows: the built-in four and what installed packages add as entry points
in group `nacre.task_types`. The market offers whatever stands here; agents can bid on a new type at once. A
broken entry point is named and left out; it never takes the others down. No tool is imported here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from app.tasks.ml_training.declaration import ML_TRAINING
from app.tasks.monte_carlo.declaration import MONTE_CARLO
from app.tasks.physics_simulation.declaration import PHYSICS_SIMULATION
from app.tasks.research_synthesis.declaration import RESEARCH_SYNTHESIS
from app.tasks.task_type import TaskType

ENTRY_POINT_GROUP = "nacre.task_types"

TASK_TYPE_REGISTRY: Mapping[str, TaskType] = MappingProxyType(
    {kind.name: kind for kind in (RESEARCH_SYNTHESIS, MONTE_CARLO, PHYSICS_SIMULATION, ML_TRAINING)}
)


@dataclass(frozen=True, slots=True)
class BrokenEntryPoint:
    """An entry point that gave no task type, and why."""

    name: str
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class LoadedRegistry:
    """Every usable task type by name, and the entry points that were left out."""

    types: Mapping[str, TaskType]
    broken: tuple[BrokenEntryPoint, ...]


def load_registry(found: Iterable[EntryPoint] | None = None) -> LoadedRegistry:
    """The built-in types and those of entry points (`found`, or what is installed). Never raises."""
    types = dict(TASK_TYPE_REGISTRY)
    broken = []
    for point in entry_points(group=ENTRY_POINT_GROUP) if found is None else found:
        loaded = _loaded(point)
        if isinstance(loaded, TaskType) and loaded.name in types:
            broken.append(_left_out(point, f"a task type named {loaded.name!r} exists already"))
        elif isinstance(loaded, TaskType):
            types[loaded.name] = loaded
        else:
            broken.append(loaded)
    return LoadedRegistry(MappingProxyType(types), tuple(broken))


def _loaded(point: EntryPoint) -> TaskType | BrokenEntryPoint:
    try:
        loaded = point.load()
    except Exception as error:  # noqa: BLE001  foreign code runs at import and may raise anything; it is reported
        return _left_out(point, f"{type(error).__name__}: {error}")
    if isinstance(loaded, TaskType):
        return loaded
    return _left_out(point, f"is a {type(loaded).__name__}, not a TaskType")


def _left_out(point: EntryPoint, why: str) -> BrokenEntryPoint:
    return BrokenEntryPoint(point.name, point.value, why)
