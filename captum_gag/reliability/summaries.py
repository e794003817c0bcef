"""What one score per image hides behind its mean: spread, baselines, tricks, and how many images are enough."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from captum_gag.reliability.agreement import CONFIDENCE, N_BOOTSTRAP, PatternCounts
from captum_gag.reliability.bootstrap import mean_interval
from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.orderings import random_bands
from captum_gag.reliability.scores import LABEL, by_image, checked, is_edges, is_manipulated, is_random, matrices, ranks


@by_groups
def summary(
    scores: pd.DataFrame,
    n_bootstrap: int = N_BOOTSTRAP,
    confidence: float = CONFIDENCE,
    seed: int = 0,
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
    rows = []
    for (metric, method), group in checked(scores).groupby([LABEL, "method"], sort=False):
        values = group["score"].dropna().to_numpy()
        row: dict[str, object] = {"metric": metric, "method": method}
        if len(values):
            low, high = mean_interval(values, n_bootstrap, confidence, seed)
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
    n_bootstrap: int = N_BOOTSTRAP,
    confidence: float = 0.95,
    seed: int = 0,
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
    scores = checked(scores)
    random, edge = (set(scores.loc[each, "method"]) for each in (is_random(scores), is_edges(scores)))
    others = random | edge | set(scores.loc[is_manipulated(scores), "method"])
    bands = random_bands(scores, n_bootstrap, confidence, seed)
    rows = []
    for metric, direction in signs(scores).items():
        table = by_image(scores, metric)
        low, high = bands.get(metric, (np.nan, np.nan))
        of_edges = next((table[name] for name in table if name in edge), None)
        for method in table:
            if method in others:
                continue
            mean = table[method].mean()
            row = {"metric": metric, "method": method, "mean": mean, "random_low": low, "random_high": high}
            worst = high if direction > 0 else low
            row["beats_random"] = None if np.isnan(low + mean) else bool(direction * (mean - worst) > 0)
            row["edges"], row["beats_edges"] = (np.nan, None)
            if of_edges is not None:
                row["edges"] = of_edges.mean()
                row["beats_edges"] = _better(direction * (table[method] - of_edges), n_bootstrap, confidence, seed)
            rows.append(row)
    columns = ["metric", "method", "mean", "random_low", "random_high", "beats_random", "edges", "beats_edges"]
    return pd.DataFrame(rows, columns=columns)


@by_groups
def tricks(
    scores: pd.DataFrame,
    n_bootstrap: int = N_BOOTSTRAP,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell which metric can be fooled: what a manipulated map gets, beside the map that it was made of.

    Args:
        scores: A score table, whose columns base and transform say which methods are another's maps, manipulated.
        n_bootstrap: Resamples of the images.
        confidence: Of the interval, in (0, 1).
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric and manipulated method: metric, method, original_mean, mean, gain (positive where the
        manipulated map scores better), low, high (bootstrap interval of the gain), fooled (the interval lies above 0).

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    scores = checked(scores)
    originals = scores[is_manipulated(scores)].drop_duplicates("method").set_index("method")["base"]
    rows = []
    for metric, direction in signs(scores).items():
        table = by_image(scores, metric)
        for trick in filter(originals.__contains__, table):
            original = originals[trick]
            if original not in table:
                continue
            gains = (direction * (table[trick] - table[original])).dropna().to_numpy()
            low, high = mean_interval(gains, n_bootstrap, confidence, seed)
            row = {
                "metric": metric,
                "method": trick,
                "original_mean": table[original].mean(),
                "mean": table[trick].mean(),
            }
            gain = gains.mean() if len(gains) else np.nan
            rows.append(row | {"gain": gain, "low": low, "high": high, "fooled": bool(low > 0)})
    columns = ["metric", "method", "original_mean", "mean", "gain", "low", "high", "fooled"]
    return pd.DataFrame(rows, columns=columns)


@by_groups
def stability(
    scores: pd.DataFrame,
    sizes: Sequence[int] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
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
    scores = checked(scores)
    directions = signs(scores)
    rows = []
    for metric, matrix in matrices(scores):
        if min(matrix.shape) < 2:
            continue
        generator = np.random.default_rng(seed)
        counts = PatternCounts(ranks(matrix))
        values = directions[metric] * matrix.to_numpy()
        for size in _sizes(len(matrix)) if sizes is None else [n for n in sizes if n <= len(matrix)]:
            draws = [generator.permutation(len(matrix))[:size] for _ in range(n_resamples)]
            alphas = np.array([counts.alpha(drawn) for drawn in draws])
            means = np.stack([values[drawn].mean(axis=0) for drawn in draws])
            low, high = np.nanquantile(alphas, [0.025, 0.975]) if not np.isnan(alphas).all() else (np.nan, np.nan)
            flips, best = _changes(means, values.mean(axis=0))
            row = {"metric": metric, "images": size, "alpha": np.nanmean(alphas) if low == low else np.nan}
            rows.append(row | {"alpha_low": low, "alpha_high": high, "flips": flips, "best_changes": best})
    columns = ["metric", "images", "alpha", "alpha_low", "alpha_high", "flips", "best_changes"]
    return pd.DataFrame(rows, columns=columns)


def _sizes(images: int) -> list[int]:
    steps = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    return [size for size in steps if 5 <= size <= images // 2]


def _changes(means: NDArray[np.float64], whole: NDArray[np.float64]) -> tuple[float, float]:
    pairs = list(combinations(range(len(whole)), 2))
    flips = [(np.sign(means[:, a] - means[:, b]) != np.sign(whole[a] - whole[b])).mean() for a, b in pairs]
    return float(np.mean(flips)), float((means.argmax(axis=1) != whole.argmax()).mean())


def _better(gains: pd.Series, n_bootstrap: int, confidence: float, seed: int) -> bool | None:
    values = gains.dropna().to_numpy()
    low, _ = mean_interval(values, n_bootstrap, confidence, seed)
    return None if np.isnan(low) else bool(low > 0)
