"""The bootstrap over images: the same draws for every statistic of equally many images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

Statistic = Callable[[Indices], Floats]
"""From the indices of the images drawn, (draws, n_images), to K numbers of each draw, (draws, K)."""

BLOCK = 2_000_000
"""Indices drawn at a time: memory does not grow with the number of draws."""


def interval(
    statistic: Statistic, n_images: int, n_bootstrap: int, confidence: float, seed: int
) -> tuple[Floats, Floats]:
    """Return the percentile intervals of statistics over images drawn with replacement.

    Args:
        statistic: See ``Statistic``.
        n_images: How many there are.
        n_bootstrap: How often to draw.
        confidence: In (0, 1).
        seed: Of the draws.

    Returns:
        Lower and upper ends, (K,); NaN where a draw has no value.
    """
    found = np.concatenate([statistic(drawn) for drawn in _draws(n_images, n_bootstrap, seed)])
    # Between two draws that are infinite lies nothing.
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def mean_intervals(
    tables: Mapping[str, pd.DataFrame], n_bootstrap: int, confidence: float, seed: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the percentile intervals of the means of columns of one value per image.

    Tables of equally many images share the draws. A draw's mean is over the images in it that have a value; a column
    with so few that a draw can miss them all is drawn from these alone.

    Args:
        tables: Images x columns, by name; NaN where an image has no value. Images without any are left out.
        n_bootstrap: How often to draw.
        confidence: In (0, 1).
        seed: Of the draws.

    Returns:
        Lower and upper end by table and column; NaN for a column of fewer than 2 values.
    """
    known = {name: table.dropna(how="all") for name, table in tables.items()}
    found = {}
    for length in {len(table) for table in known.values()}:
        alike = {name: table for name, table in known.items() if len(table) == length}
        values = np.concatenate([table.to_numpy(float) for table in alike.values()], axis=1)
        columns = [(name, column) for name, table in alike.items() for column in table]
        ends = _mean_intervals(values, n_bootstrap, confidence, seed)
        found |= dict(zip(columns, zip(*(each.tolist() for each in ends), strict=True), strict=True))
    return found


def mean_interval(values: Floats, n_bootstrap: int, confidence: float, seed: int) -> tuple[float, float]:
    """Return the percentile interval of the mean of one value per image; NaN where there are fewer than 2."""
    [low], [high] = _mean_intervals(values[:, None], n_bootstrap, confidence, seed)
    return float(low), float(high)


def counts(drawn: Indices, n_images: int) -> Floats:
    """Return how often each image was drawn, (draws, n_images)."""
    return np.array([np.bincount(row, minlength=n_images) for row in drawn], dtype=float)


def _draws(n_images: int, n_bootstrap: int, seed: int) -> Iterator[Indices]:
    generator, size = np.random.default_rng(seed), max(1, BLOCK // n_images)
    for first in range(0, n_bootstrap, size):
        yield generator.integers(n_images, size=(min(size, n_bootstrap - first), n_images))


def _mean_intervals(values: Floats, n_bootstrap: int, confidence: float, seed: int) -> tuple[Floats, Floats]:
    known = ~np.isnan(values)
    enough, gaps = known.sum(axis=0) > 1, ~known.all(axis=0)
    if not enough.any():
        return np.full(len(enough), np.nan), np.full(len(enough), np.nan)
    filled, weights = np.where(known, values, 0.0), known[:, gaps].astype(float)

    def means(drawn: Indices) -> Floats:
        times = counts(drawn, len(values))
        sums, sizes = times @ filled, np.full((len(drawn), len(enough)), float(len(values)))
        sizes[:, gaps] = times @ weights
        return sums / np.where(sizes > 0, sizes, np.nan)

    low, high = interval(means, len(values), n_bootstrap, confidence, seed)
    low[~enough], high[~enough] = np.nan, np.nan
    for column in np.flatnonzero(np.isnan(low) & enough):
        alone = values[known[:, column], column][:, None]
        [low[column]], [high[column]] = _mean_intervals(alone, n_bootstrap, confidence, seed)
    return low, high
