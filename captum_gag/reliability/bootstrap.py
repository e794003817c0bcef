"""The bootstrap over images, by scipy, for statistics that are cheap to compute from the indices drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def interval(
    statistic: Callable[[Indices], Floats | float], n_images: int, n_bootstrap: int, confidence: float, seed: int
) -> tuple[Floats, Floats]:
    """Gives the percentile interval of a statistic over images drawn with replacement.

    Args:
        statistic (Callable): From the indices of the images drawn, (n_images,), to K numbers or to one.
        n_images (int): How many there are.
        n_bootstrap (int): How often to draw.
        confidence (float): In (0, 1).
        seed (int): Of the draws.

    Returns:
        (array, array): Lowest and highest value of each number; NaN where there are fewer than 2 images.
    """
    if n_images < 2:
        whole = np.asarray(statistic(np.arange(n_images)), dtype=float)
        return np.full_like(whole, np.nan), np.full_like(whole, np.nan)

    def each(drawn: Indices, axis: int = -1) -> Floats:
        rows = drawn.reshape(-1, n_images)
        found = np.stack([np.asarray(statistic(row), dtype=float) for row in rows], axis=-1)
        return found.reshape(*found.shape[:-1], *drawn.shape[:-1])

    result = scipy.stats.bootstrap(
        (np.arange(n_images),),
        each,
        n_resamples=n_bootstrap,
        batch=max(1, 10_000_000 // n_images),
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return np.asarray(low), np.asarray(high)
