"""Show the tree of health, and end with the exit code that monitoring reads.

Stands behind `nacre health`, over the same tree as the API. It looks at the database directly: whether a
server answers is for /health/live of that server to say. It never mends anything.
"""

from collections.abc import Mapping
from typing import Any, Final

from app.api.readiness import checks_now
from app.cli.actions.operating import opened_platform
from app.cli.actions.screen import say_json, say_line, say_note, say_page
from app.health_json import Asked, document, tree
from app.web.formats import measured
from services.domain.checks import Check, Layer, Status
from services.domain.clock import WallClock
from services.domain.errors import InvalidValueError, NacreError

EXIT_CODES: Final[Mapping[Status, int]] = {Status.PASS: 0, Status.WARN: 1, Status.FAIL: 3}
"""2 is what every command ends with when its input was wrong."""
OF_A_SERVER: Final = frozenset({"writer"})
"""Components whose state only the serving process knows."""
COLUMNS: Final = ("status", "layer", "check", "observed", "output")


def show_health(
    database: str | None,
    *,
    layer: Layer | None,
    component: str | None,
    is_every: bool,
    as_json: bool,
) -> int:
    """Print the tree; return 0 for a pass, 1 for a warning, 3 for a failure.

    A database that cannot be used is a failure. Raises InvalidValueError for a component that does not exist.
    """
    asked = Asked(layer, component)
    try:
        shown = _tree(database, asked)
    except InvalidValueError:
        raise
    except NacreError as error:
        shown = _unusable(error)
    if component is not None and not shown["checks"]:
        msg = f"there is no component {component!r} in that layer; `nacre health --all` lists them"
        raise InvalidValueError(msg, field="--component", code="component_unknown")
    if as_json:
        say_json(shown)
    else:
        _say(shown, is_every=is_every or asked != Asked())
    return EXIT_CODES[Status(shown["status"])]


def _tree(database: str | None, asked: Asked) -> dict[str, Any]:
    with opened_platform(database) as platform:
        ready = [check for check in checks_now(platform) if check.component not in OF_A_SERVER]
        with platform.store.read() as tx:
            return tree(tx, ready, platform.jobs, platform.task_types, asked)


def _unusable(error: NacreError) -> dict[str, Any]:
    told = f"{error.detail} ({error.code})"
    return document(
        [Check("database", "answer_time", Status.FAIL, WallClock().now_us(), "datastore", output=told)]
    )


def _say(shown: Mapping[str, Any], *, is_every: bool) -> None:
    score = shown.get("score")
    if score is not None:
        lost = ", ".join(f"{part} -{points:g}" for part, points in score["lost"].items() if points)
        say_line(f"{shown['status']}: {score['points']} of 100" + (f" ({lost})" if lost else ""))
        if shown["promotion_hold"]:
            say_line(f"promotions are held: {shown['promotion_hold']}")
        for held in shown["held_promotions"]:
            say_line(f"waiting: experiment {held['experiment_id']}, {held['parameter']} to {held['to']}")
    rows = [
        {
            "status": check["status"],
            "layer": check.get("layer"),
            "check": key,
            "observed": _measured(check),
            "output": check.get("output"),
        }
        for key, found in shown["checks"].items()
        for check in found
    ]
    items = [row for row in rows if is_every or row["status"] != Status.PASS]
    if items:
        say_page({"items": items, "next_cursor": None}, COLUMNS, as_json=False)
    if len(items) < len(rows):
        say_note(f"{len(rows) - len(items)} more checks pass; --all lists them")


def _measured(check: Mapping[str, Any]) -> str | None:
    if "observedValue" not in check:
        return None
    return measured(check["observedValue"], check["observedUnit"])
