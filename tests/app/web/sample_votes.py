"""Made-up reviews and voters in the shapes of the read models; see `sample_market`."""

from tests.app.web.sample_agents import SampleAgents
from tests.app.web.sample_tasks import NAMES, at

HASH = "5e" * 32
COOLING = "market.cooling"


def proposal_terms(parameter, before, after):
    """Return what a proposal says of its terms besides the change."""
    return {
        "inverse": {"parameter": parameter, "from": after, "to": before},
        "admission": {
            "needed_tasks": 71,
            "units_per_day": 284.0,
            "expected_seconds": 21_600.0,
            "expected_days": 0.25,
            "cap_tasks": 400,
            "cap_days": 7,
        },
        "electorate_mode": "agent",
        "conflicts": [{"agent_id": 5, "reason": "proposer"}],
        "rules": {"threshold_percent": 51, "minimum_ballots": 3},
        "need": {"early": 4, "at_close": 2},
    }


def review_of(reviewer, *, is_pending):
    """Return how the review of a proposal stands."""
    return {
        "state": "pending" if is_pending else "approved",
        "shown_sha256": HASH,
        "reviewer": None if is_pending else reviewer,
        "ledger_index": 17,
        "opened_at": at(55),
        "expires_at": at(259_255),
        "decided_at": None if is_pending else at(60),
    }


class SampleVotes(SampleAgents):
    """The read models of reviews and voters."""

    def review(self):
        is_pending = self.running
        return {
            "proposal_id": 4,
            "lap_id": 3,
            "proposer_id": 5,
            "parameter": COOLING,
            "from": "2",
            "to": self.text("3"),
            **review_of(self.text("Ida Lovelace"), is_pending=is_pending),
            "proposal_state": "review" if is_pending else "promoted",
            "reason": None if is_pending else self.text("worth its cost; the cap bounds it"),
            "seconds_left": 259_125.0 if is_pending else None,
        }

    def list_reviews(self, tx, *, state=None, limit=50, cursor=None, oldest_first=False):
        gone = {**self.review(), "proposal_id": 3, "state": "expired", "reviewer": None, "reason": None}
        items = [self.review(), {**gone, "seconds_left": None}]
        return self.page([item for item in items if state in (None, item["state"])], limit, cursor)

    def get_review(self, tx, proposal_id):
        if proposal_id == 3:
            gone = {**self.review(), "proposal_id": 3, "state": "expired", "reviewer": None, "reason": None}
            return {**gone, "shown": None, "is_erased": True}
        if proposal_id != 4:
            return None
        shown = {
            "proposal_id": 4,
            "parameter": COOLING,
            "risk": "gated",
            "from": "2",
            "to": self.text("3"),
            "from_version": 1,
            "inverse": {"from": self.text("3"), "to": "2"},
            "proposer": "agent:5",
            "root_cause": self.text("one retry more would have saved a third of the failures"),
            "evidence": [7, 12, 17],
            "metric": "task_success",
            "scope": "task",
            "guardrails": [{"metric": "task_cost", "margin": "0.2", "ceiling": "1.0"}],
            "expected_effect": "0.25",
            "base_rate": "0.65",
            "needed_tasks": 71,
            "units_per_day": "284.0",
            "expected_seconds": "21600.0",
            "cap_tasks": 400,
            "cap_days": 7,
            "rules": {"threshold_percent": 51, "minimum_ballots": 3},
            "electorate_mode": "agent",
            "conflicts": {"agent:6": "proposer"},
            "votes": {"yes": 4, "no": 1, "abstain": 0, "electorate": 6},
            "ballots": [
                {
                    "voter": self.text(f"agent:{n}"),
                    "choice": "against" if n == 3 else "for",
                    "forecast_percent": None if n == 2 else 80 - 9 * n,
                    "reason": self.text("Cost per task rises by a third." if n == 3 else ""),
                }
                for n in (1, 2, 3, 4, 6)
            ],
        }
        return {**self.review(), "shown": shown, "is_erased": False}

    def voter(self, number):
        is_new = number == 7
        bins = [(20, 4, 1, 0.046, 0.699), (60, 3, 2, 0.208, 0.939), (80, 7, 6, 0.487, 0.974)]
        return {
            "agent_id": number,
            "name": self.said or NAMES[number - 1],
            "owner": self.text("acme"),
            "eligible": 20,
            "cast": 0 if is_new else 18,
            "yes": 0 if is_new else 11,
            "no": 0 if is_new else 5,
            "abstain": 0 if is_new else 2,
            "participation": 0.0 if is_new else 0.9,
            "forecasts": 0 if is_new else 16,
            "scored": 0 if is_new else 14,
            "brier": None if is_new else 0.181,
            "base_rate": 0.6,
            "reference_brier": None if is_new else 0.24,
            "calibration": []
            if is_new
            else [
                {
                    "low_percent": low,
                    "high_percent": low + 10,
                    "forecasts": count,
                    "mean_percent": low + 4.5,
                    "came_true": true,
                    "lower": lower,
                    "upper": upper,
                }
                for low, count, true, lower, upper in bins
            ],
            "sides": {"for_won": 7, "for_lost": 2, "against_won": 1, "against_lost": 2},
            "summary": "none scored yet"
            if is_new
            else "14 scored: mean Brier 0.181, better than the base rate's 0.240",
        }

    def list_voters(self, tx, *, limit=50, cursor=None, oldest_first=False):
        return self.page([self.voter(number) for number in (1, 2, 3, 4, 6, 7)], limit, cursor)

    def get_voter(self, tx, agent_id):
        if self.empty or not 1 <= agent_id <= len(NAMES):
            return None
        ballots = [
            {
                "ballot_id": 40 - n,
                "proposal_id": 4,
                "parameter": COOLING,
                "state": state,
                "unit": f"agent:{agent_id}",
                "choice": "for",
                "forecast_percent": 80,
                "has_won": won,
                "brier": brier,
                "cast_at": at(51 - n),
            }
            for n, (state, won, brier) in enumerate((("open", None, None), ("promoted", True, 0.04)))
        ]
        return {**self.voter(agent_id), "ballots": ballots}
