"""Shared columns of the tables: identities, references and instants, over one naming convention.

Stands below every table module. Times are integer microseconds since the epoch in UTC (`*_at_us`),
money is integer micro-credits. It never holds a table.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Identity64 = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit identity; SQLite only auto-numbers columns that are exactly INTEGER."""


def identity(name: str = "id") -> Column[int]:
    """Return an auto-numbered primary key column."""
    return Column(name, Identity64, primary_key=True, autoincrement=True)


def reference(target: str, name: str, *, nullable: bool = False, index: bool = False) -> Column[int]:
    """Return a foreign key column to `target` (`table.column`)."""
    return Column(name, Identity64, ForeignKey(target), nullable=nullable, index=index)


def instant(name: str, *, nullable: bool = False) -> Column[int]:
    """Return a column of microseconds since the epoch, UTC."""
    return Column(name, BigInteger, nullable=nullable)
