"""The same statistic for each group of images: by their class, their confidence, or any property of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import pairwise
from numbers import Real
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from captum_gag.errors import InputError, shown
from captum_gag.options import checked as with_checked_arguments
from captum_gag.reliability.scores import checked

F = TypeVar("F", bound=Callable[..., pd.DataFrame])


def groups(scores: pd.DataFrame, by: str, edges: Sequence[float] = ()) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the groups of images of a score table.

    Args:
        scores: A score table.
        by: A column whose value is the same in all rows of an image, such as target or probability. Images without a
            value are in no group.
        edges: Ascending numbers that cut the column into ranges: of 0.8 and 0.99 come "<= 0.8", "0.8 to 0.99" and
            ">= 0.99". None takes each value as a group.

    Yields:
        What the group is called (a value of the column, or a range), and its rows; in ascending order.

    Raises:
        InputError: The scores are not a score table, or cannot be grouped so.
    """
    scores = checked(scores)
    check_edges(by, edges)
    if by not in scores:
        raise InputError(f"the scores have no column {by!r} to group by; found {', '.join(map(str, scores.columns))}")
    try:
        differs = scores.groupby("image")[by].nunique() > 1
        values, order = (
            _ranges(scores[by], by, list(edges)) if len(edges) else (scores[by], sorted(scores[by].dropna().unique()))
        )
    # Lists cannot be compared, nor text with numbers.
    except TypeError as error:
        raise InputError(f"the column {by} has values that cannot be grouped; expected numbers, or text") from error
    if differs.any():
        raise InputError(
            f"the column {by} differs within image {differs.idxmax()!r}; expected a property of the images, "
            "such as target or probability"
        )
    for group in order:
        rows = scores[values.eq(group).fillna(False).astype(bool)]
        if len(rows):
            yield group, rows


def check_edges(by: str | None, edges: Sequence[float]) -> None:
    """Refuse what is no name of a column, edges that are no numbers, and edges without a column that they cut.

    Raises:
        InputError: There are such.
    """
    if by is not None and not isinstance(by, str):
        raise InputError(f"by is {shown(by)}; expected the name of a column, such as target or probability")
    listed = edges.tolist() if isinstance(edges, np.ndarray) else edges
    if not isinstance(listed, list | tuple) or not all(isinstance(each, Real) for each in listed):
        raise InputError(f"edges are {shown(edges)}; expected ascending numbers, such as (0.8, 0.99)")
    if by is None and len(edges):
        raise InputError(f"edges are {list(edges)}, which cut nothing without by = a column")


def by_groups(statistic: F) -> F:
    """Check what a statistic is given, and compute it for each group of images where there is ``by``.

    Args:
        statistic: From a checked score table to a table; its signature has by and edges, its body need not know them.
            Who has checked table and arguments calls ``inspect.unwrap`` of what this returns.
    """
    compute = with_checked_arguments(statistic)

    @wraps(statistic)
    def grouped(
        scores: pd.DataFrame, *args: Any, by: str | None = None, edges: Sequence[float] = (), **options: Any
    ) -> Any:
        check_edges(by, edges)
        if by is None:
            return compute(checked(scores), *args, **options)
        return concatenated([(group, compute(rows, *args, **options)) for group, rows in groups(scores, by, edges)], by)

    return cast(F, grouped)


def concatenated(tables: Sequence[tuple[Any, pd.DataFrame]], by: str) -> pd.DataFrame:
    """Return the tables of groups below each other, with the group in a first column, called as ``by``.

    Raises:
        InputError: The tables have such a column already, or there are none.
    """
    if not tables:
        raise InputError(f"no image has a value in the column {by} to group by")
    parts = []
    for group, table in tables:
        # An index of names is a column like the others.
        plain = table.copy() if table.index.name is None else table.reset_index()
        if by in plain:
            raise InputError(f"the table has a column {by} of its own; rename the one to group by")
        plain.insert(0, by, group)
        parts.append(plain)
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True)


def _ranges(values: pd.Series, by: str, edges: list[float]) -> tuple[pd.Series, list[str]]:
    """Return what the range of each value is called, None for NaN, and the names in ascending order."""
    if any(low >= high for low, high in pairwise(edges)):
        raise InputError(f"the edges are {edges}; expected ascending numbers")
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise InputError(f"the column {by} is of type {values.dtype}; edges are for numbers")
    numbers = values.astype(float).to_numpy()
    places = np.searchsorted(edges, numbers)
    if len(edges) > 1:
        # The highest range has its edge, as the lowest has: <= 0.8 against >= 0.99.
        places[numbers == edges[-1]] = len(edges)
    names = [f"<= {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges))]
    names.append(f">= {edges[-1]:g}" if len(edges) > 1 else f"> {edges[-1]:g}")
    called = np.array(names, dtype=object)[places.clip(max=len(edges))]
    return pd.Series(called, index=values.index).mask(np.isnan(numbers)), names
