"""How far a metric agrees with itself: over images, over methods, and with the other metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import unwrap
from itertools import combinations

import numpy as np
import pandas as pd

from captum_gag.reliability.bootstrap import Floats, Indices, interval
from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.rankings import Rankings, alpha_interval
from captum_gag.reliability.scores import LABEL, complete, matrices, ranks

Estimate = tuple[float, float, float]
"""A statistic, and the lower and upper end of its interval."""

CONFIDENCE = 0.999
N_BOOTSTRAP = 10_000


@by_groups
def inter_rater(
    scores: pd.DataFrame,
    confidence: float = CONFIDENCE,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell whether a metric ranks the methods alike on all images: Krippendorff's alpha (Tomsett et al., 2019).

    Each image is a rater, each method a unit that it rates; the rating is the method's rank on that image. Alpha is 1
    when all images rank alike, about 0 when the rankings are random, and below 0 when they contradict each other.
    Ties share their average rank, as Spearman's correlation has it: that keeps the sum of the ranks, and does not
    invent an order by the methods' names. Ratings are ordinal. The interval is ``alpha_interval``.

    Args:
        scores: A score table, see ``read_scores``. A method without any score is left out, and an image that lacks a
            score of one of the others.
        confidence: Of the interval, in (0, 1).
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric, with alpha, low, high, images, methods. NaN for fewer than 2 images or methods,
        and where every image ties all methods; low and high also for fewer than 3.

    Raises:
        InputError: The scores are not a score table.
    """

    def alpha_of(matrix: pd.DataFrame) -> Estimate | None:
        if min(matrix.shape) < 2:
            return None
        ranked = ranks(matrix)
        return Rankings(ranked).alpha(np.arange(len(ranked))), *alpha_interval(ranked, confidence)

    return _per_metric(scores, "alpha", alpha_of)


@by_groups
def inter_method(
    scores: pd.DataFrame,
    n_bootstrap: int = N_BOOTSTRAP,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell whether an image that is easy for one method is easy for the others: mean pairwise Spearman's rho.

    For each pair of methods, the correlation over images of their scores; then the mean over pairs.

    Args:
        scores: A score table.
        n_bootstrap: Resamples of the images.
        confidence: Of the interval, in (0, 1).
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric, with rho, low, high, images, methods; NaN for fewer than 2 methods or 3 images,
        or where a method has the same score on all images.

    Raises:
        InputError: The scores are not a score table.
    """

    def rho_of(matrix: pd.DataFrame) -> Estimate | None:
        if matrix.shape[1] < 2 or len(matrix) < 3:
            return None
        mean_of_pairs = Spearman(matrix.to_numpy()).mean_of_pairs
        [low], [high] = interval(mean_of_pairs, len(matrix), n_bootstrap, confidence, seed)
        return float(mean_of_pairs(np.arange(len(matrix))[None])[0, 0]), low, high

    return _per_metric(scores, "rho", rho_of)


def _per_metric(scores: pd.DataFrame, name: str, estimate: Callable[[pd.DataFrame], Estimate | None]) -> pd.DataFrame:
    """Return a row per metric: a statistic of its matrix, images x methods, with its interval; NaN for none."""
    rows = {}
    for metric, matrix in matrices(scores):
        value, low, high = estimate(matrix) or (np.nan, np.nan, np.nan)
        rows[metric] = {name: value, "low": low, "high": high, "images": len(matrix), "methods": matrix.shape[1]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


@by_groups
def internal_consistency(
    scores: pd.DataFrame,
    n_bootstrap: int = N_BOOTSTRAP,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell whether two metrics that claim to measure the same thing agree: Spearman's rho over images, per method.

    Scores of metrics where lower is better are negated first, so that agreement is always positive.

    Args:
        scores: A score table.
        n_bootstrap: Resamples of the images.
        confidence: Of the interval, in (0, 1).
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per method and pair of metrics: method, metric, other, rho, low, high, images (those
        with a score by all metrics that have any). See ``consistency_matrix`` for the matrix.

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    directions = pd.Series(signs(scores))
    metrics = sorted(directions.index)
    rows = []
    for method, of_method in scores.groupby("method", sort=True):
        matrix = complete(of_method.pivot(index="image", columns=LABEL, values="score") * directions)
        pairs = list(combinations(metrics, 2))
        found = pd.DataFrame(pairs, columns=["metric", "other"]).assign(method=method, images=len(matrix))
        found[["rho", "low", "high"]] = np.nan
        known = found["metric"].isin(matrix) & found["other"].isin(matrix)
        if known.any() and len(matrix) >= 3:
            spearman = Spearman(matrix.to_numpy())
            low, high = interval(spearman.pairs, len(matrix), n_bootstrap, confidence, seed)
            [found.loc[known, "rho"]] = spearman.pairs(np.arange(len(matrix))[None])
            found.loc[known, "low"], found.loc[known, "high"] = low, high
        rows.append(found)
    return pd.concat(rows, ignore_index=True)[["method", "metric", "other", "rho", "low", "high", "images"]]


def consistency_matrix(consistency: pd.DataFrame) -> pd.DataFrame:
    """Average ``internal_consistency`` over the methods into one matrix, metrics x metrics, 1 on its diagonal."""
    pairs = consistency.groupby(["metric", "other"])["rho"].mean().unstack()
    names = sorted(set(pairs.index) | set(pairs.columns))
    square = pairs.reindex(index=names, columns=names)
    matrix = square.combine_first(square.T).to_numpy(dtype=float, copy=True)
    np.fill_diagonal(matrix, 1.0)
    return pd.DataFrame(matrix, index=names, columns=names)


@by_groups
def implementation_sensitivity(
    scores: pd.DataFrame,
    n_bootstrap: int = N_BOOTSTRAP,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell whether a metric agrees with itself when only its implementation changes, such as its baseline.

    Takes the metrics of the same name and number of steps that differ in their variant.

    Returns:
        As ``internal_consistency``, without the other pairs.

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    parts = [
        unwrap(internal_consistency)(group, n_bootstrap, confidence, seed)
        for _, group in scores.groupby(["metric", "steps"], dropna=False)
        if group["variant"].nunique() > 1
    ]
    empty = pd.DataFrame(columns=["method", "metric", "other", "rho", "low", "high", "images"])
    return pd.concat(parts, ignore_index=True) if parts else empty


class Spearman:
    """Scores kept so that rank correlations of any draw of images cost a count instead of a sort."""

    def __init__(self, columns: Floats) -> None:
        """Take scores, images x columns."""
        # Per column the images in the order of their scores, where each distinct score begins, and its place.
        self.columns = []
        for column in columns.T:
            _, starts, places = np.unique(np.sort(column), return_index=True, return_inverse=True)
            order = np.argsort(column)
            place = np.empty_like(places)
            place[order] = places
            self.columns.append((order, starts, place))

    def pairs(self, draws: Iterable[Indices]) -> Floats:
        """Return the correlations of all pairs of columns, (0, 1), (0, 2), ..., (1, 2), ...; NaN with a constant.

        Args:
            draws: Of images.

        Returns:
            (draws, pairs).
        """
        upper = np.triu_indices(len(self.columns), 1)
        return np.array([self._matrix(drawn)[upper] for drawn in draws])

    def mean_of_pairs(self, draws: Iterable[Indices]) -> Floats:
        """Return the mean of the correlations of all pairs, (draws, 1); NaN where a column is constant."""
        return np.asarray(self.pairs(draws).mean(axis=1, keepdims=True))

    def _matrix(self, drawn: Indices) -> Floats:
        counts = np.bincount(drawn, minlength=len(self.columns[0][0])).astype(np.int32)
        images = np.flatnonzero(counts)
        times = counts[images].astype(float)
        spread = np.empty((len(self.columns), len(images)))
        for row, (order, starts, place) in zip(spread, self.columns, strict=True):
            tallies = counts[order]
            if len(starts) < len(order):
                tallies = np.add.reduceat(tallies, starts)
            # Twice the average rank of each distinct score, less twice the mean of all ranks: whole numbers.
            ranks = 2 * np.cumsum(tallies, dtype=np.int64) - tallies - len(drawn)
            row[:] = ranks[place[images]]
        products = (spread * times) @ spread.T
        norms = np.sqrt(np.diag(products))
        with np.errstate(invalid="ignore"):
            return np.asarray(products / np.outer(norms, norms))
