"""Is a metric right? Held against metrics that know the truth, and against maps whose faults are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata, t

from captum_gag.errors import InputError
from captum_gag.reliability.arguments import Confidence, Resamples, Seed
from captum_gag.reliability.bootstrap import N_BOOTSTRAP, Floats, Indices, counts, interval
from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.scores import by_metric, complete, is_manipulated

SEEN = 0.25
"""At most so many pairs in the wrong order, and a metric sees what makes them differ; by chance it is a half."""


@by_groups
def validity(
    scores: pd.DataFrame,
    truth: Sequence[str],
    n_bootstrap: Resamples = N_BOOTSTRAP,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell whether a metric ranks the methods as the truth does, on each image and over the means.

    The truth is a metric too, one that is given what the classifier relies on: the share of a map's saliency that lies
    there, or how well its values tell that part from the rest.

    Args:
        scores: A score table.
        truth: The labels of the metrics that know the truth.
        n_bootstrap: Resamples of the images.
        confidence: Of the intervals, in (0, 1).
        seed: Of the resamples.
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric, truth and group of maps, "all" or "explanations" (no controls, no manipulated maps): metric,
        truth, maps; rho, rho_low, rho_high, the mean over images of Spearman's correlation over methods; wrong,
        wrong_low, wrong_high, the mean share of pairs of methods in the wrong order, of those that the truth tells
        apart, where equal scores count a half, both with their intervals by ``share_interval``; rho_means, means_low,
        means_high, the correlation of the mean scores, with its percentile bootstrap interval; methods, images. Images
        that lack a score are left out; NaN for fewer than 2 methods, or 2 images.

    Raises:
        InputError: The scores are not a score table, a direction is not known, or no such metric is in it.
    """
    directions = signs(scores)
    missing = [each for each in truth if each not in directions]
    if missing or not truth:
        known = ", ".join(directions)
        raise InputError(f"truth is {list(truth)!r}; expected labels of metrics of the scores, of {known}")
    explains = (scores["control"] == "") & ~is_manipulated(scores)
    rows = []
    for name, part in {"all": scores, "explanations": scores[explains]}.items():
        tables = {metric: directions[metric] * table for metric, table in by_metric(part).items()}
        for metric, known_as in ((one, other) for one in tables for other in truth if one != other):
            judged, right = _alike(tables[metric], tables.get(known_as, tables[metric].iloc[:0]))
            row = {"metric": metric, "truth": known_as, "maps": name, "methods": judged.shape[1], "images": len(judged)}
            if min(judged.shape) >= 2:
                row |= _of_images(_correlations(judged, right), _wrong(judged, right), confidence)
                row |= _of_means(judged, right, n_bootstrap, confidence, seed)
            rows.append(row)
    columns = ["metric", "truth", "maps", "rho", "rho_low", "rho_high", "wrong", "wrong_low", "wrong_high"]
    return pd.DataFrame(rows, columns=[*columns, "rho_means", "means_low", "means_high", "methods", "images"])


@by_groups
def faults(
    scores: pd.DataFrame,
    confidence: Confidence = 0.95,
    *,
    by: str | None = None,
    edges: Sequence[float] = (),
) -> pd.DataFrame:
    """Tell which fault of a map a metric sees: whether it scores a map the worse, the stronger its fault.

    Args:
        scores: A score table whose column strength says of manipulated maps how much was done to them, above 0; that
            of the original, which the column base names, is 0.
        confidence: Of the intervals, in (0, 1).
        by: A column by which images are grouped, for the table of each group; see ``groups``.
        edges: What cuts that column into ranges.

    Returns:
        A row per metric, base and fault: metric, base, fault; wrong, low, high, the mean over images of the share of
        pairs of strengths in the wrong order, where equal scores count a half, with its interval by ``share_interval``;
        found ("seen" where the interval lies at or below ``SEEN``, "partly" below a half, "rewarded" above, "unseen"
        where it holds a half); strengths, images. Images that lack a score are left out.

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    directions = signs(scores)
    rows, series = [], list(_series(scores))
    tables = by_metric(scores) if series else {}
    for (base, fault), strengths in series:
        for metric, whole in tables.items():
            table = (directions[metric] * whole.reindex(columns=list(strengths))).dropna()
            quality = np.broadcast_to(-np.array(list(strengths.values())), table.shape)
            found = _wrong(table.to_numpy(), quality)
            low, high = share_interval(found, confidence)
            row = {"metric": metric, "base": base, "fault": fault, "strengths": len(strengths), "images": len(table)}
            row |= {"wrong": found.mean() if len(found) else np.nan, "low": low, "high": high}
            rows.append(row | {"found": _in_words(low, high)})
    columns = ["metric", "base", "fault", "wrong", "low", "high", "found", "strengths", "images"]
    return pd.DataFrame(rows, columns=columns)


def _series(scores: pd.DataFrame) -> Iterator[tuple[tuple[str, str], dict[str, float]]]:
    """Yield base and fault, with the strength of each method, the base's first."""
    graded = scores[(scores["strength"] > 0) & is_manipulated(scores)].drop_duplicates("method")
    for (base, fault), rows in graded.groupby(["base", "transform"], sort=False):
        if base in set(scores["method"]):
            strengths = dict(zip(rows["method"], rows["strength"], strict=True))
            yield (base, fault), {base: 0.0, **strengths}


def share_interval(shares: Floats, confidence: float) -> tuple[float, float]:
    """Return the interval of the mean of shares in [0, 1], one per image, by Student's t.

    An image with all wrong and one with none are added, as Agresti and Coull add successes and failures: where a fault
    is nearly always seen, the images do not say that it always is.

    Returns:
        Lower and upper end within [0, 1]; 0 and 1 for no image.
    """
    added = np.concatenate([shares, [0.0, 1.0]])
    reach = t.ppf((1 + confidence) / 2, len(added) - 1) * added.std(ddof=1) / np.sqrt(len(added))
    return max(0.0, added.mean() - reach), min(1.0, added.mean() + reach)


def _in_words(low: float, high: float) -> str:
    if high < 0.5:
        return "seen" if high <= SEEN else "partly"
    return "rewarded" if low > 0.5 else "unseen"


def _alike(one: pd.DataFrame, other: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return two matrices, images x methods, of the same images and methods, without gaps."""
    one, other = complete(one), complete(other)
    methods = one.columns.intersection(other.columns)
    images = one.index.intersection(other.index)
    return one.loc[images, methods].to_numpy(), other.loc[images, methods].to_numpy()


def _correlations(one: Floats, other: Floats) -> Floats:
    """Return Spearman's correlation of each row of one with the same row of the other; NaN where one is constant."""
    ranked = [rankdata(each, axis=1) for each in (one, other)]
    first, second = (each - each.mean(axis=1, keepdims=True) for each in ranked)
    with np.errstate(invalid="ignore"):
        norms = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        found: Floats = (first * second).sum(axis=1) / np.where(norms > 0, norms, np.nan)
    return found


def _wrong(scores: Floats, right: Floats) -> Floats:
    """Return of each row the share of pairs in the wrong order, of those that differ in what is right."""
    wrong, pairs = np.zeros(len(scores)), np.zeros(len(scores))
    for first in range(scores.shape[1] - 1):
        order = np.sign(right[:, first, None] - right[:, first + 1 :])
        agreement = order * np.sign(scores[:, first, None] - scores[:, first + 1 :])
        wrong += ((1 - agreement) / 2 * (order != 0)).sum(axis=1)
        pairs += (order != 0).sum(axis=1)
    shares: Floats = np.divide(wrong, pairs, out=np.full(len(scores), np.nan), where=pairs > 0)
    return shares


def _of_images(correlations: Floats, wrong: Floats, confidence: float) -> dict[str, float]:
    """Return the means over images, of those that have one, with their intervals."""
    row: dict[str, float] = {}
    # A correlation is a share of [-1, 1].
    for name, values, lowest, width in (("rho", correlations, -1, 2), ("wrong", wrong, 0, 1)):
        known = values[~np.isnan(values)]
        low, high = share_interval((known - lowest) / width, confidence)
        row |= {name: known.mean() if len(known) else np.nan}
        row |= {f"{name}_low": lowest + width * low, f"{name}_high": lowest + width * high}
    return row


def _of_means(scores: Floats, right: Floats, n_bootstrap: int, confidence: float, seed: int) -> dict[str, float]:
    """Return the correlation of the mean scores with the mean of what is right, and its interval."""

    def correlation(drawn: Indices) -> Floats:
        times = counts(drawn, len(scores)) / drawn.shape[1]
        return _correlations(times @ scores, times @ right)[:, None]

    [low], [high] = interval(correlation, len(scores), n_bootstrap, confidence, seed)
    [found] = _correlations(scores.mean(axis=0)[None], right.mean(axis=0)[None])
    return {"rho_means": found, "means_low": low, "means_high": high}
