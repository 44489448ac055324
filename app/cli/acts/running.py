"""The acts of `nacre up`, `nacre run` and `nacre lap`: hand the settings to what serves.

Stands over `app.main` and `app.lap`. It never serves by itself.
"""

import os
from dataclasses import replace

from app.cli.acts.opening import chosen_settings, naming_the_database
from app.lap import LapRequest, run_lap
from app.main import serve
from app.settings import Settings


def up(*, fleet: bool, port: int | None, database: str | None) -> int:
    """Serve until Ctrl-C."""
    settings = _at_port(chosen_settings(database), port)
    with naming_the_database(settings):
        return serve(settings, fleet=fleet)


def lap(
    *,
    keep_serving: bool,
    source: str,
    seconds: float | None,
    port: int | None,
    database: str | None,
    as_json: bool,
) -> int:
    """Run one lap, in a fresh database unless one is named."""
    settings = _at_port(chosen_settings(database), port)
    is_fresh = database is None and "NACRE_DATABASE_URL" not in os.environ
    request = LapRequest(source=source, is_fresh=is_fresh)
    if seconds is not None:
        request = replace(request, limit_seconds=seconds)
    with naming_the_database(settings):
        return run_lap(settings, keep_serving=keep_serving, as_json=as_json, request=request)


def _at_port(settings: Settings, port: int | None) -> Settings:
    return settings if port is None else replace(settings, port=port)
