"""Open the database that a command speaks of, for reading or as the operator.

Stands behind every command that needs data. A name that is mistyped must not make a new, empty database:
only `nacre up`, `nacre lap` and `nacre db upgrade` make one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.settings import Settings, read_settings
from services.domain.clock import WallClock
from services.domain.errors import InvalidValueError, NotFoundError
from services.store.tx import Store, Tx


def settings_of(database: str | None) -> Settings:
    """Return the environment's settings, with the database named by the option if there is one."""
    settings = read_settings()
    return settings if database is None else settings.with_database(database)


def existing(database: str | None) -> Settings:
    """Return the settings of a database that is there.

    Raises NotFoundError for an SQLite file that does not exist, InvalidValueError for one in memory.
    """
    settings = settings_of(database)
    file = sqlite_file(settings.database_url)
    if file is not None and not file.is_file():
        laps = sorted((settings.var_directory / "laps").glob("lap-*.db"))
        hint = (
            f"the newest lap's is --database sqlite:///{laps[-1]}" if laps else "--database names another one"
        )
        msg = f"there is no database at {file}; {hint}, `nacre up` or `nacre db upgrade` makes one"
        raise NotFoundError(msg, field="database")
    return settings


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for another database; InvalidValueError for one in memory."""
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return None
    name = rest.partition("?")[0].removeprefix("/")
    if not name or name == ":memory:":
        msg = "a database in memory ends with the command; name a file: sqlite:///FILE"
        raise InvalidValueError(msg, field="database")
    return Path(name)


@contextmanager
def reading(database: str | None) -> Iterator[Tx]:
    """Yield a read transaction on an existing database."""
    with opened_store(existing(database)) as store, store.read() as tx:
        yield tx


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """Yield the store of the settings' database; raise InvalidValueError for a URL that cannot be used."""
    try:
        store = Store(settings.database_url, WallClock())
        with store.read():
            pass
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        msg = f"the database URL cannot be used: {error}; give sqlite:///FILE or postgresql://USER@HOST/NAME"
        raise InvalidValueError(msg, field="database", code="database_url") from error
    try:
        yield store
    finally:
        store.close()
