"""`nacre sandbox`: whether the instrument can be trusted, and the two acts that only a person may do to it.

Stands at the edge, over layers 6 and 7. It never starts, stops or decides an experiment.
"""

from app.cli.options import (
    LIMIT_DEFAULT,
    AsJson,
    Cursor,
    Database,
    Limit,
    Oldest,
    Reason,
    examples,
    group,
)
from app.lazy import load
from services.domain.states import ExperimentKind

ACTIONS = "app.cli.actions.sandbox"

sandbox = group("sandbox", "The sandbox as an instrument: placebos, freeze, holdout, levels of the stream.")
GROUPS = (sandbox,)


@sandbox.command("status", **examples("nacre sandbox status", "nacre sandbox status --json"))
def status(database: Database = None, as_json: AsJson = False) -> int:
    """Show how often placebos win, whether promotion is frozen, what the holdout says, and what runs."""
    return int(load(f"{ACTIONS}:show_status")(database, as_json=as_json))


@sandbox.command("placebos", **examples("nacre sandbox placebos --limit 5"))
def list_placebos(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List the placebos: A/A experiments, which must not win more often than alpha."""
    asked = {"kind": ExperimentKind.PLACEBO, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load("app.cli.actions.reading:show_page")("experiment", database, asked, as_json=as_json))


@sandbox.command(
    "unfreeze", **examples('nacre sandbox unfreeze --reason "the verifier was wrong; it is mended"')
)
def unfreeze(reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Let promotions go on after placebos had won too often. It goes into the ledger."""
    return int(load(f"{ACTIONS}:unfreeze")(database, reason=reason, as_json=as_json))


@sandbox.command("renew-holdout", **examples('nacre sandbox renew-holdout --reason "a quarter has passed"'))
def renew_holdout(reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Begin the next epoch: the holdout goes on from the config in force. It goes into the ledger."""
    return int(load(f"{ACTIONS}:renew_holdout")(database, reason=reason, as_json=as_json))
