"""A thorough worker, dear: full effort on everything it takes.

Runs as `python -m app.agents.worker_careful` with NACRE_URL and NACRE_API_KEY. It never does anything
but tasks.
"""

from app.agents.worker import WorkerProfile, run_worker

PROFILE = WorkerProfile(name="worker_careful", effort=1.0, price_factor=0.8, confidence_percent=95, slots=3)

if __name__ == "__main__":
    run_worker(PROFILE)
