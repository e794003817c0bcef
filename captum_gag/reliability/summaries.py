"""What one score per image hides behind its mean: spread, baselines, tricks, and how many images are enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from captum_gag.reliability.agreement import CONFIDENCE
from captum_gag.reliability.arguments import Confidence, Resamples, Seed
from captum_gag.reliability.bootstrap import N_BOOTSTRAP, Floats, Indices, blocks, mean_intervals
from captum_gag.reliability.directions import known_bounds, signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.orderings import random_bands
from captum_gag.reliability.rankings import Rankings
from captum_gag.reliability.scores import (
    LABEL,
    by_image,
    by_metric,
    is_edges,
    is_manipulated,
    is_random,
    matrices,
    metrics_of,
    ranks,
)


@by_groups
def summary(
    scores: pd.DataFrame,
    n_bootstrap: Resamples = N_BOOTSTRAP,
    confidence: Confidence = CONFIDENCE,
    seed: Seed = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Return the distribution over images that a mean score hides (Tomsett et al., 2019: global variance).

    Args:
        scores: A score table.
        n_bootstrap: Resamples of the images, for the interval of the mean.
        confidence: Of the interval.
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric and method: mean, low, high, std, min, q1, median, q3, max, images, undefined (the
        number of images without a score).

    Raises:
        InputError: The scores are not a score table.
    """
    tables = {metric: by_image(scores, metric) for metric in metrics_of(scores)}
    intervals = mean_intervals(tables, n_bootstrap, confidence, seed, known_bounds(scores))
    rows = []
    for (metric, method), group in scores.groupby([LABEL, "method"], sort=False)["score"]:
        values = group.dropna().to_numpy()
        row: dict[str, object] = {"metric": metric, "method": method}
        if len(values):
            low, high = intervals[metric, method]
            quartiles = dict(
                zip(("min", "q1", "median", "q3", "max"), np.quantile(values, np.arange(5) / 4), strict=True)
            )
            spread = values.std(ddof=1) if len(values) > 1 else np.nan
            row |= {"mean": values.mean(), "low": low, "high": high, "std": spread, **quartiles}
        rows.append(row | {"images": len(values), "undefined": len(group) - len(values)})
    columns = ["metric", "method", "mean", "low", "high", "std", "min", "q1", "median", "q3", "max"]
    return pd.DataFrame(rows, columns=[*columns, "images", "undefined"])


@by_groups
def against_baselines(
    scores: pd.DataFrame,
    n_bootstrap: Resamples = N_BOOTSTRAP,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Flag the methods that do not beat random orderings and edge detection, which know nothing of the model.

    The band of the random orderings holds the central share ``confidence`` of their means (of a single one: the
    bootstrap interval of its mean). A method beats them if its mean is better than the whole band. It beats edges if
    the bootstrap interval of the mean difference over the images does not reach 0.

    Args:
        scores: A score table, whose column control says which methods are random orderings and which detect edges.
        n_bootstrap: Resamples of the images.
        confidence: Of the intervals and the band, in (0, 1).
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric and method: mean, random_low, random_high, beats_random, edges (their mean),
        beats_edges. NaN or None where the table has no such baseline.

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    random, edge, manipulated = (
        set(scores.loc[each(scores), "method"].unique()) for each in (is_random, is_edges, is_manipulated)
    )
    others = random | edge | manipulated
    bands = random_bands(scores, n_bootstrap, confidence, seed)
    directions = signs(scores)
    tables = by_metric(scores)
    of_edges = {metric: next((table[name] for name in table if name in edge), None) for metric, table in tables.items()}
    gains = {
        metric: directions[metric] * tables[metric].drop(columns=others, errors="ignore").sub(of_edge, axis=0)
        for metric, of_edge in of_edges.items()
        if of_edge is not None
    }
    intervals = mean_intervals(gains, n_bootstrap, confidence, seed)
    rows = []
    for metric, direction in directions.items():
        table, of_edge = tables[metric], of_edges[metric]
        low, high = bands.get(metric, (np.nan, np.nan))
        for method in table:
            if method in others:
                continue
            mean = table[method].mean()
            row = {"metric": metric, "method": method, "mean": mean, "random_low": low, "random_high": high}
            worst = high if direction > 0 else low
            row["beats_random"] = None if np.isnan(low + mean) else bool(direction * (mean - worst) > 0)
            row["edges"], row["beats_edges"] = (np.nan, None)
            if of_edge is not None:
                gain, _ = intervals[metric, method]
                row["edges"] = of_edge.mean()
                row["beats_edges"] = None if np.isnan(gain) else bool(gain > 0)
            rows.append(row)
    columns = ["metric", "method", "mean", "random_low", "random_high", "beats_random", "edges", "beats_edges"]
    return pd.DataFrame(rows, columns=columns)


@by_groups
def tricks(
    scores: pd.DataFrame,
    n_bootstrap: Resamples = N_BOOTSTRAP,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell which metric can be fooled: what a manipulated map gets, beside the map that it was made of.

    Maps with faults of known strength are left to ``faults``.

    Args:
        scores: A score table, whose columns base and transform say which methods are another's maps, manipulated.
        n_bootstrap: Resamples of the images.
        confidence: Of the interval, in (0, 1).
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric and manipulated method: metric, method, original_mean, mean, gain (positive where the
        manipulated map scores better), low, high (bootstrap interval of the gain), fooled (the interval lies above 0;
        None where there is none).

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    manipulated = scores[is_manipulated(scores) & scores["strength"].isna()]
    originals = manipulated.drop_duplicates("method").set_index("method")["base"]
    tables = by_metric(scores)
    gains = {}
    for metric, direction in signs(scores).items():
        table = tables[metric]
        there = {trick: originals[trick] for trick in table if trick in originals and originals[trick] in table}
        gains[metric] = direction * (table[list(there)] - table[list(there.values())].to_numpy())
    intervals = mean_intervals(gains, n_bootstrap, confidence, seed)
    rows = []
    for metric, trick in ((metric, trick) for metric, table in gains.items() for trick in table):
        low, high = intervals[metric, trick]
        means = {"original_mean": tables[metric][originals[trick]].mean(), "mean": tables[metric][trick].mean()}
        gain = gains[metric][trick].mean()
        row = {"metric": metric, "method": trick, **means, "gain": gain}
        rows.append(row | {"low": low, "high": high, "fooled": None if np.isnan(low) else bool(low > 0)})
    columns = ["metric", "method", "original_mean", "mean", "gain", "low", "high", "fooled"]
    return pd.DataFrame(rows, columns=columns)


@by_groups
def stability(
    scores: pd.DataFrame,
    sizes: Sequence[int] | None = None,
    n_resamples: int = 1000,
    seed: Seed = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell how many images are needed before the ranking of the methods is stable.

    Draws so many images, without replacement, and compares what they say with what all images say.

    Args:
        scores: A score table.
        sizes: Numbers of images. None takes 5, 10, 20, 50, ... up to half of them.
        n_resamples: Draws for each size.
        seed: Of the draws.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric and size: metric, images, alpha (mean), alpha_low, alpha_high (their central 95 %),
        flips (the probability that a pair of methods comes in the other order than over all images), best_changes (that
        another method comes first).

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    directions = signs(scores)
    rows, images = [], 0
    for metric, matrix in matrices(scores):
        if min(matrix.shape) < 2:
            continue
        rankings = Rankings(ranks(matrix))
        values = directions[metric] * matrix.to_numpy()
        asked = _sizes(len(matrix)) if sizes is None else sorted(n for n in sizes if n <= len(matrix))
        if not asked:
            continue
        if len(matrix) != images:
            images = len(matrix)
            draws = _draws(images, asked[-1], n_resamples, seed)
        for size, alphas in zip(asked, rankings.alphas(draws, asked), strict=True):
            means = _means(draws[:, :size], values)
            low, high = np.nanquantile(alphas, [0.025, 0.975]) if not np.isnan(alphas).all() else (np.nan, np.nan)
            flips, best = _changes(means, values.mean(axis=0))
            row = {"metric": metric, "images": size, "alpha": np.nanmean(alphas) if low == low else np.nan}
            rows.append(row | {"alpha_low": low, "alpha_high": high, "flips": flips, "best_changes": best})
    columns = ["metric", "images", "alpha", "alpha_low", "alpha_high", "flips", "best_changes"]
    return pd.DataFrame(rows, columns=columns)


def _sizes(images: int) -> list[int]:
    steps = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    return [size for size in steps if 5 <= size <= images // 2]


def _draws(images: int, size: int, n_resamples: int, seed: int) -> Indices:
    """Return images drawn without replacement, (n_resamples, size); the first of a row are such a draw too."""
    generator = np.random.default_rng(seed)
    return np.array([generator.choice(images, size, replace=False) for _ in range(n_resamples)])


def _means(drawn: Indices, values: Floats) -> Floats:
    """Return the means of the rows of values in each draw, (draws, columns)."""
    draws, size = drawn.shape
    ones = csr_array((np.ones(drawn.size), drawn.ravel(), size * np.arange(draws + 1)), (draws, len(values)))
    means: Floats = ones @ values / size
    return means


def _changes(means: Floats, whole: Floats) -> tuple[float, float]:
    a, b = np.triu_indices(len(whole), 1)
    order, parts = np.sign(whole[a] - whole[b]), (means[some] for some in blocks(len(means), len(a)))
    flips = sum(np.count_nonzero(np.sign(part[:, a] - part[:, b]) != order) for part in parts)
    return flips / (len(means) * len(a)), float((means.argmax(axis=1) != whole.argmax()).mean())
