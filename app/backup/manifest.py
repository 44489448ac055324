"""The manifest of a backup: of which database, of when, and what each part of the file must be.

Stands under the archive. It is read strictly: what it does not know is refused. It never reads a table.
"""

import re
from types import GenericAlias
from typing import Annotated, Any, Final

import msgspec

from services.store.copying import Kind, Shape

FORMAT: Final = "nacre-backup/1"
NAME: Final = r"^[a-z][a-z_0-9]{0,62}$"
SHA256: Final = r"^[0-9a-f]{64}$"
KEY_FILES: Final = ("operator.key", "checkpoint.key", "webhook.key")

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
Sha256 = Annotated[str, msgspec.Meta(pattern=SHA256)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

TYPES: Final[dict[Kind, Any]] = {
    Kind.INTEGER: Whole,
    Kind.FLOAT: float | Annotated[str, msgspec.Meta(pattern="^(inf|-inf|nan)$")],
    Kind.BOOLEAN: bool,
    Kind.TEXT: str,
    Kind.JSON: str,
    Kind.BYTES: bytes,
}


class Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What one member of the file must be."""

    bytes: Count
    sha256: Sha256


class TableFacts(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A table: its columns in the order of the rows' values, and what its member must be.

    `last_id` is the last id that was given, null for a table that does not number its rows.
    """

    name: Name
    columns: list[tuple[Name, Kind]]
    rows: Count
    last_id: Count | None
    part: Part

    def row_type(self) -> Any:
        """Return the type of one row."""
        return GenericAlias(tuple, tuple(TYPES[kind] | None for _, kind in self.columns))

    def is_of(self, shape: Shape) -> bool:
        """Tell whether a table of a database has these columns."""
        return self.name == shape.name and dict(self.columns) == shape.kinds


class LedgerFacts(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ledger's head; `note` is its signed checkpoint, null where no key was at hand."""

    size: Count
    root: Sha256
    note: str | None


class KeyFacts(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A key of the deployment that is in the file."""

    name: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(map(re.escape, KEY_FILES))})$")]
    part: Part


class Manifest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Everything that a backup says of itself. Tables stand so that none refers to a later one."""

    format: Annotated[str, msgspec.Meta(pattern=f"^{FORMAT}$")]
    revision: Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{4,32}$")]
    taken_at: str
    taken_at_us: Count
    engine: str
    tables: list[TableFacts]
    ledger: LedgerFacts | None
    keys: list[KeyFacts]

    @property
    def rows(self) -> int:
        """Return how many rows there are in all tables."""
        return sum(table.rows for table in self.tables)
