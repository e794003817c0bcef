"""Rank statistics over images, with intervals: Krippendorff's alpha of rankings, and Spearman's correlations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise

import numpy as np
from scipy.stats import t

from captum_gag.reliability.resampling import FEWEST, Floats, Indices, blocks


class Rankings:
    """Rankings of the methods, kept so that alpha of any draw of images costs a count instead of a ranking."""

    def __init__(self, ranked: Floats) -> None:
        """Take ranks, images x methods."""
        domain, places = np.unique(ranked, return_inverse=True)
        self.shape = ranked.shape[1], len(domain)
        # Which of the cells (method, value) each image adds one to.
        self.cells = places.reshape(ranked.shape) + len(domain) * np.arange(ranked.shape[1])

    def alphas(self, draws: Indices, sizes: Sequence[int]) -> Floats:
        """Return alpha of the first images of each draw, as many as each of ascending sizes says, (sizes, draws)."""

        def of_part(part: Indices) -> Floats:
            steps = (
                np.stack([self._tallies(drawn[first:last]) for drawn in part]) for first, last in pairwise([0, *sizes])
            )
            return np.stack([self._alphas(tallies) for tallies in accumulate(steps, np.add)])

        # Tallies of a thousand methods take megabytes for each draw.
        parts = blocks(len(draws), self.shape[0] * self.shape[1])
        return np.concatenate([of_part(draws[part]) for part in parts], axis=1)

    def alpha(self, drawn: Indices) -> float:
        """Return alpha of some images; NaN for fewer than 2, and where no two methods differ."""
        return float(self._alphas(self._tallies(drawn)[None])[0])

    def without_each(self) -> Floats:
        """Return alpha of all images but one, for each, (images,)."""
        kinds, kind_of = np.unique(self.cells, axis=0, return_inverse=True)
        total = self._tallies(np.arange(len(self.cells))).ravel()
        parts: list[Floats] = []
        for part in blocks(len(kinds), len(total)):
            tallies = np.repeat(total[None], len(kinds[part]), axis=0)
            tallies[np.arange(len(tallies))[:, None], kinds[part]] -= 1
            parts.append(self._alphas(tallies.reshape(-1, *self.shape)))
        alphas: Floats = np.concatenate(parts)[kind_of.ravel()]
        return alphas

    def _tallies(self, drawn: Indices) -> Indices:
        """Count the images that give each method each value, (methods, values)."""
        cells = self.shape[0] * self.shape[1]
        tallies: Indices = np.bincount(self.cells.take(drawn, axis=0).ravel(), minlength=cells).reshape(self.shape)
        return tallies

    def _alphas(self, tallies: Indices) -> Floats:
        """Return alpha by tallies, (K, methods, values).

        On the ordinal scale two values are as far apart as their average ranks among all ratings, so alpha takes no
        more than sums of these. For n ratings, s of each method, with the average ranks r less their mean,

            alpha = 1 - (n - 1) / (n (s - 1)) * (s - sum_methods (sum r)^2 / sum_ratings r^2).
        """
        of_value = tallies.sum(axis=1)
        n = of_value.sum(axis=1)
        s = n / self.shape[0]
        r = of_value.cumsum(axis=1) - of_value / 2 - n[:, None] / 2
        spread = (of_value * r**2).sum(axis=1)
        sums = (tallies @ r[:, :, None])[:, :, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            alphas: Floats = 1 - (n - 1) / (n * (s - 1)) * (s - (sums**2).sum(axis=1) / spread)
        return np.where((s < 2) | (spread == 0), np.nan, alphas)


def alpha_interval(ranked: Floats, confidence: float) -> tuple[float, float]:
    """Return the interval of alpha of ranks, images x methods, by the jackknife over images and Student's t.

    One image that ties all methods is added: where all images rank alike, they do not say that no image ever will rank
    otherwise. And the standard error is at least that of random rankings, of n images and m methods
    sqrt(2 / (n (n - 1) (m - 1))), which the jackknife does not see where no image agrees with the rest. Where the
    rankings spread around one order, it contains the alpha of endlessly many images as often as it says, within 2
    points; where some images rank in reverse, of up to 100 images less often (``benchmarks/coverage.py``).

    Returns:
        Lower and upper end within [-1, 1]; NaN for fewer than 3 images or methods, and where alpha of all images but
        one has no value.
    """
    n, methods = ranked.shape
    if min(n, methods) < 3:
        return np.nan, np.nan
    rankings = Rankings(np.concatenate([ranked, np.full((1, methods), (methods + 1) / 2)]))
    without = rankings.without_each()
    variance = max(n / (n + 1) * ((without - without.mean()) ** 2).sum(), 2 / (n * (n + 1) * (methods - 1)))
    reach, middle = t.ppf((1 + confidence) / 2, n - 1) * np.sqrt(variance), rankings.alpha(np.arange(n + 1))
    low, high = np.clip([middle - reach, middle + reach], -1, 1).tolist()
    return low, high


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
        """Sum values over the images above each image, and half of those that tie with it."""
        sums = np.add.reduceat(values[self.images], self.starts)
        totals = np.empty_like(values)
        totals[self.images] = (sums.sum() - np.cumsum(sums) + sums / 2)[self.places]
        return totals
