"""Start the platform or a lap with the settings of the environment and the command's options.

Stands between the command line and `app.main`, `app.lap`. It never watches or judges a lap.
"""

import os
from dataclasses import replace

from app.cli.actions.opening import settings_of
from app.lap import LIMIT_SECONDS, LapRequest, run_lap
from app.main import serve
from app.settings import Settings


def up(database: str | None, *, fleet: bool, host: str | None, port: int | None) -> int:
    """Serve until interrupted; return the exit code."""
    settings = _with_port(settings_of(database), port)
    return serve(settings if host is None else replace(settings, host=host), fleet=fleet)


def lap(
    database: str | None,
    *,
    source: str,
    limit_seconds: float | None,
    seed: int,
    port: int | None,
    keep_serving: bool,
    as_json: bool,
) -> int:
    """Run one lap; return 0 when it closed with a promotion, else 1."""
    request = LapRequest(
        source=source,
        seed=seed,
        limit_seconds=LIMIT_SECONDS if limit_seconds is None else limit_seconds,
        is_fresh=database is None and "NACRE_DATABASE_URL" not in os.environ,
    )
    settings = _with_port(settings_of(database), port)
    return run_lap(settings, keep_serving=keep_serving, as_json=as_json, request=request)


def _with_port(settings: Settings, port: int | None) -> Settings:
    return settings if port is None else replace(settings, port=port)
