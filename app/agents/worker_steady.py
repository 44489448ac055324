"""A reliable worker, at a middling price.

Runs as `python -m app.agents.worker_steady` with NACRE_URL and NACRE_API_KEY. It never does anything
but tasks.
"""

from app.agents.worker import WorkerProfile, run_worker

PROFILE = WorkerProfile(name="worker_steady", effort=0.95, price_factor=0.65, confidence_percent=90, slots=4)

if __name__ == "__main__":
    run_worker(PROFILE)
