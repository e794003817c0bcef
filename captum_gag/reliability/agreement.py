"""How far a metric agrees with itself: over images, over methods, and with the other metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import krippendorff
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from captum_gag.reliability.bootstrap import Indices, interval
from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.scores import LABEL, checked, complete, matrices, ranks

Statistic = Callable[[Indices], NDArray[np.float64]]
"""From the indices of the images drawn to the numbers that they give."""

CONFIDENCE = 0.999
N_BOOTSTRAP = 10_000


@by_groups
def inter_rater(
    scores: pd.DataFrame,
    n_bootstrap: int = N_BOOTSTRAP,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell whether a metric ranks the methods alike on all images: Krippendorff's alpha (Tomsett et al., 2019).

    Each image is a rater, each method a unit that it rates; the rating is the method's rank on that image. Alpha is 1
    when all images rank alike, about 0 when the rankings are random, and below 0 when they contradict each other.
    Ties share their average rank, as Spearman's correlation has it: that keeps the sum of the ranks, and does not
    invent an order by the methods' names. Ratings are ordinal.

    Args:
        scores: A score table, see ``read_scores``. A method without any score is left out, and an image that lacks a
            score of one of the others.
        n_bootstrap: Resamples of the images.
        confidence: Of the interval, in (0, 1).
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric, with alpha, low, high, images, methods. NaN for fewer than 2 images or methods,
        and where every image ties all methods.

    Raises:
        InputError: The scores are not a score table.
    """

    def alpha_of(matrix: pd.DataFrame) -> Statistic | None:
        return PatternCounts(ranks(matrix)).alphas if min(matrix.shape) >= 2 else None

    return _per_metric(scores, "alpha", alpha_of, n_bootstrap, confidence, seed)


class PatternCounts:
    """Rankings of the methods, kept so that alpha of any draw of images costs a count instead of a ranking."""

    def __init__(self, ranked: NDArray[np.float64]) -> None:
        """Take ranks, images x methods."""
        patterns, self.pattern_of = np.unique(ranked, axis=0, return_inverse=True)
        self.domain = np.unique(patterns)
        # Per pattern, which value each method gets: patterns x (methods * values).
        self.ratings = (patterns[:, :, None] == self.domain).astype(float).reshape(len(patterns), -1)

    def alphas(self, images: Indices) -> NDArray[np.float64]:
        """Return alpha as an array of one."""
        return np.array([self.alpha(images)])

    def alpha(self, images: Indices) -> float:
        """Return alpha of some images; NaN for fewer than 2, and where no two methods differ."""
        if len(self.domain) < 2 or len(images) < 2:
            return float("nan")
        drawn = np.bincount(self.pattern_of[images], minlength=len(self.ratings))
        value_counts = (drawn @ self.ratings).reshape(-1, len(self.domain))
        used = value_counts.any(axis=0)
        if used.sum() < 2:
            return float("nan")
        return float(
            krippendorff.alpha(
                value_counts=value_counts[:, used],
                value_domain=self.domain[used],
                level_of_measurement="ordinal",
            )
        )


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

    def rho_of(matrix: pd.DataFrame) -> Statistic | None:
        return Spearman(matrix.to_numpy()).mean_of_pairs if matrix.shape[1] >= 2 and len(matrix) >= 3 else None

    return _per_metric(scores, "rho", rho_of, n_bootstrap, confidence, seed)


def _per_metric(
    scores: pd.DataFrame,
    name: str,
    statistic_of: Callable[[pd.DataFrame], Statistic | None],
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Return a row per metric: a statistic of its matrix, images x methods, with its interval; NaN for none."""
    rows = {}
    for metric, matrix in matrices(checked(scores)):
        row = {name: np.nan, "low": np.nan, "high": np.nan, "images": len(matrix), "methods": matrix.shape[1]}
        statistic = statistic_of(matrix)
        if statistic is not None:
            [row[name]] = statistic(np.arange(len(matrix)))
            [row["low"]], [row["high"]] = interval(statistic, len(matrix), n_bootstrap, confidence, seed)
        rows[metric] = row
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
    scores = checked(scores)
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
            found.loc[known, "rho"] = spearman.pairs(np.arange(len(matrix)))
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
        internal_consistency(group, n_bootstrap, confidence, seed)
        for _, group in checked(scores).groupby(["metric", "steps"], dropna=False)
        if group["variant"].nunique() > 1
    ]
    empty = pd.DataFrame(columns=["method", "metric", "other", "rho", "low", "high", "images"])
    return pd.concat(parts, ignore_index=True) if parts else empty


class Spearman:
    """Scores kept so that rank correlations of any draw of images cost a count instead of a sort."""

    def __init__(self, columns: NDArray[np.float64]) -> None:
        """Take scores, images x columns."""
        # Per column the place of each score among the distinct ones: equal scores have equal places.
        self.places = [np.unique(column, return_inverse=True)[1] for column in columns.T]

    def pairs(self, images: Indices) -> NDArray[np.float64]:
        """Return the correlations of all pairs of columns, (0, 1), (0, 2), ..., (1, 2), ...; NaN with a constant."""
        ranked = np.stack([_midranks(place[images]) for place in self.places])
        spread = ranked - ranked.mean(axis=1, keepdims=True)
        norms = np.sqrt((spread**2).sum(axis=1))
        with np.errstate(invalid="ignore"):
            correlations = (spread @ spread.T) / np.outer(norms, norms)
        return np.asarray(correlations[np.triu_indices(len(norms), 1)])

    def mean_of_pairs(self, images: Indices) -> NDArray[np.float64]:
        """Return the mean of the correlations of all pairs, as an array of one; NaN where a column is constant."""
        return np.asarray(self.pairs(images).mean(keepdims=True))


def _midranks(places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Rank integers, ties sharing their average rank."""
    counts = np.bincount(places)
    last = np.cumsum(counts)
    middle: NDArray[np.float64] = last - (counts - 1) / 2
    return middle[places]
