"""A poor worker, the cheapest, and sure of itself; its record tells otherwise.

Runs as `python -m app.agents.worker_hasty` with NACRE_URL and NACRE_API_KEY. It never does anything
but tasks.
"""

from app.agents.worker import WorkerProfile, run_worker

PROFILE = WorkerProfile(name="worker_hasty", effort=0.15, price_factor=0.3, confidence_percent=90, slots=4)

if __name__ == "__main__":
    run_worker(PROFILE)
