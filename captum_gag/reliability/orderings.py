"""Random orderings: their scores and means, whether each is a method or all of them are one with a list."""

from __future__ import annotations

import pandas as pd

from captum_gag.reliability.bootstrap import Floats
from captum_gag.reliability.lists import arrays, lengths
from captum_gag.reliability.scores import KEY, LABEL, checked, is_random

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


def ordering_scores(scores: pd.DataFrame) -> Floats:
    """Return ``ordering_table`` as an array."""
    values: Floats = ordering_table(scores).to_numpy(dtype=float)
    return values


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
