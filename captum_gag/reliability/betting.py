"""Testing by betting: e-values of paired scores that hold whenever one looks, and the intervals that they leave.

An e-process is the capital of a game that is fair or losing while its hypothesis holds, 1 at the start: whatever rule
stops it, it is 20 or more with a probability of at most 1/20 (Ville's inequality). So one may look after every image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaln, logsumexp, xlog1py, xlogy

Floats = NDArray[np.float64]

BETS = np.geomspace(0.01, 0.99, 16)
"""Shares of the capital that are bet on the mean; each has the same part of it at the start."""

HALVINGS = 30
"""How often an end of an interval is halved: it is exact to 1e-9 of its range."""


class Bets(ABC):
    """Bets on paired scores, Q pairs side by side, one image after the other.

    Attributes:
        widths: Of the range of the scores of each pair, (Q,).
        wins: Images on which the first of a pair was better, (Q,).
        losses: Those on which it was worse, (Q,).
        ties: Those on which both scored the same, (Q,).
    """

    alike: ClassVar[float]
    """The value of the interval where neither is better."""

    def __init__(self, widths: ArrayLike) -> None:
        """Begin without an image."""
        self.widths = np.asarray(widths, dtype=float)
        self.wins, self.losses, self.ties = (np.zeros(len(self.widths), dtype=int) for _ in range(3))

    def update(self, differences: Floats) -> Floats:
        """Take further images into account.

        Args:
            differences: First minus second of each pair, positive where the first is better, (n, Q); NaN where one of
                them has no score: that image counts for nothing.

        Returns:
            Logarithms of the e-values after each image, (n, 2, Q): against "the first is not better", and against "the
            first is not worse". The mean of both is an e-value against "they are alike".
        """
        log_e = self.bet(differences)
        self.wins += (differences > 0).sum(axis=0)
        self.losses += (differences < 0).sum(axis=0)
        self.ties += (differences == 0).sum(axis=0)
        return log_e

    @abstractmethod
    def bet(self, differences: Floats) -> Floats:
        """Compute the e-values of ``update``; the counts are still those before these images."""

    def turned(self, low: float, high: float) -> tuple[float, float]:
        """Return the interval of a pair with its second first."""
        return 2 * self.alike - high, 2 * self.alike - low

    @abstractmethod
    def interval(self, pairs: NDArray[np.intp], alpha: float) -> tuple[Floats, Floats]:
        """Return low and high ends of the values that are not rejected, of some pairs.

        The true value is within all the intervals of a pair, one after each image, with probability 1 - alpha.
        """


class SignBets(Bets):
    """Bets on which of the two is better on most images; ties say nothing of that.

    Each hypothesis is a probability p of the first being better where they differ: p <= 1/2, p >= 1/2. The bets are
    the likelihood ratios to p = 1/2, mixed over p by Jeffreys' prior Beta(1/2, 1/2), cut to the p that are bet on. The
    interval is of p.
    """

    alike = 0.5

    def bet(self, differences: Floats) -> Floats:
        """Return the closed form after each image."""
        wins = self.wins + (differences > 0).cumsum(axis=0)
        losses = self.losses + (differences < 0).cumsum(axis=0)
        return np.stack([log_better(wins, losses), log_better(losses, wins)], axis=1)

    def interval(self, pairs: NDArray[np.intp], alpha: float) -> tuple[Floats, Floats]:
        """Return the p whose likelihood is not less than alpha times that of Jeffreys' mixture."""
        wins, losses = self.wins[pairs], self.losses[pairs]
        mixture = betaln(wins + 0.5, losses + 0.5) - betaln(0.5, 0.5)

        def kept(p: Floats) -> NDArray[np.bool_]:
            return np.asarray(mixture - xlogy(wins, p) - xlog1py(losses, -p) < -np.log(alpha))

        return _ends(kept, wins / np.maximum(wins + losses, 1))


class MeanBets(Bets):
    """Bets on the mean difference of scores of a known range.

    Differences d of scores of a range of width w are y = (1 + d/w) / 2, in [0, 1]. The capital bet on their mean being
    above m grows by the factor 1 - b + b y/m: on average by 1 if the mean is m, by less if it is below. It is mixed
    over the shares b of ``BETS``. The interval is of the mean difference.
    """

    alike = 0.0

    def __init__(self, widths: ArrayLike) -> None:
        """Begin without an image."""
        super().__init__(widths)
        self._capital = np.zeros((len(BETS), 2, len(self.widths)))
        self._seen: list[Floats] = []

    def bet(self, differences: Floats) -> Floats:
        """Return the capital after each image."""
        # A pair without a score of the image bets nothing on it.
        values = (1 + np.where(np.isnan(differences), 0, differences) / self.widths) / 2
        self._seen.append(np.where(np.isnan(differences), np.nan, values))
        both = np.stack([values, 1 - values], axis=1)
        capital = self._capital + np.log1p(BETS[:, None, None, None] * (2 * both - 1)).cumsum(axis=1).swapaxes(0, 1)
        self._capital = capital[-1]
        return np.asarray(logsumexp(capital, axis=1) - np.log(len(BETS)))

    def interval(self, pairs: NDArray[np.intp], alpha: float) -> tuple[Floats, Floats]:
        """Return the mean differences against which the capital is less than 1/alpha."""
        seen = np.concatenate([np.empty((0, len(self.widths))), *self._seen])[:, pairs]
        ends = np.array([bounded_interval(values[~np.isnan(values)], alpha) for values in seen.T]).reshape(-1, 2)
        low, high = (2 * ends.T - 1) * self.widths[pairs]
        return low, high


def log_better(wins: ArrayLike, losses: ArrayLike) -> Floats:
    """Return the logarithm of the e-value against p <= 1/2 of so many wins and losses.

    With n = wins + losses it is that of

        2^n int_{1/2}^1 p^wins (1 - p)^losses dpi(p),

    with pi the half of Beta(1/2, 1/2) above 1/2; minus infinity where double precision has no smaller number.
    """
    first, second = np.asarray(wins) + 0.5, np.asarray(losses) + 0.5
    with np.errstate(divide="ignore"):
        above = np.log(betainc(second, first, 0.5))
    log_e: Floats = betaln(first, second) - betaln(0.5, 0.5) + (first + second) * np.log(2) + above
    return log_e


def bounded_interval(values: Floats, alpha: float) -> tuple[float, float]:
    """Return the interval of the mean of values in [0, 1]: the means m against which no capital is 1/alpha.

    It contains the mean with probability 1 - alpha at least, whatever the values and however few (Waudby-Smith &
    Ramdas, 2024); see ``MeanBets``.
    """
    if not len(values):
        return 0.0, 1.0

    def kept(means: Floats) -> NDArray[np.bool_]:
        [mean] = means
        # All values at an end of the range: that end is kept.
        with np.errstate(divide="ignore", invalid="ignore"):
            up = np.log1p(BETS[:, None] * (values / mean - 1)).sum(axis=1)
            down = np.log1p(BETS[:, None] * ((1 - values) / (1 - mean) - 1)).sum(axis=1)
        # The logarithm of the mean capital is convex in m, so that what is kept is one interval.
        return np.array([logsumexp([up, down]) - np.log(2 * len(BETS)) < -np.log(alpha)])

    [low], [high] = _ends(kept, np.array([values.mean()]))
    return float(low), float(high)


def _ends(kept: Callable[[Floats], NDArray[np.bool_]], inside: Floats) -> tuple[Floats, Floats]:
    """Return the ends of intervals within [0, 1] that hold ``inside``, by halving."""
    ends = []
    for outside in (np.zeros_like(inside), np.ones_like(inside)):
        near, far = inside.astype(float), outside.astype(float)
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            is_kept = kept(middle)
            near, far = np.where(is_kept, middle, near), np.where(is_kept, far, middle)
        # Rounded outwards, and to the end of the range where nothing was rejected.
        ends.append(far)
    return ends[0], ends[1]
