"""List and show what the read models have: `nacre … list`, `nacre … show`.

Stands behind most commands, over the read models. It never writes, not even an empty database.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.cli.actions import experiments, standing_words, vote_words
from app.cli.actions.opening import reading
from app.cli.actions.screen import say_item, say_json, say_page
from services.domain.errors import NotFoundError
from services.store import views

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing: how it is listed and shown, and its columns in a table."""

    list: Callable[..., views.Page]
    columns: tuple[str, ...]
    get: Callable[..., JsonObject | None] | None = None
    in_words: Callable[[JsonObject], JsonObject] = lambda item: item
    in_a_row: Callable[[JsonObject], JsonObject] = lambda item: item


def lap_in_words(lap: JsonObject) -> JsonObject:
    """Return a lap for reading: the things in it by id, then its stages and entries."""
    ids = {
        f"{name}_id": lap[name][f"{key}_id"] if lap[name] else None
        for name, key in (
            ("episode", "episode"),
            ("meta_task", "task"),
            ("proposal", "proposal"),
            ("experiment", "experiment"),
        )
    }
    heads = {
        name: lap[name] for name in ("lap_id", "opened_at", "closed_at", "outcome", "stage", "parameter")
    }
    return {**heads, **ids, "stages": lap["stages"], "entries": lap["entries"]}


SECTIONS: Mapping[str, tuple[str, ...]] = {
    "legs": experiments.LEGS,
    "arms": experiments.ARMS,
    "guardrails": experiments.GUARDRAILS,
    "stages": ("name", "state", "at", "detail"),
    "entries": ("index", "type", "actor", "at"),
    "ballots": ("agent_id", "agent_name", "choice", "forecast_percent", "brier", "reason", "cast_at"),
    "latest_ballots": ("proposal_id", "parameter", "state", "choice", "forecast_percent", "has_won", "brier"),
    "attempts": ("number", "agent_id", "state", "leased_at", "ended_at", "reason", "verification"),
    "awards": (
        "attempt_number",
        "agent_id",
        "rule",
        "price_microcredits",
        "stake_microcredits",
        "awarded_at",
    ),
}

KINDS: Mapping[str, Kind] = {
    "task": Kind(
        views.list_tasks,
        (
            "task_id", "kind", "type", "state", "requester_id", "awarded_agent_id", "attempt_count",
            "end_reason", "paid_microcredits", "posted_at",
        ),
        views.get_task,
    ),
    "agent": Kind(
        partial(views.list_agents, are_bids_shown=True),
        (
            "agent_id", "name", "owner", "standing", "vouched", "scopes", "verified_jobs", "settled_jobs",
            "balance_microcredits", "last_active_at",
        ),
        partial(views.get_agent, are_bids_shown=True),
    ),
    "proposal": Kind(
        views.list_proposals,
        (
            "proposal_id", "lap_id", "parameter", "from", "to", "state", "yes", "no", "abstain", "electorate",
            "experiment_id", "metric", "scope", "opened_at",
        ),
        views.get_proposal,
        vote_words.proposal,
    ),
    "review": Kind(
        views.list_reviews,
        ("proposal_id", "parameter", "from", "to", "state", "expires_at", "reviewer", "shown_sha256"),
        views.get_review,
        vote_words.review,
    ),
    "voter": Kind(
        views.list_voters,
        (
            "agent_id", "name", "owner", "cast", "eligible", "yes", "no", "abstain", "scored", "brier",
            "reference_brier", "summary",
        ),
        views.get_voter,
        vote_words.voter,
    ),
    "experiment": Kind(
        views.list_experiments,
        experiments.LISTED,
        views.get_experiment,
        experiments.in_words,
        experiments.in_a_row,
    ),
    "lap": Kind(
        views.list_laps,
        (
            "lap_id", "opened_at", "closed_at", "outcome", "stage", "parameter.name", "parameter.before",
            "parameter.after",
        ),
        views.get_lap,
        lap_in_words,
    ),
    "ledger entry": Kind(
        views.list_entries, ("index", "type", "actor", "lap", "at", "leaf_hash"), views.get_entry
    ),
    "dead letter": Kind(
        views.list_dead_letters,
        (
            "delivery_id", "event_type", "subscriber", "aggregate", "attempts", "last_error", "published_at",
        ),
        views.get_dead_letter,
    ),
    "bid": Kind(
        views.list_bids,
        (
            "bid_id", "task_id", "task_type", "state", "ask_microcredits", "score", "winner.agent_id",
            "winner.score", "winner.price_microcredits", "bidders", "reason.code", "reason.sentence",
        ),
    ),
    "directory entry": Kind(
        views.list_directory,
        ("agent_id", "name", "owner", "standing", "does", "jobs", "brier", "forecasts", "last_active_at"),
        in_a_row=standing_words.directory_row,
    ),
    "ranked agent": Kind(
        views.leaderboard,
        (
            "rank", "agent_id", "name", "standing", "expected_rate", "rate_low", "rate_high", "jobs",
            "verified", "earned_microcredits", "brier",
        ),
    ),
    "standing": Kind(
        views.list_directory, ("agent_id", "standing"), views.get_standing, standing_words.in_words
    ),
    "failed work": Kind(
        views.list_failed_work,
        (
            "kind", "id", "count", "what", "owner", "reason.code", "reason.sentence", "since", "last_at",
            "can_retry",
        ),
    ),
    "pattern": Kind(
        views.list_patterns,
        ("pattern_id", "kind", "task_type", "summary", "tasks", "failures", "days", "last_seen_at"),
        views.get_pattern,
        lambda pattern: {**{name: pattern[name] for name in pattern if name != "facts"}, **pattern["facts"]},
    ),
    "episode": Kind(
        views.list_episodes,
        (
            "episode_id", "metric", "dimension", "key", "state", "shape", "rule", "observed", "expected",
            "opened_at", "closed_at", "lap_id",
        ),
        views.get_episode,
    ),
    "correction": Kind(
        views.list_corrections,
        (
            "correction_id", "metric", "dimension", "key", "window_end", "numerator", "denominator",
            "corrected_at",
        ),
    ),
    "review item": Kind(
        views.list_review_items, ("item_id", "kind", "subject", "opened_at", "closed_at", "context")
    ),
    "tick": Kind(
        views.cron_history,
        (
            "tick_id", "job", "due_at", "trigger", "state", "priority", "late_seconds", "ended_at",
            "claimed_by", "reason", "error",
        ),
    ),
}  # fmt: skip


def show_page(noun: str, database: str | None, asked: Mapping[str, object], *, as_json: bool) -> int:
    """Print one page; `asked` are the filters and the page, as the read model takes them."""
    kind = KINDS[noun]
    with reading(database) as tx:
        page = kind.list(tx, **asked)
    if as_json:
        return say_json(page)
    items = [kind.in_a_row(item) for item in page["items"]]
    return say_page({**page, "items": items}, kind.columns, as_json=False)


def show_item(noun: str, database: str | None, item_id: int, *, as_json: bool) -> int:
    """Print one thing; raise NotFoundError when there is none."""
    kind = KINDS[noun]
    with reading(database) as tx:
        item = kind.get(tx, item_id) if kind.get is not None else None
    if item is None:
        raise NotFoundError(f"there is no {noun} {item_id}; `{LISTED_BY[noun]}` lists what there is")
    return say_item(item if as_json else kind.in_words(item), SECTIONS, as_json=as_json)


LISTED_BY: Mapping[str, str] = {
    "task": "nacre task list",
    "agent": "nacre agent list",
    "standing": "nacre agent list",
    "proposal": "nacre proposal list",
    "review": "nacre review gates",
    "voter": "nacre voter list",
    "experiment": "nacre experiment list",
    "lap": "nacre laps list",
    "ledger entry": "nacre ledger list",
    "dead letter": "nacre dead-letter list",
    "episode": "nacre observatory episodes",
    "pattern": "nacre pattern list",
}
