"""Blindness of metrics: classes for which the same map, moved by half the image, scores no worse."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import binom

from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.scores import LABEL, by_image, checked, collapsed, explanations, is_displaced

ENOUGH = 20
"""Images of a class that is judged by itself; the classes with fewer are judged together."""

LEVELS = (0.1, 0.5)
"""Probabilities on the baseline that part the classes with few images; above the second, they stay apart."""

OF_RANGE, OF_SCORE = 0.1, 0.05
"""Moving a map must cost this share of what separates the best and the worst explanation, and of the map's score."""

ALPHA = 0.05
FEWEST = 5
"""Images all of which can be won with p < ALPHA."""

COLUMNS = ["metric", "base", "classes", "images", "score", "displaced", "baseline_probability", "p", "sees"]


def displacement(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare the displaced control with the map that it was made of, by metric and class.

    A metric sees a class where the displaced map scores worse: on most images (one-sided sign test, p < 0.05), and on
    average by at least ``OF_RANGE`` of the range of the explanations' means and ``OF_SCORE`` of the map's own.

    The score table has displaced maps (``scores.DISPLACED``), and perhaps target, label and baseline_probability.

    Returns:
        A row per metric, base and class of at least ``ENOUGH`` images, or classes with fewer together (those that are
        probable on the metric's baseline apart): metric; base, whose map was moved; classes (list of names); images;
        score and displaced (means); baseline_probability (mean; NaN if not measured); p; sees (None where the displaced
        map scores worse, on too few images to tell). No row where there is no displaced map with a score.
    """
    return displacement_of(collapsed(checked(scores)))


def displacement_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``displacement`` of a table that is checked and collapsed."""
    moved = scores[is_displaced(scores)].drop_duplicates("method").set_index("method")["base"]
    compared, rows = explanations(scores), []
    for metric, higher in higher_is_better(scores).items() if len(moved) else ():
        sign = -1 if higher is False else 1
        table = sign * by_image(scores, metric)
        pairs = [(base, name) for name, base in moved.items() if {name, base} <= set(table)]
        for base, name in pairs if higher is not None else ():
            both = table[[base, name]].dropna()
            of_metric = scores[(scores[LABEL] == metric) & (scores["method"] == base)].set_index("image")
            for images, classes, chance in _classes(of_metric.loc[both.index]):
                own, other = both.loc[images, base], both.loc[images, name]
                means = table.loc[images, [method for method in compared if method in table]].mean()
                p = _p_worse(own - other)
                least = max(OF_RANGE * (means.max() - means.min()), OF_SCORE * abs(own.mean()))
                material = (own - other).mean() >= max(least, 1e-9)
                sees: bool | None = bool(p < ALPHA)
                if not material or (own > other).sum() <= (own < other).sum():
                    sees = False
                elif p >= ALPHA:
                    sees = None
                row = (metric, base, classes, len(images), sign * own.mean(), sign * other.mean(), chance, p, sees)
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"sees": object})


def _p_worse(gains: pd.Series) -> float:
    wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
    return float(binom.cdf(losses, wins + losses, 0.5)) if wins else 1.0


def _classes(images: pd.DataFrame) -> Iterator[tuple[pd.Index, list[str], float]]:
    """Images, names of their classes, and the mean probability on the baseline, of classes that are judged together."""
    chance = images.get("baseline_probability", pd.Series(np.nan, images.index)).astype(float)
    codes, values = pd.factorize(images.get("target", pd.Series(None, images.index, dtype=object)))
    target = pd.Series(codes, images.index)
    names = images.get("label", pd.Series("", images.index)).fillna("").astype(str)
    called = target.map(dict(enumerate(f"class {value}" for value in values))).fillna("all images")
    names = names.where(names.ne(""), called)
    counts, chances = target.map(target.value_counts()), target.map(chance.groupby(target).mean()).astype(float)
    # Classes with few images, from -2, improbable on the baseline, to -4.
    level = -2 - sum((chances >= probability).astype(int) for probability in LEVELS)
    for one, other in ((-3, -2), (-2, -3)):
        if (level[counts < ENOUGH] == one).sum() < FEWEST:
            level = level.mask(level == one, other)
    apart = target.where(counts >= ENOUGH, level)
    for _, rows in images.groupby(apart, sort=True):
        yield rows.index, list(dict.fromkeys(names[rows.index])), float(chance[rows.index].mean())
