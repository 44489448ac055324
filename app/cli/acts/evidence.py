"""The acts of `nacre anomaly`, `nacre proposal`, `nacre experiment` and `nacre laps`.

Stand over the read models. They never write.
"""

import functools
from collections.abc import Mapping
from typing import Any

from app.cli.acts.listing import list_page, show_one
from app.cli.acts.printing import instant, key
from services.store import views


def _counts(item: Mapping[str, Any]) -> str:
    return f"{item['numerator']} of {item['denominator']}"


def _arm(name: str) -> str:
    return f"{name}_value"


def _success(item: Mapping[str, Any], name: str) -> str:
    arm = item[name]
    return f"{item[_arm(name)]}: {arm['successes']:g} of {arm['resolved']}"


def _change(item: Mapping[str, Any]) -> str:
    changed = item["parameter"]
    return "–" if changed is None else f"{changed['name']} {changed['before']} → {changed['after'] or '–'}"


ANOMALIES = (
    key("episode_id", "id"),
    key("state"),
    key("metric"),
    key("dimension"),
    key("key"),
    ("success", _counts),
    key("rule"),
    key("lap_id", "lap"),
    key("meta_task_id", "meta-task"),
    instant("opened_at"),
    instant("closed_at"),
)
PROPOSALS = (
    key("proposal_id", "id"),
    key("state"),
    key("parameter"),
    key("from"),
    key("to"),
    ("for/against", lambda item: f"{item['yes']}/{item['no']}"),
    key("electorate"),
    key("proposer_id", "proposer"),
    key("lap_id", "lap"),
    instant("opened_at"),
)
EXPERIMENTS = (
    key("experiment_id", "id"),
    key("state"),
    key("verdict"),
    key("parameter"),
    ("control", lambda item: _success(item, "control")),
    ("treatment", lambda item: _success(item, "treatment")),
    key("e_value", "E"),
    key("lap_id", "lap"),
    instant("started_at"),
)
LAPS = (
    key("lap_id", "id"),
    key("outcome"),
    key("stage"),
    ("change", _change),
    instant("opened_at"),
    instant("closed_at"),
)

list_anomalies = functools.partial(list_page, views.list_episodes, ANOMALIES, "anomalies")
list_proposals = functools.partial(list_page, views.list_proposals, PROPOSALS, "proposals")
list_experiments = functools.partial(list_page, views.list_experiments, EXPERIMENTS, "experiments")
list_laps = functools.partial(list_page, views.list_laps, LAPS, "laps")


def show_proposal(*, proposal_id: int, database: str | None, as_json: bool) -> None:
    """Print a proposal with its ballots."""
    show_one(
        lambda _, tx: views.get_proposal(tx, proposal_id),
        f"proposal {proposal_id}",
        database=database,
        as_json=as_json,
    )


def show_experiment(*, experiment_id: int, database: str | None, as_json: bool) -> None:
    """Print an experiment with its path."""
    show_one(
        lambda _, tx: views.get_experiment(tx, experiment_id),
        f"experiment {experiment_id}",
        database=database,
        as_json=as_json,
    )


def show_lap(*, lap_id: int, database: str | None, as_json: bool) -> None:
    """Print a lap with its stages and entries."""
    show_one(lambda _, tx: views.get_lap(tx, lap_id), f"lap {lap_id}", database=database, as_json=as_json)
