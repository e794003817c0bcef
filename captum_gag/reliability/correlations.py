"""Spearman's correlations over images, what each image adds to them, and an interval that contains the true one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.stats import t

from captum_gag.reliability.bootstrap import FEWEST, Floats


class Spearman:
    """Scores kept so that rank correlations of any of their columns cost no further sort."""

    def __init__(self, scores: Floats) -> None:
        """Take scores, images x columns, without NaN."""
        self._orders = [_Order(column) for column in scores.T]
        above = np.stack([order.above(np.ones(len(scores))) for order in self._orders], axis=1)
        ranks = len(scores) / 2 - above
        self._spreads = ranks.std(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._standard: Floats = ranks / self._spreads

    def mean(self, columns: Sequence[int]) -> tuple[float, Floats]:
        """Return the mean correlation of all pairs of some columns, and the influence of each image on it.

        The influence is the derivative of the mean by the image's weight among all images (Hampel, 1974), by which the
        infinitesimal jackknife has the variance sum influence^2 / n^2. With average ranks z of mean 0 and variance 1,

            mean rho = 1 / pairs * sum_{a < b} mean_i z_ia z_ib,
            influence_k = 1 / pairs * sum_a (z_ka e_ka / 2 + sum_{i above k by a} e_ia / (standard deviation of ranks)),

        where e_a = sum_{b != a} (z_b - rho_ab z_a) is what a does not explain of the others; images that tie k count
        half.

        Returns:
            The mean, and the influences, (images,), whose mean is 0; NaN where a column is constant.
        """
        chosen = list(columns)
        z, pairs = self._standard[:, chosen], len(chosen) * (len(chosen) - 1) / 2
        rho = z.T @ z / len(z)
        np.fill_diagonal(rho, 0)
        rest = z.sum(axis=1, keepdims=True) - z * (1 + rho.sum(axis=0))
        above = sum(self._orders[a].above(rest[:, place]) / self._spreads[a] for place, a in enumerate(chosen))
        return float(np.clip(rho.sum() / 2 / pairs, -1, 1)), np.asarray(((z * rest).sum(axis=1) / 2 + above) / pairs)

    def estimate(self, columns: Sequence[int], confidence: float) -> tuple[float, float, float]:
        """Return the mean correlation of all pairs of some columns and its interval; see ``mean_rho_interval``."""
        rho, influences = self.mean(columns)
        return rho, *mean_rho_interval(rho, influences, len(columns), confidence)


def mean_rho_interval(rho: float, influences: Floats, n_columns: int, confidence: float) -> tuple[float, float]:
    """Return the interval of a mean correlation of all pairs of m columns over n images.

    By Student's t of n - 2 degrees of freedom on the scale on which Fisher has the correlation within classes of m,

        zeta = log((1 + (m - 1) rho) / (1 - rho)) / 2,

    artanh of rho for two columns. The variance is that of the infinitesimal jackknife, and at least what it is for
    normal scores that all correlate alike, m / (2 (m - 1)) * (1 + rho^2 / 2) / (n - 3): for two columns Bonett & Wright
    (2000). Where few images agree on all, they do not say that no image ever will do otherwise; so the end towards 0
    supposes one image more for which the columns are unrelated, whose influence is -rho. ``benchmarks/coverage.py``
    measures how often it contains the true correlation.

    Returns:
        Lower and upper end within [-1, 1], with rho between them; NaN of fewer than 4 images and of no rho.
    """
    n, others = len(influences), n_columns - 1
    if n < FEWEST or np.isnan(rho):
        return np.nan, np.nan
    variance, quantile = (influences**2).sum() / (n * (n - 1)), _quantile(confidence, n - 2)
    # Half of what the least change of a perfect ranking, two neighbours exchanged, takes from its correlation.
    step = 6 / (n**3 - n)

    def end(centre: float, variance: float, sign: float) -> float:
        inside = np.clip(centre, (step - 1) / others, 1 - step)
        below, above = 1 + others * inside, 1 - inside
        least = (others + 1) / (2 * others) * (1 + inside**2 / 2) / (n - 3)
        error = np.sqrt(max(variance * ((others + 1) / (2 * below * above)) ** 2, least))
        with np.errstate(over="ignore"):
            odds = np.exp(-np.log(below / above) - 2 * sign * quantile * error)
        return float((1 - odds) / (1 + others * odds)) if np.isfinite(odds) else -1 / others

    away = 1.0 if rho >= 0 else -1.0
    one_more = rho * n / (n + 1)
    ends = end(one_more, variance + (one_more / n) ** 2, -away), end(rho, variance, away), rho
    return min(ends), max(ends)


@cache
def _quantile(confidence: float, degrees: int) -> float:
    """Return Student's quantile; of ten thousands of pairs it is computed once."""
    return float(t.ppf((1 + confidence) / 2, degrees))


class _Order:
    """The order of the images by one column."""

    def __init__(self, column: Floats) -> None:
        self.images = np.argsort(column)
        ordered = column[self.images]
        first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        # Where the images of each distinct score begin, and the place of each image's among these.
        self.starts, self.places = np.flatnonzero(first), np.cumsum(first) - 1

    def above(self, values: Floats) -> Floats:
        """Return for each image the sum of values over the images above it, and half of those that tie with it."""
        sums = np.add.reduceat(values[self.images], self.starts)
        totals = np.empty_like(values)
        totals[self.images] = (sums.sum() - np.cumsum(sums) + sums / 2)[self.places]
        return totals
