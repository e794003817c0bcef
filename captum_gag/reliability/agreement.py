"""Agreement of a metric with itself: over images, over methods, and with the other metrics.

All take a score table, the confidence of their intervals, and the groups of images ``by`` a column, cut by ``edges``;
see ``grouping.groups``. They raise InputError where the scores are not a score table, or a direction is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from itertools import combinations

import numpy as np
import pandas as pd

from captum_gag.errors import InputError, shown
from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.rankings import Rankings, Spearman, alpha_interval
from captum_gag.reliability.resampling import Confidence
from captum_gag.reliability.scores import LABEL, by_metric, complete, ranks

Estimate = tuple[float, float, float]
"""A statistic, and the lower and upper end of its interval."""

CONFIDENCE = 0.999
"""That of Tomsett et al. (2019), of alpha and of correlations."""

PAIRS = ["method", "metric", "other", "rho", "low", "high", "images"]


@by_groups
def inter_rater(scores: pd.DataFrame, confidence: Confidence = CONFIDENCE) -> pd.DataFrame:
    """Tell whether a metric ranks the methods alike on all images: Krippendorff's alpha (Tomsett et al., 2019).

    Each image is a rater, each method a unit that it rates; the rating is the method's rank on that image. Alpha is 1
    when all images rank alike, about 0 when the rankings are random, and below 0 when they contradict each other.
    Ties share their average rank, as Spearman's correlation has it. Ratings are ordinal. A method without any score is
    left out, and so is an image that lacks a score of one of the others.

    Returns:
        A row per metric, with alpha, low, high (see ``alpha_interval``), images, methods. NaN for fewer than 2 images
        or methods, and where every image ties all methods; low and high also for fewer than 3.
    """

    def alpha_of(matrix: pd.DataFrame) -> Estimate | None:
        if min(matrix.shape) < 2:
            return None
        ranked = ranks(matrix)
        return Rankings(ranked).alpha(np.arange(len(ranked))), *alpha_interval(ranked, confidence)

    return _per_metric(scores, "alpha", alpha_of)


@by_groups
def inter_method(scores: pd.DataFrame, confidence: Confidence = CONFIDENCE) -> pd.DataFrame:
    """Tell whether an image that is easy for one method is easy for the others: mean pairwise Spearman's rho.

    For each pair of methods, the correlation over images of their scores; then the mean over pairs.

    Returns:
        A row per metric, with rho, low, high (see ``mean_rho_interval``), images, methods; NaN for fewer than 2 methods
        or 3 images, or where a method has the same score on all images; low and high also for fewer than 4 images.
    """

    def rho_of(matrix: pd.DataFrame) -> Estimate | None:
        if matrix.shape[1] < 2 or len(matrix) < 3:
            return None
        return Spearman(matrix.to_numpy()).estimate(range(matrix.shape[1]), confidence)

    return _per_metric(scores, "rho", rho_of)


def _per_metric(scores: pd.DataFrame, name: str, estimate: Callable[[pd.DataFrame], Estimate | None]) -> pd.DataFrame:
    """Return a row per metric: a statistic of its matrix, images x methods, with its interval; NaN for none."""
    rows = {}
    for metric, table in by_metric(scores).items():
        matrix = complete(table)
        value, low, high = estimate(matrix) or (np.nan, np.nan, np.nan)
        rows[metric] = {name: value, "low": low, "high": high, "images": len(matrix), "methods": matrix.shape[1]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


@by_groups
def internal_consistency(scores: pd.DataFrame, confidence: Confidence = CONFIDENCE) -> pd.DataFrame:
    """Tell whether two metrics that claim to measure the same thing agree: Spearman's rho over images, per method.

    Scores of metrics where lower is better are negated first, so that agreement is always positive.

    Returns:
        A row per method and pair of metrics: method, metric, other, rho, low, high (see ``mean_rho_interval``; NaN for
        fewer than 4 images), images (those with a score by all metrics that have any). See ``consistency_matrix`` for
        the matrix.
    """
    directions = pd.Series(signs(scores))
    pairs = list(combinations(sorted(directions.index), 2))
    parts, tables = [], by_metric(scores)
    for method in sorted({str(name) for table in tables.values() for name in table}):
        of_method = {metric: table[method] for metric, table in tables.items() if method in table}
        matrix = complete(pd.DataFrame(of_method) * directions)
        rows = pd.DataFrame(pairs, columns=["metric", "other"]).assign(method=method, images=len(matrix))
        rows[["rho", "low", "high"]] = np.nan
        there = rows["metric"].isin(matrix) & rows["other"].isin(matrix)
        if there.any() and len(matrix) >= 3:
            spearman = Spearman(matrix.to_numpy())
            places = zip(
                *(matrix.columns.get_indexer(rows.loc[there, name]) for name in ("metric", "other")), strict=True
            )
            rows.loc[there, ["rho", "low", "high"]] = [spearman.estimate(pair, confidence) for pair in places]
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)[PAIRS]


def consistency_matrix(consistency: pd.DataFrame) -> pd.DataFrame:
    """Average ``internal_consistency`` over the methods into one matrix, metrics x metrics, 1 on its diagonal.

    Raises:
        InputError: The table is another.
    """
    if not isinstance(consistency, pd.DataFrame) or not {"metric", "other", "rho"} <= set(consistency.columns):
        raise InputError(f"the table is {shown(consistency)}; it must be that of internal_consistency")
    pairs = consistency.groupby(["metric", "other"])["rho"].mean().unstack()
    names = sorted(set(pairs.index) | set(pairs.columns))
    square = pairs.reindex(index=names, columns=names)
    matrix = square.combine_first(square.T).to_numpy(dtype=float, copy=True)
    np.fill_diagonal(matrix, 1.0)
    return pd.DataFrame(matrix, index=names, columns=names)


@by_groups
def implementation_sensitivity(scores: pd.DataFrame, confidence: Confidence = CONFIDENCE) -> pd.DataFrame:
    """Tell whether a metric agrees with itself when only its implementation changes, such as its baseline.

    Returns:
        As ``internal_consistency``, of the metrics of the same name and number of steps that differ in their variant.
    """
    settings = scores.drop_duplicates(LABEL)[["metric", "steps", LABEL]]
    several = settings.loc[settings.duplicated(["metric", "steps"], keep=False), LABEL]
    varied = scores[scores[LABEL].isin(several)].groupby(["metric", "steps"], dropna=False)
    parts = [unwrap(internal_consistency)(group, confidence) for _, group in varied]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PAIRS)
