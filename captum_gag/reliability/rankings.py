"""Rankings of the methods, one by each image: Krippendorff's alpha and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from scipy.stats import t

from captum_gag.reliability.bootstrap import Floats, Indices, blocks


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
        """Return how many of the images give each method each value, (methods, values)."""
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
    """Return the interval of alpha by the jackknife over images and Student's t.

    One image that ties all methods is added: where all images rank alike, they do not say that no image ever will rank
    otherwise. And the standard error is at least that of random rankings, of n images and m methods
    sqrt(2 / (n (n - 1) (m - 1))), which the jackknife does not see where no image agrees with the rest. Where the
    rankings spread around one order, it contains the alpha of endlessly many images as often as it says, within 2
    points; where some images rank in reverse, of up to 100 images less often (``benchmarks/coverage.py``).

    Args:
        ranked: Ranks, images x methods, from 1.
        confidence: In (0, 1).

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
