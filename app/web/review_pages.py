"""Pages of the review gate and of voters: what a person is shown, and how voters did.

Stand over the read models of layer 5. They name the command that decides; pages have no key and never act.
"""

from shlex import quote

from app.web import charts
from app.web.formats import NOTHING, UNIT_OF_SCOPE, percent, trial_length
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.states import ReviewState

REVIEW_STATES = tuple(ReviewState)
FRACTIONS = ("expected_seconds", "units_per_day")


# --- what the templates show -------------------------------------------------------------------------------


def commands(review: Row) -> list[str]:
    """Return the two commands that decide a pending review, bound to the hash of what the page shows."""
    if review["state"] != ReviewState.PENDING:
        return []
    bound = f"{review['proposal_id']} --shown {quote(review['shown_sha256'])} --reviewer NAME --reason WHY"
    return [f"nacre review {word} {bound}" for word in ("approve", "refuse")]


def review_context(review: Row) -> Row:
    """Return a review with what a person is shown; its fractions, kept as text, in words."""
    shown = review["shown"]
    if shown is None:
        return {"review": review, "shown": None, "commands": commands(review)}
    lasts, per_day = (None if shown[name] is None else float(shown[name]) for name in FRACTIONS)
    words = trial_length(lasts, per_day, UNIT_OF_SCOPE.get(shown["scope"], "units"))
    told = {"base_rate": float(shown["base_rate"]), "lasts": words or NOTHING}
    return {"review": review, "shown": shown, "commands": commands(review), **told}


def bin_rows(voter: Row) -> list[Row]:
    """Return the calibration of a voter: what it said, what came true, drawn within its interval."""
    return [
        {
            **one,
            "said": f"{one['low_percent']} to {one['high_percent']} %",
            "span": charts.rate_interval(
                one["came_true"] / one["forecasts"],
                one["lower"],
                one["upper"],
                title=f"Said {one['low_percent']} to {one['high_percent']} per cent",
            ),
            "span_words": f"{percent(one['lower'], 0)} to {percent(one['upper'], 0)}",
        }
        for one in voter["calibration"]
    ]


# --- the pages ---------------------------------------------------------------------------------------------


def reviews(visit: Visit) -> Shown:
    """What waits, or waited, for a person's word."""
    state = visit.chosen("state", REVIEW_STATES)
    page = visit.views.list_reviews(visit.tx, state=state, **visit.window())
    shown = {"reviews": rows(page), "next": next_link(visit, page), "state": state, "states": REVIEW_STATES}
    return Shown("reviews.html", shown)


def review(visit: Visit) -> Shown | None:
    """Exactly what a person is shown of a GATED change, its hash, the time left, and the command."""
    number = visit.identity()
    found = visit.views.get_review(visit.tx, number) if number is not None else None
    if found is None:
        return None
    return Shown("review.html", review_context(found))


def voters(visit: Visit) -> Shown:
    """Who votes, and how well each forecasts."""
    page = visit.views.list_voters(visit.tx, **visit.window())
    return Shown("voters.html", {"voters": rows(page), "next": next_link(visit, page)})


def voter(visit: Visit) -> Shown | None:
    """One voter: ballots, forecasts against what came true, and on which side it stood."""
    number = visit.identity()
    found = visit.views.get_voter(visit.tx, number) if number is not None else None
    if found is None:
        return None
    return Shown("voter.html", {"voter": found, "bins": bin_rows(found)})
