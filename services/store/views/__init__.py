"""The read models: what the API, the pages and the command line show, as plain dicts with RFC 3339 times.

Stand on top of the store. Every function takes a read transaction first and returns the shapes of the HTTP
API; lists come as keyset pages, and what does not exist is None. They never write.
"""

from services.store.views.agents import get_agent, list_agents
from services.store.views.bids import list_bids
from services.store.views.config_history import (
    config_diff,
    config_now,
    parameter_at,
    task_parameters,
)
from services.store.views.dead_letters import get_dead_letter, list_dead_letters
from services.store.views.directory import leaderboard, list_directory
from services.store.views.experiments import get_experiment, list_experiments
from services.store.views.failed_work import list_failed_work
from services.store.views.laps import get_lap, list_laps
from services.store.views.ledger import get_entry, list_checkpoints, list_entries
from services.store.views.market_now import market_now
from services.store.views.observations import get_episode, list_episodes, list_snapshots
from services.store.views.operations import (
    cron_history,
    latest_ticks,
    list_review_items,
)
from services.store.views.paging import LIMIT_DEFAULT, LIMIT_HIGHEST, Page
from services.store.views.parameters import get_parameter, list_parameters
from services.store.views.patterns import get_pattern, list_patterns
from services.store.views.proposals import get_proposal, list_proposals
from services.store.views.pulse import pulse
from services.store.views.replays import replay_task
from services.store.views.reports import get_report_schedule, list_report_schedules
from services.store.views.reviews import get_review, list_reviews
from services.store.views.sandbox import sandbox_state
from services.store.views.series import list_corrections, list_keys, list_metrics, list_series
from services.store.views.stages import StageName, StageState
from services.store.views.standing import get_standing, ladder
from services.store.views.tasks import get_new_tasks, get_task, list_tasks
from services.store.views.voters import get_voter, list_voters
from services.store.views.webhooks import (
    EventsAsked,
    get_webhook,
    list_events,
    list_webhook_deliveries,
    list_webhooks,
)

__all__ = [
    "LIMIT_DEFAULT",
    "LIMIT_HIGHEST",
    "EventsAsked",
    "Page",
    "StageName",
    "StageState",
    "config_diff",
    "config_now",
    "cron_history",
    "get_agent",
    "get_dead_letter",
    "get_entry",
    "get_episode",
    "get_experiment",
    "get_lap",
    "get_new_tasks",
    "get_parameter",
    "get_pattern",
    "get_proposal",
    "get_report_schedule",
    "get_review",
    "get_standing",
    "get_task",
    "get_voter",
    "get_webhook",
    "ladder",
    "latest_ticks",
    "leaderboard",
    "list_agents",
    "list_bids",
    "list_checkpoints",
    "list_corrections",
    "list_dead_letters",
    "list_directory",
    "list_entries",
    "list_episodes",
    "list_events",
    "list_experiments",
    "list_failed_work",
    "list_keys",
    "list_laps",
    "list_metrics",
    "list_parameters",
    "list_patterns",
    "list_proposals",
    "list_report_schedules",
    "list_review_items",
    "list_reviews",
    "list_series",
    "list_snapshots",
    "list_tasks",
    "list_voters",
    "list_webhook_deliveries",
    "list_webhooks",
    "market_now",
    "parameter_at",
    "pulse",
    "replay_task",
    "sandbox_state",
    "task_parameters",
]
