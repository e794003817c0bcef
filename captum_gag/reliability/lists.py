"""Columns of lists: millions of them in one piece of memory, as Arrow has them, or an object each."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

LISTS = (np.ndarray, list)
"""What a list is where each is an object, read from Parquet or written by hand; a CSV holds none."""


def stacked(column: pd.Series) -> NDArray[Any]:
    """Return lists of equal length as the rows of one array.

    Raises:
        ValueError: Their lengths differ.
    """
    if in_one_piece(column):
        values, bounds = _pieces(column)
        if len(set(np.diff(bounds).tolist())) == 1:
            return values.reshape(len(column), -1)
    return np.stack(arrays(column))


def in_one_piece(column: pd.Series) -> bool:
    """Tell whether Arrow has the lists of a column."""
    return isinstance(column.dtype, pd.ArrowDtype) and bool(pa.types.is_list(column.dtype.pyarrow_dtype))


def lengths(column: pd.Series) -> NDArray[np.intp]:
    """Return how long the list of each row is, 0 where there is none."""
    if in_one_piece(column):
        return np.diff(_pieces(column)[1])
    return np.array([len(each) if isinstance(each, LISTS) else 0 for each in column], dtype=np.intp)


def firsts(column: pd.Series) -> NDArray[np.float64]:
    """Return the first number of each list; NaN where there is none."""
    if in_one_piece(column):
        values, bounds = _pieces(column)
        found = np.full(len(column), np.nan)
        some = np.diff(bounds) > 0
        found[some] = values[bounds[:-1][some]]
        return found
    return np.array([each[0] if isinstance(each, LISTS) and len(each) else np.nan for each in column], dtype=float)


def arrays(column: pd.Series) -> list[NDArray[Any]]:
    """Return each list as an array, empty where there is none."""
    if in_one_piece(column):
        values, bounds = _pieces(column)
        return [values[start:end] for start, end in pairwise(bounds.tolist())]
    return [np.asarray(each if isinstance(each, LISTS) else []) for each in column]


def _pieces(column: pd.Series) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the values of all lists, one after the other, and where each list begins and the last one ends."""
    whole = pa.array(column)
    parts = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
    values = [part.flatten().to_numpy(zero_copy_only=False) for part in parts]
    sizes = [part.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) for part in parts]
    bounds = np.concatenate([[0], *sizes]).cumsum(dtype=np.intp)
    return values[0] if len(values) == 1 else np.concatenate([*values, np.empty(0)]), bounds
