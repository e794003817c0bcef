"""Paired tests over images: is a mean difference 0, could so few images tell, and how many tests are there?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from captum_gag.reliability.bootstrap import FEWEST, Floats, moments

ALIKE_ENOUGH = 20
"""Images from which on differences that are all alike count: of fewer, 15 % that are others are missed too often."""


def least_p(differences: Floats) -> float:
    """Return the least p that a test of so many untied images can have: all have the same sign by chance.

    That is 2^(1 - untied), as of Wilcoxon's test: three untied images of forty never reject. NaN does not count; it is
    what comes back where there is nothing else.
    """
    values = differences[~np.isnan(differences)]
    if len(values) < FEWEST:
        return 1.0 if len(values) else np.nan
    return float(min(1.0, 2.0 ** (1 - np.count_nonzero(values))))


def mean_test(differences: Floats) -> float:
    """Return the two-sided p of the mean of one difference per image being 0, NaN being left out.

    Student's t, rid of skewness by Hall's (1992) transformation g(t) = t + a t^2 / 3 + a^2 t^3 / 27 + a / 6, with a the
    skewness over sqrt n. It is at least ``least_p``, which it is where the differences of 20 images or more are all
    alike, and else twice the share of draws of so many images that hold the commonest difference alone: what they miss
    may be missing here. It holds its level as bootstrap-t does (``benchmarks/coverage.py``), and draws nothing.
    """
    values, least = differences[~np.isnan(differences)], least_p(differences)
    if not least < 1:
        return least
    n, [middle], [error], [skew] = moments(values[:, None])
    if error == 0:
        return least if n >= ALIKE_ENOUGH else 1.0
    ratio = middle / error
    straight = ratio + skew * ratio**2 / 3 + skew**2 * ratio**3 / 27 + skew / 6
    commonest = np.unique(values, return_counts=True)[1].max() / n
    return float(min(1.0, max(least, 2 * commonest**n, 2 * t.sf(abs(straight), n - 1))))


def holm(p: ArrayLike) -> Floats:
    """Correct p values for being several (Holm, 1979); NaN stays and does not count."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    tests = np.count_nonzero(~np.isnan(values)) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.fmax.accumulate(values[order] * tests))
    corrected[np.isnan(values)] = np.nan
    return corrected
