"""Layer 3, the cron registry: every job the platform runs by the clock, as one table.

Columns: name · what it does · how often (or daily at, UTC) · time budget in seconds · priority (lower runs
first) · role (essential ones always run by this table; diagnostic ones first and more often while health is
low; housekeeping waits then) · jitter in seconds (it begins up to so much after it is due) · what if it was
missed (`RUN_ONCE` late, `SKIP` to the next, or `CATCH_UP` each) · why. Where a column is left out: essential,
no jitter, run once. `services/cron_runner` runs it; a deployment may shorten intervals. It holds no logic.
"""

from services import ab_sandbox, evolution_ledger, meta_task_market, observatory, proposal_system
from services.cron_runner import CronJob, Misfire, Role
from services.loop import LoopContext
from services.operations import budget_governor, dreaming, maintenance, metric_watchdog, probes, watchdog

MINUTE = 60.0
HOUR = 60 * MINUTE

CRON_JOBS: tuple[CronJob[LoopContext], ...] = (
    CronJob("platform_metrics_snapshot", lambda tx, _: observatory.take_snapshot(tx),
            every_seconds=HOUR, budget_seconds=30, priority=10,
            summary="Counts what ended since the last window, per platform, task type and agent."),
    CronJob("agent_autonomy_scan", lambda tx, _: maintenance.scan_agents(tx),
            every_seconds=5 * MINUTE, budget_seconds=10, priority=30,
            role=Role.HOUSEKEEPING, jitter_seconds=15, misfire=Misfire.SKIP,
            summary="Counts active, silent and suspended agents."),
    CronJob("auto_accept_bids", lambda tx, context: meta_task_market.award_due(tx, context.entropy),
            every_seconds=10 * MINUTE, budget_seconds=20, priority=0, is_repeated=True,
            summary="Awards every task whose bid window has closed."),
    CronJob("autodream_consolidation", lambda tx, context: dreaming.consolidate(tx, context.registry),
            daily_at="03:00", budget_seconds=120, priority=50, is_repeated=True,
            role=Role.DIAGNOSTIC, jitter_seconds=60, misfire=Misfire.RUN_ONCE,
            summary="Consolidates the day into patterns: agents, settings, recurring failures, candidates."),
    CronJob("lease_expiry", lambda tx, context: meta_task_market.expire_due(tx, context.entropy),
            every_seconds=15, budget_seconds=10, priority=5, is_repeated=True,
            summary="Takes back silent leases, unclaimed awards and tasks past their deadline."),
    CronJob("budget_hold_expiry", lambda tx, _: budget_governor.expire_due(tx),
            every_seconds=15, budget_seconds=10, priority=5,
            summary="Gives back budget holds whose time limit has passed."),
    CronJob("vote_tally", lambda tx, _: proposal_system.tally_due(tx),
            every_seconds=MINUTE, budget_seconds=10, priority=5,
            summary="Decides votes that can be decided and expires what never started."),
    CronJob("experiment_evaluation", lambda tx, context: {
                "placebo": ab_sandbox.start_placebo(tx, context.entropy),
                "watched": ab_sandbox.watch_promotions(tx, context.entropy),
                "started": ab_sandbox.start_waiting(tx, context.registry, context.entropy),
                **ab_sandbox.evaluate_running(tx)},
            every_seconds=MINUTE, budget_seconds=20, priority=5,
            summary="Starts placebo and waiting experiments, bets on what resolved, ends what is decided."),
    CronJob("held_promotions", lambda tx, _: evolution_ledger.promote_held(tx),
            every_seconds=MINUTE, budget_seconds=10, priority=5,
            summary="Promotes what waited for a failing check of correctness, once none fails any more."),
    CronJob("checkpoint_export", lambda tx, context: evolution_ledger.export_checkpoint(
                tx, context.notary, context.keeper),
            every_seconds=10 * MINUTE, budget_seconds=10, priority=35,
            summary="Holds the ledger to the checkpoint kept elsewhere; signs and keeps its growth."),
    CronJob("ledger_audit", lambda tx, context: evolution_ledger.audit_by_the_clock(tx, context.auditor),
            every_seconds=HOUR, budget_seconds=60, priority=45, is_repeated=True,
            role=Role.DIAGNOSTIC, jitter_seconds=120, misfire=Misfire.RUN_ONCE,
            summary="Audits what is new in the ledger, daily all of it, in parts; a fault holds promotions."),
    CronJob("correctness_probes", lambda tx, context: probes.probe_next(
                tx, context.verify, context.known_answers, context.now_us),
            every_seconds=MINUTE, budget_seconds=10, priority=35, is_repeated=True,
            role=Role.DIAGNOSTIC, misfire=Misfire.RUN_ONCE,
            summary="Asks verifiers what is known, replays awards, verifies ledger and config, and ages."),
    CronJob("market_watchdog", lambda tx, _: watchdog.watch_tasks(tx),
            every_seconds=MINUTE, budget_seconds=15, priority=40,
            role=Role.DIAGNOSTIC, misfire=Misfire.RUN_ONCE,
            summary="Recounts the market's invariants over the tasks that something happened to."),
    CronJob("books_audit", lambda tx, _: watchdog.audit_books(tx),
            every_seconds=HOUR, budget_seconds=30, priority=40,
            role=Role.DIAGNOSTIC, jitter_seconds=120, misfire=Misfire.RUN_ONCE,
            summary="Recounts balances, escrow, budgets and the records of agents."),
    CronJob("metric_watchdog", lambda tx, _: metric_watchdog.watch_metrics(tx),
            every_seconds=5 * MINUTE, budget_seconds=30, priority=40,
            role=Role.DIAGNOSTIC, jitter_seconds=15, misfire=Misfire.RUN_ONCE,
            summary="Recounts published metrics from primary rows; plants a drift of one and must find it."),
    CronJob("series_pruning", lambda tx, _: observatory.prune_series(tx),
            every_seconds=6 * HOUR, budget_seconds=30, priority=60, is_repeated=True,
            role=Role.HOUSEKEEPING, jitter_seconds=300, misfire=Misfire.SKIP,
            summary="Merges the windows of old days into one each, and lets very old days go."),
    CronJob("history_pruning", lambda tx, _: maintenance.prune(tx),
            every_seconds=HOUR, budget_seconds=30, priority=60, is_repeated=True,
            role=Role.HOUSEKEEPING, jitter_seconds=300, misfire=Misfire.SKIP,
            summary="Deletes ticks and delivered events after 14 days, idempotency keys after 7."),
)  # fmt: skip
