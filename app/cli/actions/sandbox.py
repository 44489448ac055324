"""`nacre sandbox`: the state of the instrument in words, and the operator's two acts on it.

Stands over the read model and the evolution ledger (L7). It never goes around a service.
"""

from typing import Any

from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item, say_json
from services import evolution_ledger
from services.operations import health
from services.store import views

JsonObject = dict[str, Any]
PERCENT = 100.0


def show_status(database: str | None, *, as_json: bool) -> int:
    """Print the state of the sandbox."""
    with opened_platform(database) as platform, platform.store.read() as tx:
        state = {**views.sandbox_state(tx, platform.registry), "hold": health.promotion_hold(tx)}
    if as_json:
        return say_json(state)
    return say_item(in_words(state), {}, as_json=False)


def unfreeze(database: str | None, *, reason: str, as_json: bool) -> int:
    """Lift the freeze and print the entry that says so."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        index = evolution_ledger.unfreeze(tx, reason=reason)
    return say_item({"ledger_index": index}, {}, as_json=as_json)


def renew_holdout(database: str | None, *, reason: str, as_json: bool) -> int:
    """Begin the next epoch of the holdout and print its number."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        epoch_id = evolution_ledger.renew_epoch(tx, platform.context.entropy, reason=reason)
    return say_item({"epoch_id": epoch_id}, {}, as_json=as_json)


def in_words(state: JsonObject) -> JsonObject:
    """Return the state for reading: a sentence for each part, then what runs by layer."""
    stream = state["stream"]
    running = [
        {"layer": layer["layer"], **item} for layer in state["layers"] for item in layer["experiments"]
    ]
    return {
        "promotion": _promotion(state["freeze"], state["hold"]),
        "stream": (
            f"{stream['started']} started, {stream['confirmed']} confirmed; number "
            f"{stream['next_position']} would be confirmed at E = {stream['next_threshold']:,.0f} "
            f"({stream['rule']})"
        ),
        "placebos": _placebos(state["placebos"], state["alpha"]),
        "holdout": _holdout(state["holdout"]),
        "experiments": running,
    }


def _promotion(freeze: JsonObject | None, hold: str | None) -> str:
    if freeze is None:
        return "goes on" if hold is None else f"HELD: {hold}"
    return f"FROZEN since {freeze['frozen_at']}: {freeze['reason']} (entry {freeze['ledger_index']})"


def _placebos(placebos: JsonObject, alpha: float) -> str:
    if not placebos["ended"]:
        return "none has ended yet"
    counted = placebos["ended"] - placebos["invalid"]
    said = f"{placebos['wins']} of {counted} won"
    if placebos["rate"] is not None:
        said += (
            f" ({_percent(placebos['rate'])}, between {_percent(placebos['lower'])} and "
            f"{_percent(placebos['upper'])}; at most {_percent(alpha)} may)"
        )
    return (
        f"{said}; evidence of excess {placebos['excess_e']:.3g} (frozen at {placebos['freeze_e']:g}); "
        f"mean final E {placebos['mean_e']:.3g}"
    )


def _holdout(holdout: JsonObject | None) -> str:
    if holdout is None:
        return "none"
    said = (
        f"{_percent(holdout['share'])} of tasks since {holdout['since'][:10]} (epoch {holdout['epoch_id']})"
    )
    if holdout["difference"] is None:
        return f"{said}; nothing to compare yet"
    gap = f"{PERCENT * holdout['difference']:+.1f}"
    limits = f"{PERCENT * holdout['lower']:+.1f} to {PERCENT * holdout['upper']:+.1f}"
    found = f"{gap} points ({limits})"
    if holdout["lower"] <= 0 <= holdout["upper"]:
        found = f"no change shown yet ({gap} points, {limits})"
    return (
        f"{said}; success {_percent(holdout['holdout']['rate'])} of {holdout['holdout']['tasks']} held out, "
        f"{_percent(holdout['rest']['rate'])} of {holdout['rest']['tasks']} others: {found}, "
        "weighted by task type; types without a held-out task left out"
    )


def _percent(share: float) -> str:
    return f"{PERCENT * share:.3g} %"
