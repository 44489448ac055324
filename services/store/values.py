"""How values go into a statement and come out of a row: functions built once, run for every row.

Stands in the store under `services.store.prepared`. A row is a read-only mapping; JSON is decoded when it is
first read. It knows no SQL and no connection.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""One row as a read-only mapping from column name to value."""

Convert: TypeAlias = Callable[[Any], Any]
Bind: TypeAlias = Callable[[Mapping[str, Any]], Any]
Slot: TypeAlias = tuple[Any, str, Convert | None]
"""Where a parameter goes (place or name), the name it is given by, and its conversion."""


def binder(start: list[Any] | dict[str, Any], slots: Sequence[Slot]) -> Bind:
    """Return the function from given values to the driver's parameters, doing no more than the types need.

    `start` holds the statement's own constants where no slot is. The function raises KeyError for a value
    that is missing, and what a conversion raises.
    """
    places = tuple(place for place, _, _ in slots)
    take = taker([name for _, name, _ in slots])
    converts = tuple((place, convert) for place, _, convert in slots if convert is not None)
    if isinstance(start, list) and len(start) == len(slots):
        return _positional(take, converts) if converts else take

    def bind(values: Mapping[str, Any]) -> Any:
        bound: Any = start.copy()
        for place, value in zip(places, take(values), strict=True):
            bound[place] = value
        for place, convert in converts:
            bound[place] = convert(bound[place])
        return bound

    return bind


def _positional(take: Bind, converts: Sequence[tuple[Any, Convert]]) -> Bind:
    """Return a binder for parameters that are all given, in their order."""

    def bind(values: Mapping[str, Any]) -> list[Any]:
        bound = list(take(values))
        for place, convert in converts:
            bound[place] = convert(bound[place])
        return bound

    return bind


def taker(names: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function that takes these items (keys or places) of a mapping or sequence as a tuple."""
    if not names:
        return lambda _values: ()
    if len(names) == 1:
        only = names[0]
        return lambda values: (values[only],)
    return itemgetter(*names)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one column is read: its name, its conversion, and whether that may wait until somebody looks."""

    name: str
    convert: Convert | None
    is_lazy: bool


def row_maker(columns: Sequence[Reading]) -> Callable[[Sequence[Any]], Row]:
    """Return the function from what the driver found to a row."""
    names = tuple(column.name for column in columns)
    converts = tuple(
        (column.name, column.convert)
        for column in columns
        if column.convert is not None and not column.is_lazy
    )
    lazy = {
        column.name: (place, column.convert)
        for place, column in enumerate(columns)
        if column.convert is not None and column.is_lazy
    }
    if lazy:
        return _lazy_maker(names, converts, lazy)

    def make(found: Sequence[Any]) -> Row:
        row = dict(zip(names, found, strict=True))
        for name, convert in converts:
            row[name] = convert(row[name])
        return MappingProxyType(row)

    return make


def _lazy_maker(
    names: tuple[str, ...],
    converts: Sequence[tuple[str, Convert]],
    lazy: Mapping[str, tuple[int, Convert]],
) -> Callable[[Sequence[Any]], Row]:
    """Return the maker of rows that keep the text of some columns until these are read."""
    eager = [place for place, name in enumerate(names) if name not in lazy]
    take = taker(eager)
    eager_names = tuple(names[place] for place in eager)
    shape = (names, lazy)

    def make(found: Sequence[Any]) -> Row:
        row = _LazyRow(zip(eager_names, take(found), strict=True))
        for name, convert in converts:
            row[name] = convert(row[name])
        row.shape = shape
        row.found = found
        return MappingProxyType(row)

    return make


class _LazyRow(dict[str, Any]):
    """The values of a row, some of which are converted only when they are read.

    Never handed out itself but behind a read-only view, which asks for items, `get`, length, order and
    equality; all but an item's value are answered as if every value were there.
    """

    __slots__ = ("found", "shape")

    shape: tuple[tuple[str, ...], Mapping[str, tuple[int, Convert]]]
    found: Sequence[Any]

    def __missing__(self, name: str) -> Any:
        place, convert = self.shape[1][name]
        value = self[name] = convert(self.found[place])
        return value

    def whole(self) -> dict[str, Any]:
        """Return every value, in the order of the columns."""
        return {name: self[name] for name in self.shape[0]}

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def keys(self) -> Any:
        return self.whole().keys()

    def values(self) -> Any:
        return self.whole().values()

    def items(self) -> Any:
        return self.whole().items()

    def copy(self) -> dict[str, Any]:
        return self.whole()

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self.shape[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shape[0])

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.shape[0])

    def __len__(self) -> int:
        return len(self.shape[0])

    def __eq__(self, other: object) -> bool:
        return self.whole() == (other.whole() if isinstance(other, _LazyRow) else other)

    def __or__(self, other: Any) -> Any:
        return self.whole() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.whole()

    def __repr__(self) -> str:
        return repr(self.whole())

    __hash__ = None
