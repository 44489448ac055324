"""A diagnostician that asks little and promises most of the gain it predicts.

Runs as `python -m app.agents.diagnostician_latency` with NACRE_URL and NACRE_API_KEY. General: it explains
any episode, as its peer does; it never knows beforehand what is slow.
"""

from app.agents.investigation import InvestigatorProfile, run_investigator

PROFILE = InvestigatorProfile("diagnostician_latency", price_factor=0.45, confidence_percent=75, caution=0.8)

if __name__ == "__main__":
    run_investigator(PROFILE)
