"""Standing and the directory for reading in a terminal: nested facts as plain ones.

Stands behind `nacre agent standing | directory`, beside the other listings. It never computes a figure.
"""

from typing import Any

JsonObject = dict[str, Any]


def directory_row(entry: JsonObject) -> JsonObject:
    """Return an entry of the directory with its task types as words: "monte_carlo 11 of 12"."""
    does = [f"{one['task_type']} {one['verified']} of {one['jobs']}" for one in entry["task_types"]]
    return {**entry, "does": ", ".join(does)}


def in_words(found: JsonObject) -> JsonObject:
    """Return a standing for reading: one fact a line, the acts as a table."""
    step, demotion, crashes = found["next_step"], found["demotion"], found["crashes"]
    suspension, appeal = found["suspension"], found["appeal"]
    up = f"{step['standing']} after {step['verified_jobs']} more verified" if step else None
    appealed = None
    if appeal:
        decided = appeal["decided_at"]
        appealed = f"{appeal['item_id']}, " + (f"decided {decided}" if decided else "waits for an operator")
    facts = {
        "agent_id": found["agent_id"],
        "name": found["name"],
        "standing": found["standing"],
        "verified": f"{found['verified_jobs']} of {found['settled_jobs']} jobs",
        "next_step": up,
        "evidence_against": f"{demotion['e_value']:.4g} of {demotion['suspends_at']:g}",
        "failures_left": demotion["failures_left"],
        "crashes_in_a_row": f"{crashes['in_a_row']} of {crashes['limit']}",
        "bond_microcredits": found["bond_microcredits"],
    }
    if suspension:
        facts |= {
            "suspended_since": suspension["since"],
            "may_return_at": suspension["may_return_at"],
            "stake_microcredits": suspension["stake_microcredits"],
        }
    return {**facts, "appeal": appealed, "acts": found["acts"]}
