"""Tables of a classification task: reading an uploaded CSV, splitting rows by seed. Standard library only,
so the registry can import it. It never trains and never sees a model.
"""

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass

ROWS_MIN, ROWS_MAX = 30, 20_000
COLUMNS_MAX = 200
CLASSES_MAX = 50
CELL_CHARACTERS_MAX = 200
NUMBER_MAX = 1e12

Cell = float | str


@dataclass(frozen=True, slots=True)
class Table:
    """Feature columns by name, cells by row, one label a row. Each column is all numbers or all text."""

    columns: tuple[str, ...]
    rows: list[list[Cell]]
    labels: list[str]


def read_table(csv_text: str, target_column: str) -> Table:
    """Parse CSV text with a header line.

    Raises:
        ValueError: the text is no such table; the message names line or column.
    """
    lines = list(csv.reader(io.StringIO(csv_text)))
    if not lines:
        raise ValueError("the CSV is empty")
    header = [name.strip() for name in lines[0]]
    records = [line for line in lines[1:] if line]
    _check_shape(header, records, target_column)
    target = header.index(target_column)
    labels = [record[target].strip() for record in records]
    classes = len(set(labels))
    if not 2 <= classes <= CLASSES_MAX:  # noqa: PLR2004  one class is nothing to learn
        raise ValueError(f"column {target_column!r} has {classes} classes; 2 to {CLASSES_MAX} are possible")
    features = [index for index in range(len(header)) if index != target]
    typed = [_typed([record[index].strip() for record in records]) for index in features]
    rows = [list(cells) for cells in zip(*typed, strict=True)]
    return Table(tuple(name for name in header if name != target_column), rows, labels)


def split_rows(row_count: int, held_out_rows: int, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers for training and rows held out, in the order of a shuffle by `seed`."""
    order = list(range(row_count))
    random.Random(seed).shuffle(order)
    return order[held_out_rows:], order[:held_out_rows]


def majority_share(labels: Sequence[str]) -> float:
    """The accuracy of always naming the commonest label."""
    return max(labels.count(label) for label in set(labels)) / len(labels)


def _check_shape(header: list[str], records: list[list[str]], target_column: str) -> None:
    if len(set(header)) != len(header):
        raise ValueError("two columns of the CSV have the same name")
    if target_column not in header:
        raise ValueError(f"the CSV has no column {target_column!r}")
    if not 2 <= len(header) <= COLUMNS_MAX:  # noqa: PLR2004  a target and something to learn from
        raise ValueError(f"the CSV has {len(header)} columns; 2 to {COLUMNS_MAX} are possible")
    if not ROWS_MIN <= len(records) <= ROWS_MAX:
        raise ValueError(f"the CSV has {len(records)} rows; {ROWS_MIN} to {ROWS_MAX} are possible")
    for number, record in enumerate(records, start=1):
        if len(record) != len(header):
            raise ValueError(f"row {number} of the CSV has {len(record)} cells, the header {len(header)}")
        if any(len(cell) > CELL_CHARACTERS_MAX for cell in record):
            raise ValueError(f"row {number} of the CSV has a cell over {CELL_CHARACTERS_MAX} characters")


def _typed(column: list[str]) -> Sequence[Cell]:
    try:
        numbers = [float(cell) for cell in column]
    except ValueError:
        return column
    return numbers if all(abs(number) < NUMBER_MAX for number in numbers) else column
