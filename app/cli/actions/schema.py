"""`nacre db upgrade` and `nacre db current`: the schema of the database.

Stands over the migrations. It never changes data and never goes back by itself.
"""

from app.cli.actions.opening import existing, opened_store, settings_of, sqlite_file
from app.cli.actions.screen import say_item
from app.settings import Settings
from services.store import migrate


def upgrade(database: str | None, *, as_json: bool) -> int:
    """Run the migrations up to the newest; an SQLite file is made if there is none."""
    settings = settings_of(database)
    file = sqlite_file(settings.database_url)
    if file is None or file.is_file():
        with opened_store(settings):
            pass
    migrate.upgrade(settings.database_url)
    return _say(settings, as_json=as_json)


def current(database: str | None, *, as_json: bool) -> int:
    """Print at which revision the schema is."""
    settings = existing(database)
    with opened_store(settings):
        pass
    return _say(settings, as_json=as_json)


def _say(settings: Settings, *, as_json: bool) -> int:
    at, newest = migrate.current_revision(settings.database_url), migrate.newest_revision()
    answer = {
        "database": settings.shown_database_url,
        "current": at,
        "newest": newest,
        "is_newest": at == newest,
    }
    return say_item(answer, {}, as_json=as_json)
