"""Read models of parameters: every registered setting with the value in force, its source and its history.

Stands in the store beside production config. A parameter that nobody ever changed has no row: it is shown
with its default, version 0. It never says what a single task gets; that depends on the task's arm.
"""

from sqlalchemy import select

from services.domain.parameter_kinds import Kind
from services.domain.parameters import Parameter, ParameterRegistry, Risk
from services.domain.states import LIVE_EXPERIMENTS, ValueSource
from services.store.sql import Row, find, find_all, rows
from services.store.tables import experiment, parameter, parameter_change
from services.store.tx import Tx
from services.store.views.paging import JsonObject, Page, at, check_limit, read_cursor, write_cursor

RETIRED = "Retired: no registry declares it any more. Its value and its history stay."


def list_parameters(
    tx: Tx, registry: ParameterRegistry, *, limit: int = 500, cursor: str | None = None
) -> Page:
    """Return a page of all parameters by name: the registered ones, and those that are retired."""
    check_limit(limit)
    start = read_cursor(cursor, oldest_first=True) if cursor is not None else 0
    stored = {row["name"]: row for row in find_all(tx, parameter, order_by="name")}
    names = sorted({item.name for item in registry} | stored.keys())
    chosen = names[start : start + limit]
    held = _held(tx)
    end = start + len(chosen)
    following = write_cursor(end, oldest_first=True) if end < len(names) else None
    return {
        "items": [
            _parameter(_declared(tx, registry, name), stored.get(name), held.get(name)) for name in chosen
        ],
        "next_cursor": following,
    }


def get_parameter(tx: Tx, registry: ParameterRegistry, name: str) -> JsonObject | None:
    """Return one parameter with every change it went through, newest first; None for an unknown name."""
    stored = find(tx, parameter, name=name)
    if registry.find(name) is None and stored is None:
        return None
    statement = (
        select(parameter_change)
        .where(parameter_change.c.name == name)
        .order_by(parameter_change.c.version.desc())
    )
    history = [change_of(row) for row in rows(tx, statement)]
    shown = _parameter(_declared(tx, registry, name), stored, _held(tx).get(name))
    return {**shown, "history": history}


def _declared(tx: Tx, registry: ParameterRegistry, name: str) -> Parameter:
    """Return the parameter as registered, or what is left of one that no registry declares any more."""
    found = registry.find(name)
    if found is not None:
        return found
    first = find(tx, parameter_change, name=name, version=1)
    default = first["value"] if first else ""
    return Parameter(name, default, "", "", "", "", "", Risk.FIXED, RETIRED, kind=Kind.TEXT)


def _held(tx: Tx) -> dict[str, Row]:
    """Return the experiment that holds a parameter, by the parameter's name."""
    statement = select(experiment.c.parameter, experiment.c.id, experiment.c.state).where(
        experiment.c.state.in_(LIVE_EXPERIMENTS)
    )
    return {row["parameter"]: row for row in rows(tx, statement)}


def _parameter(item: Parameter, stored: Row | None, held: Row | None) -> JsonObject:
    return {
        "name": item.name,
        "value": stored["value"] if stored else item.default,
        "default": item.default,
        "source": stored["source"] if stored else ValueSource.DEFAULT.value,
        "version": stored["version"] if stored else 0,
        "kind": item.kind.value,
        "choices": list(item.choices),
        "length_max": item.length_max if item.kind is Kind.TEXT else None,
        "sets_pay": item.sets_pay,
        "low": item.low,
        "high": item.high,
        "step_max": item.step_max,
        "unit": item.unit,
        "risk": item.risk.value,
        "owner": item.owner,
        "layer": item.layer_name,
        "experiment": {"experiment_id": held["id"], "state": held["state"]} if held else None,
        "is_retired": item.summary is RETIRED,
        "summary": item.summary,
        "changed_at": at(stored["changed_at_us"]) if stored else None,
    }


def change_of(row: Row) -> JsonObject:
    """Return one change of a parameter as it is shown."""
    return {
        "version": row["version"],
        "value": row["value"],
        "source": row["source"],
        "actor": row["actor"],
        "reason": row["reason"],
        "experiment_id": row["experiment_id"],
        "ledger_index": row["ledger_index"],
        "changed_at": at(row["changed_at_us"]),
    }
