"""Validity of metrics: held against metrics that know the truth, and against maps whose faults are known.

Both statistics take the groups of images ``by`` a column, cut by ``edges``, too; see ``grouping.groups``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from captum_gag.errors import InputError
from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import by_groups
from captum_gag.reliability.resampling import Confidence, Floats
from captum_gag.reliability.scores import by_metric, complete, explanations, is_manipulated

SEEN = 0.25
"""At most so many pairs in the wrong order, and a metric sees what makes them differ; by chance it is a half."""


@by_groups
def validity(
    scores: pd.DataFrame,
    truth: Sequence[str],
    confidence: Confidence = 0.95,
) -> pd.DataFrame:
    """Tell whether a metric ranks the explanations of an image as the truth does, and what its choice costs.

    The truth is a metric too, one that is given what the classifier relies on: the share of a map's saliency that lies
    there, or how well its values tell that part from the rest. Several truths are several readings of what is right: a
    metric may share the error of one, so that only what holds by each of them is to be relied on.

    Args:
        scores: A score table. With a column network, whose scores these are, the images of each network are its own,
            under names of their own, and intervals are about further networks, not further images of these.
        truth: The labels of the metrics that know the truth.
        confidence: Of the intervals, in (0, 1).

    Returns:
        A row per metric and truth:

        - wrong, wrong_low, wrong_high: the mean over images, then networks, of the share of pairs of explanations in
          the wrong order, of those that the truth tells apart, where equal scores count a half; see
          ``share_interval``.
        - pick and best: the method with the best mean score, and that with the best mean truth (of each network).
        - regret, regret_low, regret_high: how far the mean truth of the pick is below that of the best, in the truth's
          own unit; rank, the place of the pick by the truth; regret_by_chance, the regret of a method taken at random.
          All are means over networks. The interval is that of all differences from the pick at once, by Bonferroni's
          correction; of several networks, the wider of that and of Student's t over their regrets. Both err on the side
          of too much regret, since the best is found on the same images.
        - methods, images, networks: images that lack a score are left out; NaN for fewer than 2 methods, or 2 images.

    Raises:
        InputError: The scores are not a score table, a direction is not known, or no such metric is in it.
    """
    directions = signs(scores)
    if not truth or not set(truth) <= set(directions):
        raise InputError(f"truth is {list(truth)!r}, must be metrics of the scores, of {', '.join(directions)}.")
    networks = _networks(scores)
    explained = by_metric(scores[scores["method"].isin(explanations(scores))])
    tables = {metric: directions[metric] * complete(table) for metric, table in explained.items()}
    rows = []
    for metric, right_metric in ((one, other) for one in tables for other in truth if one != other):
        judged, right = tables[metric].align(tables.get(right_metric, tables[metric].iloc[:0]), join="inner")
        row = {"metric": metric, "truth": right_metric, "methods": judged.shape[1], "images": len(judged)}
        row |= {"networks": networks[judged.index].nunique()}
        if min(judged.shape) >= 2:
            wrong, low, high = _mean_wrong(judged, right, networks, confidence)
            row |= {"wrong": wrong, "wrong_low": low, "wrong_high": high}
            row |= _choice(judged, right, networks, confidence)
        rows.append(row)
    columns = ["metric", "truth", "wrong", "wrong_low", "wrong_high", "pick", "best", "regret", "regret_low"]
    columns += ["regret_high", "rank", "regret_by_chance", "methods", "images", "networks"]
    return pd.DataFrame(rows, columns=columns)


@by_groups
def faults(
    scores: pd.DataFrame,
    confidence: Confidence = 0.95,
) -> pd.DataFrame:
    """Tell which fault of a map a metric sees: whether it scores a map the worse, the stronger its fault.

    Args:
        scores: A score table whose column strength says of manipulated maps how much was done to them, above 0; that
            of the original, which the column base names, is 0. For a column network see ``validity``.
        confidence: Of the intervals, in (0, 1).

    Returns:
        A row per metric, base and fault: metric, base, fault; wrong, low, high, the mean over images of the share of
        pairs of strengths in the wrong order, where equal scores count a half, with its interval by ``share_interval``;
        found ("seen" where the interval lies at or below ``SEEN``, "partly" below a half, "rewarded" above, "unseen"
        where it holds a half); strengths, images. Images that lack a score are left out.

    Raises:
        InputError: The scores are not a score table, or a direction is not known.
    """
    directions, networks = signs(scores), _networks(scores)
    rows, series = [], list(_series(scores))
    tables = by_metric(scores) if series else {}
    for (base, fault), strengths in series:
        for metric, of_metric in tables.items():
            table = (directions[metric] * of_metric.reindex(columns=list(strengths))).dropna()
            quality = pd.DataFrame({method: -strength for method, strength in strengths.items()}, table.index)
            wrong, low, high = _mean_wrong(table, quality, networks, confidence)
            row = {"metric": metric, "base": base, "fault": fault, "strengths": len(strengths), "images": len(table)}
            rows.append(row | {"wrong": wrong, "low": low, "high": high, "found": _in_words(low, high)})
    columns = ["metric", "base", "fault", "wrong", "low", "high", "found", "strengths", "images"]
    return pd.DataFrame(rows, columns=columns)


def share_interval(shares: Floats, confidence: float, networks: Sequence[object] = ()) -> tuple[float, float]:
    """Return the interval of the mean of shares in [0, 1], one per image, by Student's t.

    Over the images, to which one with all wrong and one with none are added, as Agresti and Coull add successes and
    failures: where a fault is nearly always seen, the images do not say that it always is. With several networks, each
    with images of its own, also over the means of the networks, which vary by their images too; the wider of the two
    counts, since so few networks may be alike by chance.

    Returns:
        Lower and upper end within [0, 1]; 0 and 1 for no image.
    """
    added = np.append(shares, [0.0, 1.0])
    ends = [added.mean() + side * _reach(added, confidence) for side in (-1, 1)]
    of_networks = pd.Series(shares).groupby(list(networks)).mean().to_numpy() if len(networks) else np.array([])
    if len(of_networks) > 1:
        ends += [of_networks.mean() + side * _reach(of_networks, confidence) for side in (-1, 1)]
    return max(0.0, min(ends)), min(1.0, max(ends))


def _reach(values: Floats, confidence: float) -> float:
    """Return half the width of Student's t interval of a mean."""
    return float(t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def _networks(scores: pd.DataFrame) -> pd.Series:
    """Return the network of each image, one for all where no column says so."""
    column = scores["network"].fillna("") if "network" in scores else pd.Series("", scores.index)
    return column.groupby(scores["image"]).first()


def _mean_wrong(
    judged: pd.DataFrame, right: pd.DataFrame, networks: pd.Series, confidence: float
) -> tuple[float, float, float]:
    """Return the mean share of pairs in the wrong order, over images, then networks, and its interval."""
    shares = pd.Series(_wrong(judged.to_numpy(), right.to_numpy()), judged.index).dropna()
    low, high = share_interval(shares.to_numpy(), confidence, networks[shares.index])
    return float(shares.groupby(networks).mean().mean()), low, high


def _choice(judged: pd.DataFrame, right: pd.DataFrame, networks: pd.Series, confidence: float) -> dict[str, object]:
    """Return the cost, by the truth, of choosing the method with the best mean score; images x methods."""
    rows = []
    for _, scores in judged.groupby(networks, sort=False):
        truth = right.loc[scores.index]
        mean, quality = scores.mean(), truth.mean()
        # Of methods with the same mean a user may take any: the worst case counts.
        pick = quality[mean == mean.max()].idxmin()
        differences = truth.drop(columns=pick).sub(truth[pick], axis=0)
        # Which method is best is not certain either: the regret is the largest of all differences from the pick.
        level = 1 - (1 - confidence) / 2 / differences.shape[1]
        reach = t.ppf(level, max(len(truth) - 1, 1)) * differences.sem()
        row = {"pick": pick, "best": quality.idxmax(), "regret": quality.max() - quality[pick]}
        row |= {"rank": (quality > quality[pick]).sum() + 1, "regret_by_chance": quality.max() - quality.mean()}
        rows.append(row | {"low": (differences.mean() - reach).max(), "high": (differences.mean() + reach).max()})
    table = pd.DataFrame(rows)
    names = {name: ", ".join(dict.fromkeys(table.pop(name))) for name in ("pick", "best")}
    means, regrets = table.mean().to_dict(), table["regret"].to_numpy()
    low, high = means.pop("low"), means.pop("high")
    if len(table) > 1:
        reach = _reach(regrets, confidence)
        low, high = np.fmin(low, regrets.mean() - reach), np.fmax(high, regrets.mean() + reach)
    return {**names, **means, "regret_low": np.maximum(0.0, low), "regret_high": np.maximum(0.0, high)}


def _series(scores: pd.DataFrame) -> Iterator[tuple[tuple[str, str], dict[str, float]]]:
    """Yield base and fault, with the strength of each method, the base's first."""
    graded = scores[(scores["strength"] > 0) & is_manipulated(scores)].drop_duplicates("method")
    for (base, fault), rows in graded.groupby(["base", "transform"], sort=False):
        if base in set(scores["method"]):
            strengths = dict(zip(rows["method"], rows["strength"], strict=True))
            yield (base, fault), {base: 0.0, **strengths}


def _in_words(low: float, high: float) -> str:
    if high < 0.5:
        return "seen" if high <= SEEN else "partly"
    return "rewarded" if low > 0.5 else "unseen"


def _wrong(scores: Floats, right: Floats) -> Floats:
    """Return each row's share of pairs in the wrong order, of those that differ in ``right``."""
    wrong, pairs = np.zeros(len(scores)), np.zeros(len(scores))
    for first in range(scores.shape[1] - 1):
        order = np.sign(right[:, first, None] - right[:, first + 1 :])
        agreement = order * np.sign(scores[:, first, None] - scores[:, first + 1 :])
        wrong += ((1 - agreement) / 2 * (order != 0)).sum(axis=1)
        pairs += (order != 0).sum(axis=1)
    shares: Floats = np.divide(wrong, pairs, out=np.full(len(scores), np.nan), where=pairs > 0)
    return shares
