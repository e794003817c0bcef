"""What one score per image hides behind its mean: spread, baselines, tricks, and how many images are enough.

All take a score table, the number of resamples and the seed of what they draw, the confidence of their intervals, and
the groups of images ``by`` a column, cut by ``edges``; see ``grouping.groups``. They raise InputError where the scores
are not a score table, or a direction is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import t

from captum_gag.reliability.arguments import Confidence, Resamples, Seed
from captum_gag.reliability.bootstrap import N_BOOTSTRAP, Floats, Indices, blocks, mean_intervals
from captum_gag.reliability.directions import known_bounds, signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.orderings import ordering_table
from captum_gag.reliability.paired import holm, least_p, mean_test
from captum_gag.reliability.rankings import Rankings
from captum_gag.reliability.scores import (
    LABEL,
    by_metric,
    complete,
    explanations,
    is_edges,
    is_manipulated,
    is_random,
    ranks,
)

ROUNDING = 1e-6
"""A difference up to this share of the range of a metric's scores is none."""


@by_groups
def summary(
    scores: pd.DataFrame, n_bootstrap: Resamples = N_BOOTSTRAP, confidence: Confidence = 0.95, seed: Seed = 0
) -> pd.DataFrame:
    """Return the distribution over images that a mean score hides (Tomsett et al., 2019: global variance).

    Returns:
        A row per metric and method: mean, low, high (see ``bootstrap.mean_intervals``), std, min, q1, median, q3, max,
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
def against_baselines(scores: pd.DataFrame, confidence: Confidence = 0.95) -> pd.DataFrame:
    """Tell which explanations beat random orderings and edge detection, which know nothing of the model.

    Both are paired over the images, and p is corrected (Holm) over the explanations. Against edges it is that of
    ``paired.mean_test``. Against K random orderings, the same ones for all images, the spread between them counts too:
    with d the difference to an image's mean over the orderings, the variance of mean d is

        var(d) / n + s^2 (1 + 1/K),

    s^2 the variance between the means of the orderings, less what the images leave open, and p is that of Student's t
    of K - 1 (at most n - 1) degrees of freedom. A random method is then called better in at most 5 % of tables, for any
    K; a single ordering cannot tell, and 39 are nearly as good as any number (``benchmarks/coverage.py``). p counts as
    significant below 1 - confidence.

    Returns:
        A row per metric and explanation: mean; random_orderings (how many), random_low, random_high (where the mean of
        another one lies), random_p, beats_random; edges (their mean), edges_p, beats_edges. A method beats a baseline
        (True), does not significantly (False), or is ahead of it but that cannot be told (None: a single ordering, or
        too few images for any scores to be significant; also without such a baseline).
    """
    methods, edge = explanations(scores), set(scores.loc[is_edges(scores), "method"])
    directions, random = signs(scores), dict(list(scores[is_random(scores)].groupby(LABEL, sort=False)))
    parts = []
    for metric, table in by_metric(scores).items():
        direction, explained = directions[metric], table[[name for name in table if name in methods]]
        detector = next((table[name] for name in table if name in edge), pd.Series(np.nan, table.index))
        orderings = ordering_table(random[metric]) if metric in random else pd.DataFrame(index=table.index)
        orderings = orderings.dropna(axis=1, how="all").dropna()
        low, high, p = _against_orderings(explained, orderings, confidence)
        rows = explained.mean().rename_axis("method").reset_index(name="mean").assign(metric=metric)
        rows = rows.assign(random_orderings=orderings.shape[1], random_low=low, random_high=high, edges=detector.mean())
        gains = explained.sub(orderings.mean(axis=1), axis=0)
        rows[["random_p", "beats_random"]] = _beats(direction * gains, p, confidence)
        gains = explained.sub(detector, axis=0)
        p = [mean_test(gain) for gain in gains.to_numpy().T]
        rows[["edges_p", "beats_edges"]] = _beats(direction * gains, p, confidence)
        parts.append(rows)
    columns = ["metric", "method", "mean", "random_orderings", "random_low", "random_high", "random_p", "beats_random"]
    return pd.concat(parts, ignore_index=True)[[*columns, "edges", "edges_p", "beats_edges"]]


def _against_orderings(
    table: pd.DataFrame, orderings: pd.DataFrame, confidence: float
) -> tuple[float, float, list[float]]:
    """Return the band of the means of further orderings, and p of each method; see ``against_baselines``."""
    n, k = orderings.shape
    if min(n, k) < 2:
        return np.nan, np.nan, [np.nan] * table.shape[1]
    means, of_image = orderings.mean(), orderings.mean(axis=1)
    rest = orderings.sub(of_image, axis=0) - (means - means.mean())
    within = (rest.to_numpy() ** 2).sum() / (n - 1) / (k - 1) / n
    between = max(0.0, means.var() - within) * (1 + 1 / k)
    gains = table.sub(of_image, axis=0)
    images = gains.count().clip(lower=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * t.sf(abs(gains.mean()) / np.sqrt(gains.var() / images + between), np.minimum(images, k) - 1)
    reach = t.ppf((1 + confidence) / 2, k - 1) * np.sqrt(means.var() * (1 + 1 / k))
    low, high = means.mean() - reach, means.mean() + reach
    return low, high, np.fmax(p, [least_p(gain) for gain in gains.to_numpy().T]).tolist()


def _beats(gains: pd.DataFrame, p: Sequence[float], confidence: float) -> pd.DataFrame:
    """Return p corrected over the methods, and whether each is better: None if it seems so, and could not be told."""
    corrected, least = holm(p), holm([least_p(gain) for gain in gains.to_numpy().T])
    ahead = gains.mean().to_numpy()
    beats = (corrected < 1 - confidence) & (ahead > 0)
    told = (ahead <= 0) | (~np.isnan(corrected) & (least < 1 - confidence))
    return pd.DataFrame({"p": corrected, "beats": np.where(told, beats.astype(object), None)})


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
