"""The demonstration's starting values and intervals: the seed's loop scaled 1:100 and faster.

Stands beside `app.bootstrap`, which applies it when the profile is `demonstration`. It changes no rule: the
threshold, alpha, the line and the caps are the standard ones. Counts, gauges and durations are only
published: windows of seconds have no hours of the day. It never names the value that should win.
"""

STARTING_VALUES: dict[str, str] = {
    "research_synthesis.timeout_seconds": "0.9",
    "observatory.line_minimum_tasks": "40",
    "observatory.cool_down_seconds": "60",
    "observatory.window_seconds": "30",
    "observatory.watch_counts": "0",
    "observatory.watch_gauges": "0",
    "market.bid_window_seconds": "0.5",
    "market.start_window_seconds": "5",
    "market.lease_grace_seconds": "0.5",
    "investigation.timeout_seconds": "60",
    "investigation.deadline_seconds": "600",
    "consensus.minimum_period_seconds": "0.5",
    "consensus.voting_period_seconds": "20",
    "consensus.filings_per_day": "1000",
    "sandbox.maximum_wait_seconds": "15",
    "sandbox.minimum_cycle_seconds": "0",
    "sandbox.window_seconds": "10",
    "sandbox.probation_seconds": "3600",
}

INTERVALS_SECONDS: dict[str, float] = {
    "platform_metrics_snapshot": 3.0,
    "auto_accept_bids": 0.25,
    "agent_autonomy_scan": 15.0,
    "lease_expiry": 1.0,
    "vote_tally": 0.5,
    "experiment_evaluation": 1.0,
}
