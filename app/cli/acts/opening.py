"""Opening the database for a command, and saying in one line why it cannot be opened.

Stands under every act. Only `post`, `register` and `db upgrade` make a database that is missing: whoever only
reads learns that it is not there. It never shows a password.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.bootstrap import Platform, open_platform
from app.lazy import load
from app.settings import Settings, read_settings
from services.domain.errors import InvalidValueError, NacreError, NotFoundError
from services.store import migrate

DATABASE_ERRORS = (
    "sqlalchemy.exc:DatabaseError",
    "sqlalchemy.exc:InterfaceError",
    "alembic.util:CommandError",
)
URL_ERROR = "sqlalchemy.exc:ArgumentError"


class DatabaseUnavailableError(NacreError):
    """The database cannot be opened, or what is there is not one of ours."""

    code = "database_unavailable"


class SchemaOutdatedError(NacreError):
    """The database is of another version of this program."""

    code = "schema_outdated"


def chosen_settings(database: str | None) -> Settings:
    """Return the settings of the environment, with the database that `--database` names."""
    settings = read_settings()
    return settings if database is None else settings.with_database(database)


@contextmanager
def naming_the_database(settings: Settings) -> Iterator[None]:
    """Turn what the database says into a refusal that names it.

    Raises DatabaseUnavailableError, or InvalidValueError for a URL that is none.
    """
    url = settings.shown_database_url
    try:
        yield
    except (load(URL_ERROR), ValueError) as error:
        if isinstance(error, ValueError) and settings.database_url.startswith(("sqlite", "postgresql")):
            raise
        detail = f"{url!r} is no database URL; write sqlite:///file.db or postgresql://user@host/name"
        raise InvalidValueError(detail, field="database_url", code="invalid_database_url") from error
    except tuple(load(path) for path in DATABASE_ERRORS) as error:
        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise DatabaseUnavailableError(f"{url}: {said}") from error


@contextmanager
def existing_platform(database: str | None) -> Iterator[Platform]:
    """Open a database that is there and up to date; close it afterwards.

    Raises NotFoundError for one that is not there, SchemaOutdatedError for another version.
    """
    settings = chosen_settings(database)
    with naming_the_database(settings):
        require_current(settings)
        platform = open_platform(settings, is_migrated=True)
        try:
            yield platform
        finally:
            platform.close()


@contextmanager
def platform_or_new(database: str | None) -> Iterator[Platform]:
    """Open the database, made and migrated when it must be; close it afterwards."""
    settings = chosen_settings(database)
    with naming_the_database(settings):
        platform = open_platform(settings)
        try:
            yield platform
        finally:
            platform.close()


def require_current(settings: Settings) -> None:
    """Raise NotFoundError when there is no database, SchemaOutdatedError when it is not of this version."""
    require_file(settings)
    url = settings.shown_database_url
    found = migrate.current_revision(settings.database_url)
    if found is None:
        raise SchemaOutdatedError(f"{url} has no tables yet; `nacre db upgrade` makes them")
    newest = migrate.newest_revision()
    if found != newest:
        detail = f"{url} is at revision {found}, this program needs {newest}; run `nacre db upgrade`"
        raise SchemaOutdatedError(detail)


def require_file(settings: Settings) -> None:
    """Raise NotFoundError when the settings name an SQLite file that does not exist."""
    scheme, _, rest = settings.database_url.partition(":///")
    path = rest.partition("?")[0]
    if not scheme.startswith("sqlite") or path in {"", ":memory:"} or Path(path).exists():
        return
    laps = sorted((settings.var_directory / "laps").glob("lap-*.db"))
    hint = f"the newest lap's is --database sqlite:///{laps[-1]}" if laps else "`nacre up` makes one"
    raise NotFoundError(f"there is no database {settings.shown_database_url}; {hint}", field="database_url")
