"""One visit to an operator page: what a page may read, what was asked, and what it answers.

Stands under the page modules; `app.web.pages` makes the visits. It never renders and never writes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from services.domain.clock import to_rfc3339
from services.domain.parameters import ParameterRegistry
from services.store.tx import Tx

Row = dict[str, Any]
"""One record of a read model, in the shape that the API answers."""

Listing = Mapping[str, Any]
"""A page of a read model: `items` and `next_cursor`; or, for `pulse`, its figures."""

LARGEST_ID = 2**63 - 1
PAGE_ROWS = 50
NAMED_AGENTS = 500
REFERENCES = {
    "task": "/tasks/{}",
    "meta_task": "/tasks/{}",
    "proposal": "/proposals/{}",
    "experiment": "/experiments/{}",
    "episode": "/anomalies#episode-{}",
    "ledger": "/ledger/{}",
    "entry": "/ledger/{}",
    "ledger_entry": "/ledger/{}",
    "parameter": "/parameters/{}",
    "lap": "/laps/{}",
    "agent": "/agents/{}",
}
"""Where a `{kind, id}` reference of a read model is shown."""


class ReadModels(Protocol):
    """What pages read: the functions of `services.store.views`, or another source in the same shapes."""

    @property
    def list_tasks(self) -> Callable[..., Listing]: ...  # noqa: D102 (the names say it)
    @property
    def get_task(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_agents(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def get_agent(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def get_standing(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_bids(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def leaderboard(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def market_now(self) -> Callable[..., Row]: ...  # noqa: D102
    @property
    def replay_task(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_failed_work(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_proposals(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def get_proposal(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_reviews(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def get_review(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_voters(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def get_voter(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_experiments(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def get_experiment(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_parameters(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def get_parameter(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def config_diff(self) -> Callable[..., Row]: ...  # noqa: D102
    @property
    def list_entries(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def get_entry(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_laps(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def get_lap(self) -> Callable[..., Row | None]: ...  # noqa: D102
    @property
    def list_episodes(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_snapshots(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_metrics(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_series(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_keys(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_corrections(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_webhooks(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_report_schedules(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def list_dead_letters(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def cron_history(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def latest_ticks(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def list_review_items(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def sandbox_state(self) -> Callable[..., Listing]: ...  # noqa: D102
    @property
    def pulse(self) -> Callable[..., Listing]: ...  # noqa: D102


class Workings(Protocol):
    """What pages read of the running platform itself, beside its records."""

    def score(self, tx: Tx) -> Row:
        """Return the health score: `points`, and the points `lost` by part."""
        ...

    def ledger_fault(self, tx: Tx) -> str | None:
        """Return why the ledger does not verify, as a sentence, or None."""
        ...

    def health(self, tx: Tx) -> Row:
        """Return the tree of health, with since when checks fail and when each watchdog last ended."""
        ...

    def cron(self, tx: Tx) -> Row:
        """Return every job with its next and last tick, and the health they are placed by."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page answers: its template and the template's context."""

    template: str
    context: Row


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page, inside one read transaction."""

    tx: Tx
    views: ReadModels
    registry: ParameterRegistry
    workings: Workings
    here: str = "/"
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def now(self) -> str:
        """Return the instant of the transaction as RFC 3339 text."""
        return to_rfc3339(self.tx.now_us)

    def identity(self) -> int | None:
        """Return the id in the path, or None when no database could hold it."""
        number = int(self.path["id"])
        return number if number <= LARGEST_ID else None

    def chosen(self, name: str, allowed: Mapping[str, str] | tuple[str, ...]) -> str | None:
        """Return the filter `name` of the query when it is one of the allowed values, else None."""
        value = self.query.get(name)
        return value if value in allowed else None

    def window(self) -> Row:
        """Return the `limit` and `cursor` arguments of a paged read model."""
        return {"limit": PAGE_ROWS, "cursor": self.query.get("cursor") or None}

    def agent_names(self) -> dict[int, str]:
        """Return the names of the agents by id."""
        return {
            row["agent_id"]: row["name"] for row in rows(self.views.list_agents(self.tx, limit=NAMED_AGENTS))
        }


def rows(page: Any) -> list[Row]:
    """Return the rows of a page, or of a plain list."""
    return list(page["items"] if isinstance(page, Mapping) else page)


def next_link(visit: Visit, page: Listing) -> str | None:
    """Return where the next page of a list is, filters kept; None at the end."""
    cursor = page.get("next_cursor")
    if not cursor:
        return None
    kept = {name: value for name, value in visit.query.items() if name != "cursor"}
    return f"{visit.here}?{urlencode({**kept, 'cursor': cursor})}"


def reference(ref: Row | None) -> str | None:
    """Return the page that shows a `{kind, id}` reference, or None when there is none."""
    form = REFERENCES.get(str(ref["kind"])) if ref else None
    return form.format(urlencode({"": ref["id"]})[1:]) if form and ref else None
