"""The bootstrap over images: the same draws for every statistic of equally many images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

Statistic = Callable[[Indices], Floats]
"""From the indices of the images drawn, (draws, n_images), to K numbers of each draw, (draws, K)."""

N_BOOTSTRAP = 10_000

ALIKE = 1e-12
"""The variance, as a share of what it is compared with, up to which values differ by rounding alone."""

BLOCK = 2_000_000
"""Numbers that are worked on at a time: memory does not grow with the number of draws."""


def blocks(n: int, each: int) -> Iterator[slice]:
    """Yield slices of n draws of so many numbers each: of ``BLOCK`` numbers at most, or of one draw."""
    size = max(1, BLOCK // each)
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))


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
    tables: Mapping[str, pd.DataFrame],
    n_bootstrap: int,
    confidence: float,
    seed: int,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the intervals of the means of columns of one value per image, by bootstrap-t.

    What is drawn is (mean of the draw - mean) / standard error of the draw, whose quantiles stand in for Student's t's:
    so the interval contains the mean of endlessly many images as often as it says, within 2 points, of skewed scores
    too (``benchmarks/coverage.py``). Tables of equally many images share the draws. A draw's mean is over the images in
    it that have a value; a column with so few that a draw can miss them all is drawn from these alone. Where images are
    so many that the quantiles follow from skewness and kurtosis, more exactly than draws would tell them, these are not
    drawn but computed: at 95 % and instead of 10,000 draws from about 1000 images on, of skewed scores more.

    Args:
        tables: Images x columns, by name; NaN where an image has no value. Images without any are left out.
        n_bootstrap: How often to draw.
        confidence: In (0, 1).
        seed: Of the draws.
        bounds: By name, the range of the values of a table, which no mean leaves: nor does an interval then.

    Returns:
        Lower and upper end by table and column; NaN where so many draws hold one value alone that the images are too
        few to tell, which is so below 4 images at 95 % and below 6 at 99.9 %. Both are the mean where all values are
        the same.
    """
    known = {name: table.dropna(how="all") for name, table in tables.items()}
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for length in {len(table) for table in known.values()}:
        alike = {name: table for name, table in known.items() if len(table) == length}
        values = np.concatenate([table.to_numpy(float) for table in alike.values()], axis=1)
        columns = [(name, column) for name, table in alike.items() for column in table]
        ends = _mean_intervals(values, n_bootstrap, confidence, seed)
        found |= dict(zip(columns, zip(*(each.tolist() for each in ends), strict=True), strict=True))
    of_tables = bounds or {}
    return {key: _within(each, of_tables[key[0]]) if key[0] in of_tables else each for key, each in found.items()}


def mean_interval(
    values: Floats, n_bootstrap: int, confidence: float, seed: int, bounds: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return the interval of the mean of one value per image; see ``mean_intervals``."""
    [low], [high] = _mean_intervals(values[:, None], n_bootstrap, confidence, seed)
    return _within((float(low), float(high)), bounds) if bounds else (float(low), float(high))


def _within(interval: tuple[float, float], bounds: tuple[float, float]) -> tuple[float, float]:
    return float(np.maximum(interval[0], bounds[0])), float(np.minimum(interval[1], bounds[1]))


def counts(drawn: Indices, n_images: int) -> Floats:
    """Return how often each image was drawn, (draws, n_images)."""
    return np.array([np.bincount(row, minlength=n_images) for row in drawn], dtype=float)


def _draws(n_images: int, n_bootstrap: int, seed: int) -> Iterator[Indices]:
    generator = np.random.default_rng(seed)
    for some in blocks(n_bootstrap, n_images):
        yield generator.integers(n_images, size=(some.stop - some.start, n_images))


def _mean_intervals(values: Floats, n_bootstrap: int, confidence: float, seed: int) -> tuple[Floats, Floats]:
    low, high = _of_many(values, n_bootstrap, confidence)
    few = np.isnan(low)
    if few.any():
        low[few], high[few] = _drawn(values[:, few], n_bootstrap, confidence, seed)
    return low, high


def _of_many(values: Floats, n_bootstrap: int, confidence: float) -> tuple[Floats, Floats]:
    """Return the intervals by bootstrap-t of endlessly many draws; NaN for columns of too few images.

    The quantiles of bootstrap-t are those of the normal distribution and terms in powers of n**-0.5 that depend on the
    moments of the values (Hall, 1992, The Bootstrap and Edgeworth Expansion, sections 2.5 and 3.3).
    """
    known = ~np.isnan(values)
    n, x = known.sum(axis=0), float(norm.ppf((1 + confidence) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.where(known, values, 0.0).sum(axis=0) / n
        centred = np.where(known, values - middle, 0.0)
        variance, third, fourth = ((centred**power).sum(axis=0) / n for power in (2, 3, 4))
        skewness, kurtosis = third / variance**1.5, fourth / variance**2 - 3
        first = skewness * (2 * x**2 + 1) / 6 / np.sqrt(n)
        second = x * np.stack(
            [(x**2 + 1) / 4 / n, -kurtosis * (x**2 - 3) / 12 / n, 5 * skewness**2 * (4 * x**2 - 1) / 72 / n]
        )
        error = np.sqrt(variance / (n - 1))
        low = middle - (x - first + second.sum(axis=0)) * error
        high = middle + (x + first + second.sum(axis=0)) * error
        # What is left out is less than the last terms; and these shall be far less than what draws vary by.
        noise = np.sqrt((1 - confidence**2) / 4 / n_bootstrap) / norm.pdf(x)
        many = (abs(second).sum(axis=0) < 0.1 * noise) & (variance > ALIKE * middle**2)
    return np.where(many, low, np.nan), np.where(many, high, np.nan)


def _drawn(values: Floats, n_bootstrap: int, confidence: float, seed: int) -> tuple[Floats, Floats]:
    known = ~np.isnan(values)
    of_column, gaps = known.sum(axis=0), ~known.all(axis=0)
    enough = of_column > 1
    if not enough.any():
        return np.full(len(enough), np.nan), np.full(len(enough), np.nan)
    middle = np.where(known, values, 0.0).sum(axis=0) / np.maximum(of_column, 1)
    centred, weights = np.where(known, values - middle, 0.0), known[:, gaps].astype(float)
    variances = (centred**2).sum(axis=0) / np.maximum(of_column, 1)

    def pivots(drawn: Indices) -> Floats:
        times = counts(drawn, len(values))
        sizes = np.full((len(drawn), len(enough)), float(len(values)))
        sizes[:, gaps] = times @ weights
        with np.errstate(divide="ignore", invalid="ignore"):
            means = times @ centred / sizes
            variance = times @ centred**2 / sizes - means**2
            # Images that are all alike say that their mean is certain; but for rounding, their variance is 0.
            alike = variance <= ALIKE * variances
            found: Floats = means / np.sqrt(variance / (sizes - 1))
        return np.where(alike, np.copysign(np.inf, means), found)

    least, most = interval(pivots, len(values), n_bootstrap, confidence, seed)
    errors = np.sqrt(variances / np.maximum(of_column - 1, 1))
    with np.errstate(invalid="ignore"):
        low, high = middle - most * errors, middle - least * errors
    for column in np.flatnonzero(~np.isfinite(low + high) & enough & gaps):
        alone = values[known[:, column], column][:, None]
        [low[column]], [high[column]] = _drawn(alone, n_bootstrap, confidence, seed)
    told = enough & np.isfinite(low) & np.isfinite(high)
    constant = enough & (variances <= ALIKE * middle**2)
    low, high = (np.where(constant, middle, np.where(told, each, np.nan)) for each in (low, high))
    return low, high
