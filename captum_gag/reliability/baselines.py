"""Random orderings and edge detection, which know nothing of the model: their scores, and which methods beat them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.lists import arrays, lengths
from captum_gag.reliability.pairwise import holm, least_p, mean_test
from captum_gag.reliability.resampling import Confidence
from captum_gag.reliability.scores import KEY, LABEL, by_metric, checked, explanations, is_edges, is_random

X_LABEL = "random ordering"
"""What ``curve_x_label`` says of a record whose ``curve_y`` are the scores of the orderings, one by one."""


def ordering_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of the random orderings by one metric, images x orderings, NaN where there is none.

    Args:
        scores: Rows of one metric of a checked score table. A random ordering is a method of its own; or all are one,
            whose rows have ``curve_x_label`` "random ordering" and their scores in ``curve_y``. A random method
            without a list is one ordering.
    """
    random = scores[is_random(scores)]
    listed = pd.Series(False, random.index)
    if "curve_x_label" in random and "curve_y" in random:
        # An image that failed has no list, and no score either.
        listed = (random["curve_x_label"] == X_LABEL).fillna(False).astype(bool) & (lengths(random["curve_y"]) > 0)
    table = random[~listed].pivot(index="image", columns="method", values="score")
    if listed.any():
        lists = pd.DataFrame(arrays(random.loc[listed, "curve_y"]), index=pd.Index(random.loc[listed, "image"]))
        table = lists.join(table.dropna(axis=1, how="all"))
    return table.astype(float)


def ordering_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the images of each random ordering.

    Returns:
        metric, variant, steps, metric_label, ordering (counted from 0), score (the mean; NaN where no image has one).
    """
    columns, parts = [*KEY[2:], LABEL, "ordering", "score"], []
    scores = checked(scores)
    for _, rows in scores[is_random(scores)].groupby(LABEL, sort=False):
        means = ordering_table(rows).mean().to_numpy()
        setting = rows.iloc[0][[*KEY[2:], LABEL]].to_dict()
        parts.append(pd.DataFrame({"ordering": range(len(means)), "score": means}).assign(**setting))
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


@by_groups
def against_baselines(scores: pd.DataFrame, confidence: Confidence = 0.95) -> pd.DataFrame:
    """Tell which explanations beat random orderings and edge detection, which know nothing of the model.

    Both are paired over the images, and p is corrected (Holm) over the explanations. Against edges it is that of
    ``mean_test``. Against K random orderings, the same ones for all images, the spread between them counts too: with d
    the difference to an image's mean over the orderings, the variance of mean d is

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
