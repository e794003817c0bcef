"""Statistics that a mean score hides: spread, tricks, and how many images are enough.

All take a score table, the number of resamples and the seed of what they draw, the confidence of their intervals, and
the groups of images ``by`` a column, cut by ``edges``; see ``grouping.groups``. They raise InputError where the scores
are not a score table, or a direction is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from captum_gag.reliability.directions import known_bounds, signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.pairwise import holm, mean_test
from captum_gag.reliability.rankings import Rankings
from captum_gag.reliability.resampling import (
    N_BOOTSTRAP,
    Confidence,
    Floats,
    Indices,
    Resamples,
    Seed,
    blocks,
    mean_intervals,
)
from captum_gag.reliability.scores import LABEL, by_metric, complete, explanations, is_manipulated, ranks

ROUNDING = 1e-6
"""A difference up to this share of the range of a metric's scores is none."""


@by_groups
def summary(
    scores: pd.DataFrame, n_bootstrap: Resamples = N_BOOTSTRAP, confidence: Confidence = 0.95, seed: Seed = 0
) -> pd.DataFrame:
    """Return the distribution over images that a mean score hides (Tomsett et al., 2019: global variance).

    Returns:
        A row per metric and method: mean, low, high (see ``resampling.mean_intervals``), std, min, q1, median, q3, max,
        images, undefined (the number of images without a score).
    """
    intervals = mean_intervals(by_metric(scores), n_bootstrap, confidence, seed, known_bounds(scores))
    groups = scores.groupby([LABEL, "method"], sort=False)["score"]
    rows = groups.describe().rename(columns={"25%": "q1", "50%": "median", "75%": "q3", "count": "images"})
    ends = [intervals[str(metric), method] for metric, method in rows.index]
    rows = rows.assign(images=rows["images"].astype(int), undefined=groups.size() - groups.count())
    rows[["low", "high"]] = ends
    columns = ["mean", "low", "high", "std", "min", "q1", "median", "q3", "max", "images", "undefined"]
    return rows.rename_axis(["metric", "method"])[columns].reset_index()


@by_groups
def tricks(
    scores: pd.DataFrame, n_bootstrap: Resamples = N_BOOTSTRAP, confidence: Confidence = 0.95, seed: Seed = 0
) -> pd.DataFrame:
    """Tell which metric can be fooled: what a manipulated map gets, beside the map that it was made of.

    Differences up to ``ROUNDING`` of the range of a metric's scores are none. p is corrected (Holm) over all metrics
    and manipulated maps, and counts as significant below 1 - confidence. Maps with faults of known strength are left to
    ``faults``, displaced ones are no tricks.

    Returns:
        A row per metric and manipulated method: metric, method, original_mean, mean, gain (positive where the
        manipulated map scores better), low, high (interval of the gain), p, fooled (True: a significant gain; False:
        no gain on any image, or an interval below 0; None where that is not sure).
    """
    manipulated = scores[is_manipulated(scores) & scores["strength"].isna()]
    originals = manipulated.drop_duplicates("method").set_index("method")["base"]
    tables, gains = by_metric(scores), {}
    for metric, direction in signs(scores).items():
        table = tables[metric]
        bases = {trick: originals[trick] for trick in table if trick in originals and originals[trick] in table}
        room = ROUNDING * np.ptp(table.to_numpy()[table.notna()]) if table.notna().any(axis=None) else 0
        differences = direction * (table[list(bases)] - table[list(bases.values())].to_numpy())
        gains[metric] = differences.mask(abs(differences) <= room, 0)
    intervals = mean_intervals(gains, n_bootstrap, confidence, seed)
    rows = []
    for metric, trick in intervals:
        gain, (low, high) = gains[metric][trick], intervals[metric, trick]
        means = {"original_mean": tables[metric][originals[trick]].mean(), "mean": tables[metric][trick].mean()}
        row = {"metric": metric, "method": trick, **means, "gain": gain.mean(), "low": low, "high": high}
        none = gain.notna().any() and not (gain > 0).any()
        rows.append(row | {"p": mean_test(gain.to_numpy()), "fooled": False if none or high <= 0 else None})
    columns = ["metric", "method", "original_mean", "mean", "gain", "low", "high", "p", "fooled"]
    table = pd.DataFrame(rows, columns=columns).astype({"fooled": object})
    table["p"] = holm(table["p"])
    return table.assign(fooled=table["fooled"].mask((table["p"] < 1 - confidence) & (table["gain"] > 0), True))


@by_groups
def stability(
    scores: pd.DataFrame, sizes: Sequence[int] | None = None, n_resamples: int = 1000, seed: Seed = 0
) -> pd.DataFrame:
    """Tell how stable the ranking of the methods is with fewer of these images, drawn without replacement.

    ``sizes`` are numbers of images; None takes 5, 10, 20, 50, ... up to half of them.

    Returns:
        A row per metric and size: metric, images, alpha (mean), alpha_low, alpha_high (their central 95 %); flips (the
        share of draws and pairs of methods in another order than by all images), best_changes (another method comes
        first); best and runner_up (of the explanations, by all images), pair_flips (the share of draws in which the
        best one is not ahead of the runner-up).
    """
    directions, explained = signs(scores), explanations(scores)
    rows, images = [], 0
    for metric, table in by_metric(scores).items():
        matrix = complete(table)
        asked = _sizes(len(matrix)) if sizes is None else sorted(n for n in sizes if n <= len(matrix))
        if min(matrix.shape) < 2 or not asked:
            continue
        values = directions[metric] * matrix.to_numpy()
        if len(matrix) != images:
            images = len(matrix)
            draws = _draws(images, asked[-1], n_resamples, seed)
        whole = values.mean(axis=0)
        places = [place for place, name in enumerate(matrix) if name in explained]
        places = places if len(places) > 1 else list(range(len(whole)))
        best, second = sorted(places, key=lambda place: -whole[place])[:2]
        for size, alphas in zip(asked, Rankings(ranks(matrix)).alphas(draws, asked), strict=True):
            means = _means(draws[:, :size], values)
            undefined = np.isnan(alphas).all()
            low, high = (np.nan, np.nan) if undefined else np.nanquantile(alphas, [0.025, 0.975])
            row = {"metric": metric, "images": size, "alpha": np.nan if undefined else np.nanmean(alphas)}
            row |= {"alpha_low": low, "alpha_high": high, "flips": _flips(means, whole)}
            row |= {"best_changes": (means.argmax(axis=1) != whole.argmax()).mean()}
            row |= {"best": matrix.columns[best], "runner_up": matrix.columns[second]}
            rows.append(row | {"pair_flips": (means[:, best] <= means[:, second]).mean()})
    columns = ["metric", "images", "alpha", "alpha_low", "alpha_high", "flips", "best_changes"]
    return pd.DataFrame(rows, columns=[*columns, "best", "runner_up", "pair_flips"])


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


def _flips(means: Floats, whole: Floats) -> float:
    a, b = np.triu_indices(len(whole), 1)
    order, parts = np.sign(whole[a] - whole[b]), (means[part] for part in blocks(len(means), len(a)))
    flips = sum(np.count_nonzero(np.sign(part[:, a] - part[:, b]) != order) for part in parts)
    return flips / (len(means) * len(a))
