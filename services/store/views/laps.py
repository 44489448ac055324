"""The read model of a lap: one turn of the loop with every hop joined by its lap id.

Stands in the store; the lap page, `nacre lap` and the API show it. A page of laps costs a fixed number of
queries. It never decides what happened: it shows what was recorded.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, Table, select

from services.domain.ledger_schema import EntryType
from services.domain.states import TaskKind
from services.store.sql import Row, find, rows
from services.store.tables import (
    episode,
    experiment,
    lap,
    ledger_entry,
    parameter_change,
    proposal,
    task,
)
from services.store.tx import Tx
from services.store.views.experiments import experiments_of
from services.store.views.ledger import entry_of
from services.store.views.observations import episode_of
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page
from services.store.views.proposals import proposals_of
from services.store.views.stages import LapFacts, current_stage, derive_stages
from services.store.views.tasks import task_summary


def list_laps(
    tx: Tx, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None, oldest_first: bool = False
) -> Page:
    """Return a page of laps, each with its stages and everything in it."""
    found, following = fetch_page(
        tx, select(lap), lap.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": _laps(tx, found), "next_cursor": following}


def get_lap(tx: Tx, lap_id: int) -> JsonObject | None:
    """Return one lap with its seven stages and everything recorded in it, or None."""
    found = find(tx, lap, id=lap_id)
    return _laps(tx, [found])[0] if found else None


def _laps(tx: Tx, found: Sequence[Row]) -> list[JsonObject]:
    ids = [row["id"] for row in found]
    episodes = _newest(tx, episode, ids, lambda group: [episode_of(row) for row in group])
    meta_tasks = _newest(
        tx, task, ids, lambda group: [task_summary(row) for row in group], task.c.kind == TaskKind.META
    )
    proposals = _newest(tx, proposal, ids, lambda group: proposals_of(tx, group))
    experiments = _newest(tx, experiment, ids, lambda group: experiments_of(tx, group))
    entries = _entries(tx, ids)
    values = _promoted_values(tx, [item["experiment_id"] for item in experiments.values()])
    result = []
    for row in found:
        lap_id = row["id"]
        facts = LapFacts(
            closed_at=at(row["closed_at_us"]),
            episode=episodes.get(lap_id),
            meta_task=meta_tasks.get(lap_id),
            proposal=proposals.get(lap_id),
            experiment=experiments.get(lap_id),
            entries=entries[lap_id],
        )
        result.append(_lap(row, facts, values))
    return result


def _lap(row: Row, facts: LapFacts, values: dict[int, str]) -> JsonObject:
    stages = derive_stages(facts)
    return {
        "lap_id": row["id"],
        "opened_at": at(row["opened_at_us"]),
        "closed_at": facts.closed_at,
        "outcome": row["outcome"],
        "stage": current_stage(stages),
        "stages": stages,
        "episode": facts.episode,
        "meta_task": facts.meta_task,
        "proposal": facts.proposal,
        "experiment": facts.experiment,
        "entries": list(facts.entries),
        "parameter": _parameter(facts, values),
    }


def _parameter(facts: LapFacts, values: dict[int, str]) -> JsonObject | None:
    """Return what the lap changed: `after` is the value that went into production, None where none did."""
    if facts.proposal is None:
        return None
    promoted = facts.entry(EntryType.PROMOTED) is not None and facts.experiment is not None
    after = values.get(facts.experiment["experiment_id"]) if promoted and facts.experiment else None
    return {"name": facts.proposal["parameter"], "before": facts.proposal["from"], "after": after}


def _newest(
    tx: Tx,
    table: Table,
    ids: Sequence[int],
    shape: Callable[[Sequence[Row]], list[JsonObject]],
    *conditions: Any,
) -> dict[int, JsonObject]:
    """Return, per lap, the newest row of a table in the shape of the API."""
    lap_id: Column[Any] = table.c.lap_id
    statement = select(table).where(lap_id.in_(ids), *conditions).order_by(table.c.id)
    newest = {row["lap_id"]: row for row in rows(tx, statement)}
    return dict(zip(newest, shape(list(newest.values())), strict=True))


def _entries(tx: Tx, ids: Sequence[int]) -> dict[int, list[JsonObject]]:
    statement = select(ledger_entry).where(ledger_entry.c.lap_id.in_(ids)).order_by(ledger_entry.c.index)
    grouped: dict[int, list[JsonObject]] = defaultdict(list)
    for row in rows(tx, statement):
        grouped[row["lap_id"]].append(entry_of(row))
    return grouped


def _promoted_values(tx: Tx, experiment_ids: Sequence[int]) -> dict[int, str]:
    """Return the value that each experiment's promotion put in force."""
    statement = (
        select(parameter_change.c.experiment_id, parameter_change.c.value)
        .where(parameter_change.c.experiment_id.in_(experiment_ids))
        .order_by(parameter_change.c.version.desc())
    )
    return {row["experiment_id"]: row["value"] for row in rows(tx, statement)}
