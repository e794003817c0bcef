"""The bootstrap over images, by scipy, for statistics that are cheap to compute from the indices drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def interval(
    statistic: Callable[[Indices], Floats], n_images: int, n_bootstrap: int, confidence: float, seed: int
) -> tuple[Floats, Floats]:
    """Return the percentile intervals of statistics over images drawn with replacement.

    Args:
        statistic: From the indices of the images drawn, (n_images,), to K numbers.
        n_images: How many there are.
        n_bootstrap: How often to draw.
        confidence: In (0, 1).
        seed: Of the draws.

    Returns:
        Lower and upper ends, (K,).
    """

    def each(drawn: Indices, axis: int = -1) -> Floats:
        rows = drawn.reshape(-1, n_images)
        found = np.stack([statistic(row) for row in rows], axis=-1)
        return found.reshape(-1, *drawn.shape[:-1])

    return _percentile_interval(np.arange(n_images), each, n_bootstrap, confidence, seed)


def mean_interval(values: Floats, n_bootstrap: int, confidence: float, seed: int) -> tuple[float, float]:
    """Return the percentile interval of the mean of one value per image; NaN where there are fewer than 2."""
    if len(values) < 2:
        return np.nan, np.nan
    low, high = _percentile_interval(values, np.mean, n_bootstrap, confidence, seed)
    return float(low), float(high)


def _percentile_interval(
    data: NDArray[Any], statistic: Callable[..., Any], n_bootstrap: int, confidence: float, seed: int
) -> tuple[Floats, Floats]:
    with warnings.catch_warnings():
        # All resamples alike are an interval of length 0, whatever scipy says of another method's.
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        result = scipy.stats.bootstrap(
            (data,),
            statistic,
            n_resamples=n_bootstrap,
            batch=max(1, 10_000_000 // len(data)),
            vectorized=True,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    return np.asarray(low), np.asarray(high)
