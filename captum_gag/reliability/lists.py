"""Columns of lists: millions of them in one piece of memory, as Arrow has them, or an object each."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray


def stacked(column: pd.Series) -> NDArray[Any]:
    """Return lists of equal length as the rows of one array.

    Raises:
        ValueError: Their lengths differ.
    """
    values, bounds = _pieces(column)
    return values.reshape(len(column), -1) if len(set(np.diff(bounds).tolist())) == 1 else np.stack(arrays(column))


def in_one_piece(column: pd.Series) -> bool:
    """Tell whether Arrow has the lists of a column."""
    return isinstance(column.dtype, pd.ArrowDtype) and bool(pa.types.is_list(column.dtype.pyarrow_dtype))


def lengths(column: pd.Series) -> NDArray[np.intp]:
    """Return the length of each row's list, 0 where there is none."""
    return np.diff(_pieces(column)[1])


def firsts(column: pd.Series) -> NDArray[np.float64]:
    """Return the first number of each list; NaN where there is none."""
    values, bounds = _pieces(column)
    first = np.full(len(column), np.nan)
    filled = np.diff(bounds) > 0
    first[filled] = values[bounds[:-1][filled]]
    return first


def arrays(column: pd.Series) -> list[NDArray[Any]]:
    """Return each list as an array, empty where there is none."""
    values, bounds = _pieces(column)
    return [values[start:end] for start, end in pairwise(bounds.tolist())]


def _pieces(column: pd.Series) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the values of all lists, one after the other, and where each list begins and the last one ends."""
    if not in_one_piece(column):
        # Whatever else is there, such as NaN where a CSV has nothing, is no list.
        lists = [np.asarray(value if isinstance(value, np.ndarray | list) else [], dtype=float) for value in column]
        return np.concatenate([*lists, np.empty(0)]), np.cumsum([0, *map(len, lists)], dtype=np.intp)
    whole = pa.array(column)
    parts = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
    values = [part.flatten().to_numpy(zero_copy_only=False) for part in parts]
    sizes = [part.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) for part in parts]
    bounds = np.concatenate([[0], *sizes]).cumsum(dtype=np.intp)
    return values[0] if len(values) == 1 else np.concatenate([*values, np.empty(0)]), bounds
