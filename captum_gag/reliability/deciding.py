"""Deciding after every image which method is better, with one rate of error for all questions and all looks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import SkipValidation

from captum_gag.errors import InputError, shown
from captum_gag.options import checked as with_checked_arguments
from captum_gag.options import unknown
from captum_gag.reliability.betting import Bets, Floats, MeanBets, SignBets
from captum_gag.reliability.directions import BOUNDS, signs
from captum_gag.reliability.resampling import Seed
from captum_gag.reliability.scores import LABEL, checked, collapsed, explanations, metrics_of, ranked_methods

BEST = "best"
"""Instead of a method to compare with: the explanation with the best mean score."""

COLUMNS = ["metric", "method", "rival", "n", "wins", "losses", "ties", "e_value", "e_adjusted", "decision"]
COLUMNS += ["decided_at", "low", "high"]
LARGEST = 600.0
"""The logarithm of the largest e-value that is told apart: sums of larger ones would be none."""

BLOCK = 128
"""Images taken into account at once, so that memory does not grow with their number."""


@with_checked_arguments
def sequential(
    scores: pd.DataFrame,
    against: str = BEST,
    alpha: float = 0.05,
    test: str = "sign",
    *,
    order: SkipValidation[Sequence[Any] | None] = None,
    seed: Seed = 0,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """Tell which methods are better than which, and after how many images that was decided.

    Each question is whether one method is better than another by one metric, in either direction. Images are taken one
    after the other; after each, every question has an e-value in each direction (see ``betting``), and it is decided
    once the e-value, adjusted for the number of questions, reaches 1/alpha. The probability of any wrong decision, on
    any question, after any number of images, is at most alpha, if the images are independent draws from those that the
    conclusion is about; images of one group (the column ``group``) count as one. So one may look after every image, and
    stop whenever one likes.

    The adjustment is closed testing with means of e-values: a hypothesis is rejected when the mean of the current
    e-values of every set of hypotheses that it is in reaches 1/alpha. A mean of e-processes is one, so that this holds
    for all looks at once: what was decided stays so, although later images may leave less evidence for it.

    Args:
        scores: A score table, see ``read_scores``.
        against: The method that all others are compared with; or "best", the explanation with the best mean score by
            each metric, over the images that all of them have a score for. Since the scores choose it, the questions
            are then about all pairs of explanations, and of one with random orderings or edges, and any choice is
            right. Displaced and manipulated maps are not asked about, unless one is named here.
        alpha: Probability of a wrong decision, in (0, 1).
        test: "sign": is it better on most images, of those on which both differ? "mean": is the mean of its scores
            better? This is for scores of a known range only.
        order: The images, or groups, in the order in which they count, each once; None draws one by the seed. An order
            that goes with the scores, such as by class, does not do.
        seed: Of the order.
        bounds: By metric, the lowest and highest score that there can be, for "mean"; needed for metrics whose range
            is not in ``BOUNDS``.

    Returns:
        A row per metric and rival: metric, method (the one compared), rival, n (images with a score of both), wins,
        losses, ties, e_value (after all images, in the direction that it points to), e_adjusted (its largest so far,
        adjusted), decision ("better", "worse" or "open", of the method), decided_at (images, missing while open), low
        and high. These are an interval at confidence 1 - alpha, of this question alone but whenever one looks: of the
        share of wins among wins and losses, or of the mean difference, positive where the method is better.

    Raises:
        InputError: The scores are not a score table, a direction, a range, the method or the test is not known, or the
            order does not fit.
    """
    scores = collapsed(checked(scores))
    if test not in TESTS:
        raise unknown("test", test, TESTS)
    widths = _widths(scores, bounds or {}) if test == "mean" else None
    images = _ordered(scores, order, seed)
    methods, metrics = list(scores["method"].unique()), metrics_of(scores)
    if against not in (BEST, *methods):
        raise unknown("method to compare with", against, methods)
    ranked = [name for name in methods if name == against or name in ranked_methods(scores)]
    decider = Decider(ranked, metrics, against, alpha, test, widths, explanations(scores))
    decider.update(oriented(scores, images, decider.methods, decider.metrics))
    return decider.table()


def _widths(scores: pd.DataFrame, bounds: Mapping[str, tuple[float, float]]) -> list[float]:
    """Check the range of each metric's scores, and return their widths."""
    widths = []
    for label, of_metric in scores.groupby(LABEL, sort=False):
        metric = of_metric["metric"].iloc[0]
        if metric not in {**BOUNDS, **bounds}:
            raise InputError(
                f"the range of {metric} is not known, and the mean is tested by it; give "
                f"bounds={{{metric!r}: (lowest, highest)}}, or test='sign'"
            )
        low, high = {**BOUNDS, **bounds}[metric]
        if not (np.isfinite([low, high]).all() and low < high):
            raise InputError(f"the bounds of {metric} are {(low, high)}; expected two finite numbers, the lower first")
        room = 1e-6 * (high - low)
        outside = of_metric[(of_metric["score"] < low - room) | (of_metric["score"] > high + room)]
        if len(outside):
            image, score = outside["image"].iloc[0], outside["score"].iloc[0]
            raise InputError(
                f"{label} of image {image!r} is {score:g}, expected {low:g} to {high:g}; give its range by bounds"
            )
        # A score may be beyond by as much as rounding, and a bet must not lose more than all.
        widths.append(high - low + 2 * room)
    return widths


def _ordered(scores: pd.DataFrame, order: Sequence[Any] | None, seed: int) -> list[Any]:
    """Return the images in the order in which they count."""
    # Sorted first, so that the order of the rows changes nothing.
    names = sorted(scores["image"].unique())
    if order is None:
        return [names[each] for each in np.random.default_rng(seed).permutation(len(names))]
    if isinstance(order, str) or not isinstance(order, Iterable):
        raise InputError(f"order is {shown(order)}; expected the images, each once")
    images = list(order)
    if sorted(map(str, images)) != sorted(map(str, names)):
        wrong = next(iter({*map(str, images)} ^ {*map(str, names)}), "one of them twice")
        raise InputError(f"the order has {len(images)} images, the scores {len(names)}, and they differ in {wrong}")
    return images


def oriented(scores: pd.DataFrame, images: Sequence[Any], methods: Sequence[str], metrics: Sequence[str]) -> Floats:
    """Return some of the scores of a checked table as (images, methods, metrics), higher is better, NaN for gaps.

    Raises:
        InputError: It is not known whether higher is better.
    """
    wanted = {"image": images, "method": methods, LABEL: metrics}
    table = np.full([len(names) for names in wanted.values()], np.nan)
    places = np.array([pd.Index(names).get_indexer(scores[column]) for column, names in wanted.items()])
    rows = (places >= 0).all(axis=0)
    table[tuple(places[:, rows])] = (scores["score"] * scores[LABEL].map(signs(scores)))[rows]
    return table


class Decider:
    """The questions, what is known of each after the images so far, and which are decided.

    Attributes:
        methods: The methods, in the order of the scores that it takes.
        metrics: The labels of the metrics, likewise.
        images: How many were taken into account.
    """

    def __init__(
        self,
        methods: Sequence[str],
        metrics: Sequence[str],
        against: str = BEST,
        alpha: float = 0.05,
        test: str = "sign",
        widths: Sequence[float] | None = None,
        candidates: Collection[str] = (),
    ) -> None:
        """Ask the questions; see ``sequential``.

        Only candidates are ever the best; any method is one where none is named.

        Raises:
            InputError: There is no such method, or nothing to compare.
        """
        if not 0 < alpha < 1:
            raise InputError(f"alpha is {alpha!r}, expected a probability between 0 and 1")
        if against != BEST and against not in methods:
            raise unknown("method to compare with", against, methods)
        if len(methods) < 2:
            raise InputError(f"{', '.join(methods)} has no other method to be compared with; expected two at least")
        self.methods, self.metrics, self.alpha, self.images = list(methods), list(metrics), alpha, 0
        self._against = None if against == BEST else self.methods.index(against)
        places = range(len(methods))
        self._candidates = np.array([each in candidates or not candidates for each in methods])
        if self._against is None:
            pairs = [pair for pair in combinations(places, 2) if self._candidates[list(pair)].any()]
        else:
            pairs = [(self._against, each) for each in places if each != self._against]
        # A question is (metric, first, second); the pairs of a metric stand together.
        self._questions = np.array([(metric, *pair) for metric in range(len(metrics)) for pair in pairs])
        self._bets: Bets = TESTS[test](np.array(widths or [1.0] * len(metrics))[self._questions[:, 0]])
        self._e, self._adjusted = np.ones((2, 2, len(self._questions)))
        self._decided = np.zeros((2, len(self._questions)), dtype=int)
        self._sums, self._counts = np.zeros((2, len(methods), len(metrics)))
        self._scored = np.zeros((int(self._candidates.sum()), len(metrics)), dtype=bool)

    def update(self, scores: Floats) -> None:
        """Take further images into account, in their order.

        Args:
            scores: (n, methods, metrics), higher is better; NaN where there is none.
        """
        metric, first, second = self._questions.T
        for start in range(0, len(scores), BLOCK):
            block = scores[start : start + BLOCK]
            for log_e in self._bets.update(block[:, first, metric] - block[:, second, metric]):
                self.images += 1
                self._e = np.exp(np.minimum(log_e, LARGEST))
                self._adjusted = np.maximum(self._adjusted, adjusted(self._e.ravel()).reshape(2, -1))
                rejected = self._adjusted >= 1 / self.alpha
                self._decided[rejected & ~self._decided.any(axis=0)] = self.images
        # Only over the same images can means be compared.
        explained = ~np.isnan(scores[:, self._candidates])
        self._scored |= explained.any(axis=0)
        complete = (explained | ~self._scored).all(axis=1, keepdims=True)
        self._sums += np.where(complete & ~np.isnan(scores), scores, 0).sum(axis=0)
        self._counts += (complete & ~np.isnan(scores)).sum(axis=0)

    def counts(self) -> tuple[int, int]:
        """Count the questions in the table that are decided, and those that are open; without images, neither."""
        places, _ = self._shown()
        asked = (self._bets.wins + self._bets.losses + self._bets.ties)[places] > 0
        decided = self._decided[:, places].any(axis=0)
        return int((asked & decided).sum()), int((asked & ~decided).sum())

    def table(self) -> pd.DataFrame:
        """Return the table of ``sequential``."""
        places, turned = self._shown()
        bets = self._bets
        low, high = bets.interval(places, self.alpha)
        rows = []
        for row, (place, turn) in enumerate(zip(places, turned, strict=True)):
            metric, method, rival = self._questions[place]
            wins, losses, ties = (int(each[place]) for each in (bets.wins, bets.losses, bets.ties))
            points, (better, worse) = self._e[:, place].argmax(), map(int, self._decided[:, place])
            ends = (low[row], high[row])
            if turn:
                method, rival, wins, losses, better, worse = rival, method, losses, wins, worse, better
                ends = bets.turned(*ends)
            e_values = (float(each[points, place]) for each in (self._e, self._adjusted))
            decision = "better" if better else "worse" if worse else "open"
            counts = (wins + losses + ties, wins, losses, ties)
            named = (self.metrics[metric], self.methods[method], self.methods[rival])
            rows.append((*named, *counts, *e_values, decision, better or worse or None, *ends))
        return pd.DataFrame(rows, columns=COLUMNS).astype({"decided_at": "Int64"})

    def _shown(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the questions of the table, and which of them ask it the other way round."""
        metric, first, second = self._questions.T
        if self._against is not None:
            return np.arange(len(first)), np.zeros(len(first), dtype=bool)
        means = self._sums / np.where(self._counts, self._counts, np.nan)
        means[~self._candidates] = -np.inf
        # Of a metric without a score, the first candidate stands for none.
        leaders = np.where(np.isnan(means), -np.finfo(float).max, means).argmax(axis=0)[metric]
        shown = np.flatnonzero((first == leaders) | (second == leaders))
        return shown, (second == leaders)[shown]


def adjusted(e_values: Floats) -> Floats:
    """Return the e-values (H,) adjusted for being several: the smallest mean of a set that each is in.

    The set with the smallest mean is itself and the k smallest others; one more of them lowers the mean as long as it
    is below it. With S_k the sum of the k smallest, that is as long as e > (k + 1) e_(k+1) - S_k, which rises with k.
    """
    rising = np.sort(e_values)
    sums = np.concatenate([[0.0], rising.cumsum()])
    counts = np.searchsorted(np.arange(1, len(rising) + 1) * rising - sums[:-1], e_values)
    means: Floats = (e_values + sums[counts]) / (counts + 1)
    return means


TESTS: dict[str, type[Bets]] = {"sign": SignBets, "mean": MeanBets}
