"""Layer 3, the cron runner: each tick claimed in the database, run within its budget, kept as history.

Runs the table in `cron_registry.py` with APScheduler's timing. A tick is a row (job, due instant) that one
process can insert; whoever inserts it runs it, so a tick fires once across all processes. A job runs in one
transaction that ends at its budget, whatever its code does. Due jobs run in the order of their priority,
which follows the platform's health. It knows no job by name and hands every job the context it was given.
"""

from services.cron_runner.claims import JobRunningError, lost
from services.cron_runner.firing import run_asked, run_here, run_lost, run_tick
from services.cron_runner.jobs import CronJob
from services.cron_runner.placing import Health, Timetable
from services.cron_runner.runner import CronRunner
from services.domain.priority import Misfire, Role

__all__ = [
    "CronJob",
    "CronRunner",
    "Health",
    "JobRunningError",
    "Misfire",
    "Role",
    "Timetable",
    "lost",
    "run_asked",
    "run_here",
    "run_lost",
    "run_tick",
]
