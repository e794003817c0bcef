"""The interval of a number that is computed from means over images, by leaving out each image."""

from __future__ import annotations

import numpy as np
from scipy.stats import t

from captum_gag.reliability.bootstrap import FEWEST, Floats

__all__ = ["FEWEST", "jackknife_interval", "without_each"]


def without_each(values: Floats) -> Floats:
    """Return the means of columns over all rows but one, for each row, (rows, columns); NaN for a single row."""
    with np.errstate(invalid="ignore"):
        means: Floats = (values.sum(axis=0) - values) / np.float64(len(values) - 1)
    return means


def jackknife_interval(whole: float, without: Floats, confidence: float, ratio: bool = False) -> tuple[float, float]:
    """Return the interval of a number by the jackknife over images and Student's t of n - 2 degrees of freedom.

    Args:
        whole: The number by all images.
        without: The number by all images but one, for each, (n,).
        confidence: In (0, 1).
        ratio: The number is a ratio, or a mean of ratios: its interval is computed on the scale of its logarithm, where
            the number and all without an image are above 0.

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
