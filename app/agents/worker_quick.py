"""A fast worker, somewhat cheap, many tasks at once.

Runs as `python -m app.agents.worker_quick` with NACRE_URL and NACRE_API_KEY. It never does anything
but tasks.
"""

from app.agents.worker import WorkerProfile, run_worker

PROFILE = WorkerProfile(name="worker_quick", effort=0.85, price_factor=0.55, confidence_percent=85, slots=6)

if __name__ == "__main__":
    run_worker(PROFILE)
