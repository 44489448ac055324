"""Known answers of `ml_training`: a small table whose label follows from a number in it.
Good results predict it; bad ones miss too many rows by a hair, boast, or have the wrong shape. Used by the
platform's probes of its own verifier; neither tool nor verifier knows it.
"""

from typing import Any, Final

from app.tasks.ml_training.declaration import prepare
from app.tasks.task_type import KnownCase

ROWS: Final = 80
HELD_OUT: Final = 40
ALLOWED_MISSES: Final = 4


def known_case(number: int, is_good: bool) -> KnownCase:  # noqa: FBT001  as every type's
    """Case `number`: a table, and predictions that are good enough or wrong in one way."""
    values = [(row * 37 + number * 11) % 101 for row in range(ROWS)]
    table = "\n".join(["size,kind", *(f"{value},{_label(value)}" for value in values)])
    prepared = prepare(
        {
            "data_set": "csv",
            "csv_text": table,
            "target_column": "kind",
            "held_out_share": HELD_OUT / ROWS,
            "minimum_accuracy": 1 - ALLOWED_MISSES / HELD_OUT,
            "seed": number,
        }
    )
    truth = [_label(int(row[0])) for row in prepared.public["held_out_features"]]
    if is_good:
        misses = number % (ALLOWED_MISSES + 1)
        result = _result(_with_misses(truth, misses))
        return KnownCase(
            f"{misses} misses of {HELD_OUT}", prepared.public, prepared.private, result, is_good=True
        )
    name, result = _faults(truth)[number % 6]
    return KnownCase(name, prepared.public, prepared.private, result, is_good=False)


def _label(value: int) -> str:
    return "large" if value > 50 else "small"  # noqa: PLR2004  the middle of the values


def _with_misses(truth: list[str], misses: int) -> list[str]:
    return [
        ("small" if label == "large" else "large") if row < misses else label
        for row, label in enumerate(truth)
    ]


def _result(predictions: list[Any]) -> dict[str, Any]:
    return {"predictions": predictions, "cv_score": 0.9, "cv_folds": 3, "rows_used": ROWS - HELD_OUT}


def _faults(truth: list[str]) -> list[tuple[str, dict[str, Any]]]:
    barely = _with_misses(truth, ALLOWED_MISSES + 1)
    return [
        ("one miss too many", _result(barely)),
        ("every row wrong", _result(_with_misses(truth, len(truth)))),
        ("one row too few", _result(truth[:-1])),
        ("one row too many", _result([*truth, truth[0]])),
        ("labels as numbers", _result([int(label == "large") for label in truth])),
        ("a share of rows used", {**_result(truth), "rows_used": 0.5}),
    ]
