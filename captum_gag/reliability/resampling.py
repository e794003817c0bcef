"""Intervals by resampling the images: bootstrap-t of means, and the jackknife of what is computed from means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import t

from captum_gag.reliability.betting import bounded_interval

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

Statistic = Callable[[Indices], Floats]
"""From the indices of the images drawn, (draws, n_images), to K numbers of each draw, (draws, K)."""

Confidence: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Resamples: TypeAlias = Annotated[int, Field(ge=1)]
Seed: TypeAlias = Annotated[int, Field(ge=0)]

N_BOOTSTRAP = 10_000

FEWEST = 4
"""Images from which on there are intervals."""

ALIKE = 1e-12
"""The variance, as a share of what it is compared with, up to which values differ by rounding alone."""

NEGLIGIBLE = 0.005
"""Skewness^2 / n + 1 / n up to which quantiles are computed: what that leaves out is less than 10,000 draws vary by."""

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
    """Return the percentile intervals of K statistics over images drawn with replacement.

    Returns:
        Lower and upper ends, (K,); NaN where a draw has no value.
    """
    generator = np.random.default_rng(seed)
    values = [
        statistic(generator.integers(n_images, size=(part.stop - part.start, n_images)))
        for part in blocks(n_bootstrap, n_images)
    ]
    # Between two draws that are infinite lies nothing.
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(np.concatenate(values), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def mean_intervals(
    tables: Mapping[str, pd.DataFrame],
    n_bootstrap: int,
    confidence: float,
    seed: int,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the intervals of the means of columns of one value per image, by bootstrap-t.

    What is drawn is (mean of the draw - mean) / standard error of the draw, whose quantiles stand in for Student's t's.
    Where images are so many, and so little skewed, that these quantiles follow from the skewness, they are computed
    instead (Hall, 1992, On the removal of skewness by transformation): from 200 images on, of skewed scores more.

    Where more draws than the interval may miss hold one value alone, as with equal scores or one success in eight
    images, the bootstrap knows nothing of other values. Then there is no interval; or, of a known range, that of
    ``betting.bounded_interval``. ``benchmarks/coverage.py`` measures how often they contain the mean.

    Args:
        tables: Images x columns, by name; NaN where an image has no value.
        n_bootstrap: Number of draws.
        confidence: In (0, 1).
        seed: Of the draws.
        bounds: Range of the values of tables, by name: no interval leaves it.

    Returns:
        Lower and upper end by table and column; NaN of fewer than ``FEWEST`` images, and where there is none.
    """
    numbers = {
        (name, column): values[~np.isnan(values)]
        for name, table in tables.items()
        for column, values in zip(table, table.to_numpy(float).T, strict=True)
    }
    ends = dict.fromkeys(numbers, (np.nan, np.nan))
    for length in {len(values) for values in numbers.values()}:
        columns = [key for key, values in numbers.items() if len(values) == length >= FEWEST]
        if columns:
            both = _bootstrap_t(np.stack([numbers[key] for key in columns], axis=1), n_bootstrap, confidence, seed)
            ends |= dict(zip(columns, zip(*(each.tolist() for each in both), strict=True), strict=True))
    for key in ends:
        if bounds and key[0] in bounds and len(numbers[key]) >= FEWEST:
            ends[key] = _within(ends[key], numbers[key], confidence, *bounds[key[0]])
    return ends


def mean_interval(
    values: Floats, n_bootstrap: int, confidence: float, seed: int, bounds: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return the interval of the mean of one value per image; see ``mean_intervals``."""
    tables = {"": pd.DataFrame({"": values})}
    return mean_intervals(tables, n_bootstrap, confidence, seed, {"": bounds} if bounds else None)["", ""]


def _within(
    ends: tuple[float, float], values: Floats, confidence: float, lowest: float, highest: float
) -> tuple[float, float]:
    low, high = ends
    if np.isnan(low):
        shares = np.clip((values - lowest) / (highest - lowest), 0, 1)
        low, high = (lowest + (highest - lowest) * end for end in bounded_interval(shares, 1 - confidence))
    return max(low, lowest), min(high, highest)


def _bootstrap_t(values: Floats, n_bootstrap: int, confidence: float, seed: int) -> tuple[Floats, Floats]:
    """Return the ends of the intervals of columns without gaps, (n, K); NaN where the draws do not tell."""
    n, middle, error, skew = moments(values)
    x = t.ppf((1 + confidence) / 2, n - 1)
    least, most = (_without_skew(end, skew) for end in (-x, x))
    few = skew**2 + 1 / n > NEGLIGIBLE
    if few.any():
        centred = values[:, few] - middle[few]
        spread = (centred**2).mean(axis=0)

        def pivots(drawn: Indices) -> Floats:
            times = np.array([np.bincount(row, minlength=n) for row in drawn], dtype=float)
            means = times @ centred / n
            variance = times @ centred**2 / n - means**2
            # Images that are all alike say that their mean is certain; but for rounding, their variance is 0.
            with np.errstate(divide="ignore", invalid="ignore"):
                scaled: Floats = means / np.sqrt(variance / (n - 1))
            return np.where(variance <= ALIKE * spread, np.copysign(np.inf, means), scaled)

        least[few], most[few] = interval(pivots, n, n_bootstrap, confidence, seed)
    told = np.isfinite(least) & np.isfinite(most) & (error > 0)
    with np.errstate(invalid="ignore"):
        return np.where(told, middle - most * error, np.nan), np.where(told, middle - least * error, np.nan)


def moments(values: Floats) -> tuple[int, Floats, Floats, Floats]:
    """Return the number of images, and of each column mean, standard error and skewness over sqrt n."""
    n, middle = len(values), values.mean(axis=0)
    centred = values - middle
    variance, third = ((centred**power).mean(axis=0) for power in (2, 3))
    alike = variance <= ALIKE * middle**2
    with np.errstate(divide="ignore", invalid="ignore"):
        skew = np.where(alike, 0.0, third / variance**1.5 / np.sqrt(n))
        return n, middle, np.where(alike, 0.0, np.sqrt(variance / (n - 1))), skew


def _without_skew(x: float, skew: Floats) -> Floats:
    """Quantiles of studentised means from Student's: the inverse of the transformation in ``pairwise.mean_test``."""
    a = np.where(abs(skew) < 1e-9, 1e-9, skew)
    quantiles: Floats = 3 / a * (np.cbrt(1 + a * (x - a / 6)) - 1)
    return quantiles


def without_each(values: Floats) -> Floats:
    """Return the means of columns over all rows but one, for each row, (rows, columns); NaN for a single row."""
    with np.errstate(invalid="ignore"):
        means: Floats = (values.sum(axis=0) - values) / np.float64(len(values) - 1)
    return means


def jackknife_interval(whole: float, without: Floats, confidence: float, ratio: bool = False) -> tuple[float, float]:
    """Return the interval of a number by the jackknife over images and Student's t of n - 2 degrees of freedom.

    Args:
        whole: The number by all images.
        without: The number without each image in turn, (n,).
        confidence: In (0, 1).
        ratio: Whether to use the logarithm, as for ratios and their means, where all numbers are above 0.

    Returns:
        Lower and upper end; NaN of fewer than 4 images, and where a number without an image is not finite.
    """
    n = len(without)
    if n < FEWEST or not np.isfinite([whole, *without]).all():
        return np.nan, np.nan
    logarithmic = ratio and min(whole, *without) > 0
    centre, parts = (np.log(whole), np.log(without)) if logarithmic else (whole, without)
    reach = t.ppf((1 + confidence) / 2, n - 2) * np.sqrt((n - 1) * parts.var())
    low, high = centre - reach, centre + reach
    return (float(np.exp(low)), float(np.exp(high))) if logarithmic else (float(low), float(high))
