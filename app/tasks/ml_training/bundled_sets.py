"""The three real tables that ship inside scikit-learn, read from its files without importing it (numpy only).
Tool and verifier read the same rows in the same order. Nothing is downloaded.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Features: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.str_]

FILES = {  # name and how many header lines
    "breast_cancer": ("breast_cancer.csv", 1),
    "wine": ("wine_data.csv", 1),
    "digits": ("digits.csv.gz", 0),
}


class DataSetMissingError(FileNotFoundError):
    """scikit-learn, and with it the bundled tables, is not installed."""


@cache
def bundled(name: str) -> tuple[Features, Labels]:
    """Features (rows × columns) and labels ("0", "1", …) of a bundled table.

    Raises:
        DataSetMissingError: scikit-learn is not installed.
    """
    file_name, header_lines = FILES[name]
    table = np.loadtxt(_folder() / file_name, delimiter=",", skiprows=header_lines, dtype=np.float64)
    return table[:, :-1], table[:, -1].astype(np.int64).astype(np.str_)


def _folder() -> Path:
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataSetMissingError("scikit-learn is not installed: no bundled data sets")
    return Path(package.origin).parent / "datasets" / "data"
