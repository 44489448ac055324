"""A diagnostician that asks more and promises less of the gain it predicts.

Runs as `python -m app.agents.diagnostician_quality` with NACRE_URL and NACRE_API_KEY. General: it explains
any episode, as its peer does; it never knows beforehand which agent is poor.
"""

from app.agents.investigation import InvestigatorProfile, run_investigator

PROFILE = InvestigatorProfile("diagnostician_quality", price_factor=0.6, confidence_percent=70, caution=0.7)

if __name__ == "__main__":
    run_investigator(PROFILE)
