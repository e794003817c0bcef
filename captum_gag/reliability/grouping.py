"""Statistics of each group of images, as of all: over the images, or over groups of them that count as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from inspect import Parameter, signature
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.errors import InputError, shown
from captum_gag.options import checked as with_checked_arguments
from captum_gag.reliability.scores import checked, collapsed

BY_AND_EDGES = (
    Parameter("by", Parameter.KEYWORD_ONLY, default=None, annotation="str | None"),
    Parameter("edges", Parameter.KEYWORD_ONLY, default=(), annotation="Sequence[float]"),
)
"""What every statistic takes besides its own arguments: see ``groups``."""


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
        raise InputError(f"the scores have no column {by!r} to group by; there are {', '.join(map(str, scores))}")
    try:
        differs = scores.groupby("image")[by].nunique() > 1
        if len(edges):
            values, order = _ranges(scores[by], list(edges))
        else:
            values, order = scores[by], sorted(scores[by].dropna().unique())
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
    """Raise InputError unless ``by`` is a name or None, and ``edges`` are ascending numbers for a column to cut."""
    if by is not None and not isinstance(by, str):
        raise InputError(f"by is {shown(by)}; expected the name of a column, such as target or probability")
    values = edges.tolist() if isinstance(edges, np.ndarray) else edges
    if not isinstance(values, list | tuple) or not all(isinstance(value, Real) for value in values):
        raise InputError(f"edges are {shown(edges)}; expected ascending numbers, such as (0.8, 0.99)")
    if by is None and len(edges):
        raise InputError(f"edges are {list(edges)}, which cut nothing without by = a column")
    if any(low >= high for low, high in pairwise(edges)):
        raise InputError(f"the edges are {list(edges)}; expected ascending numbers")


def by_groups(statistic: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """Make a function of a checked table one of any score table, which takes ``by`` and ``edges`` too.

    Images of one group (the column ``group``) count as one, see ``scores.collapsed``. Whoever has checked table and
    arguments calls ``inspect.unwrap`` of what comes back.
    """
    compute = with_checked_arguments(statistic)

    @wraps(statistic)
    def grouped(
        scores: pd.DataFrame, *args: Any, by: str | None = None, edges: Sequence[float] = (), **options: Any
    ) -> pd.DataFrame:
        check_edges(by, edges)
        if by is None:
            return compute(collapsed(checked(scores)), *args, **options)
        parts = groups(scores, by, edges)
        return concatenated([(group, compute(collapsed(rows), *args, **options)) for group, rows in parts], by)

    own = signature(statistic)
    added = [each for each in BY_AND_EDGES if each.name not in own.parameters]
    grouped.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    return grouped


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
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _ranges(values: pd.Series, edges: list[float]) -> tuple[pd.Series, list[str]]:
    """Return the name of each value's range, None for NaN, and all names in ascending order."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise InputError(f"the column {values.name} is of type {values.dtype}; edges are for numbers")
    numbers = values.astype(float).to_numpy()
    places = np.searchsorted(edges, numbers)
    if len(edges) > 1:
        # The highest range has its edge, as the lowest has: <= 0.8 against >= 0.99.
        places[numbers == edges[-1]] = len(edges)
    names = [f"<= {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges))]
    names.append(f">= {edges[-1]:g}" if len(edges) > 1 else f"> {edges[-1]:g}")
    return pd.Series(np.array(names, dtype=object)[places], values.index).mask(np.isnan(numbers)), names
