"""Random orderings: their means over the images, whether each is a method or all of them are one with a list."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from captum_gag.reliability.bootstrap import mean_interval
from captum_gag.reliability.lists import arrays, lengths
from captum_gag.reliability.scores import KEY, LABEL, checked, is_random

X_LABEL = "random ordering"
"""What ``curve_x_label`` says of a record whose ``curve_y`` are the scores of the orderings, one by one."""


def ordering_scores(scores: pd.DataFrame) -> NDArray[np.float64]:
    """Return the scores of the random orderings by one metric.

    Args:
        scores: Rows of one metric of a score table, as ``checked`` returns it. A random ordering is a method of its
            own; or all are one, whose rows have ``curve_x_label`` "random ordering" and their scores in ``curve_y``.

    Returns:
        Images x orderings, NaN where there is no score; of a random method without a list, an ordering.
    """
    random = scores[is_random(scores)]
    listed = _has_list(random)
    found = random[~listed].pivot(index="image", columns="method", values="score")
    if listed.any():
        lists = pd.DataFrame(arrays(random.loc[listed, "curve_y"]), index=pd.Index(random.loc[listed, "image"]))
        # An image that failed has no list, and no score either.
        found = lists.join(found.dropna(axis=1, how="all"))
    matrix: NDArray[np.float64] = found.to_numpy(dtype=float)
    return matrix


def ordering_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the images of each random ordering.

    Args:
        scores: A score table, as ``checked`` returns it; see ``ordering_scores`` for the forms of random orderings.

    Returns:
        metric, variant, steps, metric_label, ordering (counted from 0), score (the mean; NaN where no image has one).
    """
    return _means(checked(scores))


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``ordering_means`` of a checked table, or of some of its rows."""
    parts = []
    for label, rows in scores[is_random(scores)].groupby(LABEL, sort=False):
        with warnings.catch_warnings():
            # NumPy warns of means of nothing.
            warnings.simplefilter("ignore", RuntimeWarning)
            means = np.nanmean(ordering_scores(rows), axis=0)
        part = pd.DataFrame({"ordering": np.arange(len(means)), "score": means})
        known = rows.iloc[0]
        parts.append(part.assign(**{name: known[name] for name in KEY[2:]}, **{LABEL: label}))
    columns = [*KEY[2:], LABEL, "ordering", "score"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def random_bands(
    scores: pd.DataFrame, n_bootstrap: int, confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Return the band of the random orderings' means, by the label of the metric.

    Args:
        scores: As for ``ordering_means``.
        n_bootstrap: Resamples of the images, for the mean of a single ordering.
        confidence: The share of the means in the band, in (0, 1).
        seed: Of the resamples.

    Returns:
        The quantiles of the orderings' means; of a single ordering, the bootstrap interval of its mean.
    """
    bands, random = {}, scores[is_random(scores)]
    for metric, means in _means(random).groupby(LABEL, sort=False):
        if len(means) > 1:
            tail = (1 - confidence) / 2
            low, high = np.nanquantile(means["score"].to_numpy(), [tail, 1 - tail])
            bands[str(metric)] = float(low), float(high)
        else:
            single = ordering_scores(random[random[LABEL] == metric]).ravel()
            bands[str(metric)] = mean_interval(single[~np.isnan(single)], n_bootstrap, confidence, seed)
    return bands


def _has_list(random: pd.DataFrame) -> pd.Series:
    if "curve_x_label" not in random or "curve_y" not in random:
        return pd.Series(False, index=random.index)
    return (random["curve_x_label"] == X_LABEL).fillna(False).astype(bool) & (lengths(random["curve_y"]) > 0)
