"""`nacre observatory explain`: which combination of dimensions the failures in a table sit in.

Stands outside the loop, over `services.domain.attribution`: no database, no settings. Rows are summed by leaf
as they are read, so memory grows with the combinations, not with the rows. It never says why they fail.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.cli.actions.exposures import named, refuse
from app.cli.actions.screen import counted, say_item, say_json, say_line, say_note
from app.cli.actions.series_file import Row, Table, is_absent, open_table
from services.domain.attribution import EXPLAINED_MOST, PSEUDO_ATTEMPTS, Cell, Suspect, rank_cells, whole
from services.domain.errors import InvalidValueError

LEAVES_MOST = 200_000
EVIDENCE_LEAVES = 5
SHOWN_LEAVES = 3
EMPTY = "(empty)"
COUNT_OPTIONS = ("failures", "attempts", "baseline_failures", "baseline_attempts")
COLUMNS = (
    "rank",
    "combination",
    "score",
    "coverage",
    "excess",
    "purity",
    "failures",
    "attempts",
    "expected",
    "beyond",
    "rows",
    "evidence",
)

Leaf = tuple[str, ...]


@dataclass(slots=True)
class Counts:
    """What the rows of one leaf sum to; line: the first of them."""

    line: int
    rows: int = 0
    attempts: float = 0.0
    failures: float = 0.0
    baseline_attempts: float = 0.0
    baseline_failures: float = 0.0


class Places(NamedTuple):
    """Where the columns stand in a table; no baseline columns: None."""

    dimensions: list[int]
    failures: int
    attempts: int
    baseline_failures: int | None = None
    baseline_attempts: int | None = None


@dataclass(slots=True)
class Counted:
    """A table by leaf, and the whole of its baseline (leaves that are gone today included)."""

    names: tuple[str, ...]
    leaves: dict[Leaf, Counts] = field(default_factory=dict)
    baseline_attempts: float = 0.0
    baseline_failures: float = 0.0


def explain_file(file: str, asked: Mapping[str, Any], *, top: int, as_json: bool) -> int:
    """Print the combinations that explain the failures in a CSV file best.

    asked: failures, attempts, dimensions (comma separated names), baseline_failures, baseline_attempts (both
    or neither), baseline (a file with the same columns, instead). Raises InvalidValueError for an option that
    cannot be meant, and for the first place in a file that cannot be counted.
    """
    names = _dimensions(file, asked)
    found = Counted(names)
    with open_table(file, _wanted(names, asked)) as table:
        _sum_up(table, _places(table, names, asked), found)
    if asked["baseline"] is not None:
        with open_table(asked["baseline"], _wanted(names, asked)) as table:
            _sum_baseline(table, _places(table, names, {**asked, "baseline_failures": None}), found)
    leaves = list(found.leaves.values())
    attempts, failures = sum(one.attempts for one in leaves), sum(one.failures for one in leaves)
    if not attempts:
        rows = counted(sum(one.rows for one in leaves), "row")
        said = f"{named(file)}: no row has an attempt: column {asked['attempts']} is 0 in {rows}"
        raise InvalidValueError(said, field="attempts", code="file_empty")
    has_baseline = found.baseline_attempts > 0.0
    rate = found.baseline_failures / found.baseline_attempts if has_baseline else failures / attempts
    cells = [
        Cell(
            dict(zip(names, leaf, strict=True)),
            counts.attempts,
            counts.failures,
            counts.baseline_attempts,
            counts.baseline_failures,
        )
        for leaf, counts in found.leaves.items()
    ]
    scale, excess = _excess(failures, sum(_expected(cell, rate) for cell in cells))
    item = {
        "failures": whole(failures),
        "attempts": whole(attempts),
        "failure_rate": failures / attempts,
        "baseline_failure_rate": rate if has_baseline else None,
        "expected_failures": sum(_expected(cell, rate) for cell in cells) if has_baseline else None,
        "expected_scale": scale,
        "excess_failures": excess,
        "rows": sum(one.rows for one in leaves),
        "leaves": len(leaves),
        "suspects": [
            _suspect(place, one, cells, leaves, scale)
            for place, one in enumerate(rank_cells(cells, rate, suspects=top), start=1)
        ],
    }
    return say_json(item) if as_json else _say(item, found)


# --- reading


def _sum_up(table: Table, places: Places, found: Counted) -> None:
    for row in table.rows:
        leaf = tuple(row.cells[place].strip() for place in places.dimensions)
        counts = found.leaves.get(leaf)
        if counts is None:
            if len(found.leaves) == LEAVES_MOST:
                refuse(table.name, row.line, None, _too_many(found))
            counts = found.leaves[leaf] = Counts(row.line)
        counts.rows += 1
        failures, attempts = _pair(table, row, places.failures, places.attempts)
        counts.failures += failures
        counts.attempts += attempts
        if places.baseline_failures is None or places.baseline_attempts is None:
            continue
        pair = (places.baseline_failures, places.baseline_attempts)
        if all(is_absent(row.cells[place]) for place in pair):
            continue
        failures, attempts = _pair(table, row, *pair)
        _add_baseline(found, counts, failures, attempts)


def _sum_baseline(table: Table, places: Places, found: Counted) -> None:
    for row in table.rows:
        leaf = tuple(row.cells[place].strip() for place in places.dimensions)
        failures, attempts = _pair(table, row, places.failures, places.attempts)
        _add_baseline(found, found.leaves.get(leaf), failures, attempts)


def _add_baseline(found: Counted, counts: Counts | None, failures: float, attempts: float) -> None:
    found.baseline_failures += failures
    found.baseline_attempts += attempts
    if counts is not None:
        counts.baseline_failures += failures
        counts.baseline_attempts += attempts


def _pair(table: Table, row: Row, failures_place: int, attempts_place: int) -> tuple[float, float]:
    """Return failures and attempts of a row; refuse more failures than attempts."""
    failures, attempts = table.count(row, failures_place), table.count(row, attempts_place)
    if failures > attempts:
        column = table.columns[attempts_place]
        rule = (
            f"must not be more than {column} ({row.cells[attempts_place].strip()}): attempts include failures"
        )
        table.blame(row, failures_place, rule)
    return failures, attempts


def _too_many(found: Counted) -> str:
    values = {name: len({leaf[n] for leaf in found.leaves}) for n, name in enumerate(found.names)}
    widest = max(values, key=lambda name: values[name])
    said = f"is the one after {LEAVES_MOST:,} different combinations"
    return f"{said}; leave out dimensions that name single rows: {widest} has {values[widest]:,} values"


def _dimensions(file: str, asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the dimensions; refuse options that do not go together."""
    names = tuple(name.strip() for name in asked["dimensions"].split(",") if name.strip())
    doubled = [name for name in names if names.count(name) > 1]
    counts = [(asked[option], option) for option in COUNT_OPTIONS if asked[option] in names]
    if not names:
        raise _option("dimensions", "must name at least one column, such as agent,model")
    if counts:
        column, option = counts[0]
        said = f"{column!r} is the column of --{option.replace('_', '-')}; a dimension is no count"
        raise _option("dimensions", said)
    if doubled:
        raise _option("dimensions", f"{doubled[0]!r} is named more than once; name each column once")
    if (asked["baseline_failures"] is None) != (asked["baseline_attempts"] is None):
        missing = "failures" if asked["baseline_failures"] is None else "attempts"
        raise _option(f"baseline_{missing}", "give both columns of the baseline, or none")
    if asked["baseline"] is not None and asked["baseline_failures"] is not None:
        raise _option("baseline", "give a file or columns, not both")
    if file == asked["baseline"] == "-":
        raise _option("baseline", "standard input can be read once only; give one of the two as a file")
    return names


def _option(name: str, said: str) -> InvalidValueError:
    option = f"--{name.replace('_', '-')}"
    return InvalidValueError(f"{option}: {said}", field=name, code="option_refused")


def _wanted(names: Sequence[str], asked: Mapping[str, Any]) -> list[str]:
    return [*names, *(asked[name] for name in COUNT_OPTIONS if asked[name] is not None)]


def _places(table: Table, names: Sequence[str], asked: Mapping[str, Any]) -> Places:
    places = Places(
        [table.place(name, "--dimensions") for name in names],
        table.place(asked["failures"], "--failures"),
        table.place(asked["attempts"], "--attempts"),
    )
    if asked["baseline_failures"] is None:
        return places
    return places._replace(
        baseline_failures=table.place(asked["baseline_failures"], "--baseline-failures"),
        baseline_attempts=table.place(asked["baseline_attempts"], "--baseline-attempts"),
    )


# --- words


def _excess(failures: float, expected: float) -> tuple[float, float]:
    """Return what expectations are multiplied by to account for half of all failures at most, and the rest
    of the failures: what coverage is a share of.
    """
    most = EXPLAINED_MOST * failures
    scale = most / expected if expected > most else 1.0
    return scale, failures - scale * expected


def _suspect(
    place: int, suspect: Suspect, cells: Sequence[Cell], leaves: Sequence[Counts], scale: float
) -> dict[str, Any]:
    """Return a combination as JSON has it, with the leaves that fail most beyond expectation."""
    expected = suspect.expected_failures
    evidence = [
        {
            "line": leaves[leaf].line,
            "rows": leaves[leaf].rows,
            "dimensions": dict(cells[leaf].dimensions),
            "failures": whole(cells[leaf].failures),
            "attempts": whole(cells[leaf].attempts),
        }
        for leaf in suspect.leaves[:EVIDENCE_LEAVES]
    ]
    return {
        "rank": place,
        "dimensions": dict(suspect.dimensions),
        "coverage": suspect.coverage,
        "purity": suspect.purity,
        "score": suspect.score,
        "failures": suspect.failures,
        "attempts": suspect.attempts,
        "expected_failures": expected,
        "beyond": suspect.failures - expected,
        "excess": suspect.failures - scale * expected,
        "rows": sum(leaves[leaf].rows for leaf in suspect.leaves),
        "evidence": evidence,
    }


def _say(item: Mapping[str, Any], found: Counted) -> int:
    suspects = item["suspects"]
    for line in _sentences(item):
        say_line(line)
    say_line("")
    facts = {name: value for name, value in item.items() if name != "suspects"}
    say_item(
        {**facts, "suspects": [_line(one, item) for one in suspects]}, {"suspects": COLUMNS}, as_json=False
    )
    new = sum(not counts.baseline_attempts for counts in found.leaves.values())
    if new and found.baseline_attempts:
        say_note(f"{counted(new, 'combination')} without a baseline: the rate of the whole stands for it")
    return 0


def _sentences(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the ranking says, in words."""
    failures, expected = item["failures"], item["expected_failures"]
    if not failures:
        yield f"No failures in {item['attempts']:,} attempts: there is nothing to explain."
        return
    if not item["suspects"]:
        yield "Nothing stands out: no combination fails more often than what is outside it."
        return
    first = item["suspects"][0]
    inside = f"{first['failures']:,} of {first['attempts']:,} attempts failed"
    outside = f"{failures - first['failures']:,} of {item['attempts'] - first['attempts']:,} elsewhere"
    usual = "" if expected is None else f", where {first['expected_failures']:,.1f} were expected"
    yield f"The failures sit in {_named(first['dimensions'])}: {inside}{usual}, and {outside}."
    if item["expected_scale"] < 1.0:
        yield (
            f"Expectations are drawn down to half of all failures (times {item['expected_scale']:.3g}); "
            f"coverage is a share of the {item['excess_failures']:,.1f} left over."
        )
    if expected is None:
        yield "No baseline is known: the combination is compared with the rest of the table alone."
    elif failures <= expected:
        yield f"In all there are no more failures than the {expected:,.1f} expected."


def _line(suspect: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a combination as a line of the table."""
    lines = [str(one["line"]) for one in suspect["evidence"][:SHOWN_LEAVES]]
    more = suspect["rows"] - len(lines)
    return {
        **suspect,
        "combination": _named(suspect["dimensions"]),
        "score": f"{suspect['score']:.3f}",
        "coverage": f"{100.0 * suspect['coverage']:.0f} %",
        "excess": f"{suspect['excess']:.1f} of {item['excess_failures']:.1f}",
        "purity": f"{100.0 * suspect['purity']:.0f} %",
        "expected": f"{suspect['expected_failures']:.1f}",
        "beyond": f"{suspect['beyond']:+.1f}",
        "evidence": f"line {', '.join(lines)}" + (f" and {more:,} more" if more > 0 else ""),
    }


def _named(dimensions: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value or EMPTY}" for name, value in dimensions.items())


def _expected(cell: Cell, rate: float) -> float:
    past = cell.baseline_failures + PSEUDO_ATTEMPTS * rate
    return cell.attempts * past / (cell.baseline_attempts + PSEUDO_ATTEMPTS)
