"""Pages of the settings: what is in force, why, since when, what held it, and what differs between two times.

Stand over the read models of the config; the pure functions above the pages prepare what the templates show.
A text is shown as text, folded where it is long. They never set a value: that is `nacre parameter set`.
"""

from app.web.visits import Row, Shown, Visit, rows
from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.parameter_kinds import Kind
from services.domain.parameters import Risk
from services.domain.states import ValueSource

FOLDED_FROM = 60
"""Texts of more characters, or of several lines, are folded behind their beginning."""
HEAD_LENGTH = 30
RISK_WORDS = {
    Risk.OPEN: "the loop may promote a tested change by itself",
    Risk.GATED: "a person must confirm a change",
    Risk.FIXED: "never changes by proposal: it restrains the loop",
}


# --- what the templates show -------------------------------------------------------------------------------


def folded(value: str | None) -> Row:
    """Return a value as `text` (None where there was none), and its `head` where it is too long for a row."""
    text = value or ""
    is_long = len(text) > FOLDED_FROM or "\n" in text
    return {
        "text": value,
        "head": text.partition("\n")[0][:HEAD_LENGTH] if is_long else None,
        "length": len(text),
    }


def bounds_words(parameter: Row) -> str:
    """Return in words what values a parameter takes."""
    if parameter["is_retired"]:
        return "–"
    kind = parameter["kind"]
    if kind == Kind.CHOICE:
        return " or ".join(parameter["choices"])
    if kind == Kind.TEXT:
        return f"1 to {parameter['length_max']} characters"
    return f"{parameter['low']} … {parameter['high']}"


def prepared(parameter: Row) -> Row:
    """Return a parameter with what its row shows besides: bounds in words, long values folded."""
    is_number = parameter["kind"] in {Kind.NUMBER, Kind.DURATION}
    return {
        **parameter,
        "bounds": bounds_words(parameter),
        "shown": folded(parameter["value"]),
        "default_shown": folded(parameter["default"]),
        "is_changed": parameter["value"] != parameter["default"],
        "is_number": is_number,
    }


# --- the pages ---------------------------------------------------------------------------------------------


def parameters(visit: Visit) -> Shown:
    """Every setting with its kind, the value in force, where it comes from, and what holds it."""
    found = [prepared(row) for row in rows(visit.views.list_parameters(visit.tx, visit.registry))]
    changed = [row for row in found if row["source"] != ValueSource.DEFAULT]
    held = [row for row in found if row["experiment"]]
    context = {"parameters": found, "changed": len(changed), "held": held, "risks": RISK_WORDS}
    return Shown("parameters.html", context)


def parameter(visit: Visit) -> Shown | None:
    """One setting with its kind, its bounds and its history: who changed it, why, and the ledger's word."""
    found = visit.views.get_parameter(visit.tx, visit.registry, str(visit.path["name"]))
    if found is None:
        return None
    history = [{**row, "shown": folded(row["value"])} for row in found["history"]]
    context = {"parameter": prepared(found), "history": history}
    return Shown("parameter.html", {**context, "risk_words": RISK_WORDS.get(Risk(found["risk"]), "")})


def difference(visit: Visit) -> Shown:
    """What differs between the configs of two times, each an instant or a size of the ledger."""
    asked = {name: visit.query.get(name, "").strip() for name in ("from", "to")}
    found, why = None, None
    if all(asked.values()):
        try:
            found = visit.views.config_diff(visit.tx, asked["from"], asked["to"])
        except (InvalidValueError, NotFoundError) as error:
            why = error.detail
    changes = [
        {**row, "before": folded(row["from"]), "after": folded(row["to"])}
        for row in (found["changes"] if found else ())
    ]
    return Shown("parameters_diff.html", {"asked": asked, "diff": found, "changes": changes, "why": why})
