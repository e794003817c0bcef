"""Which of two methods is better on most images, for all pairs of methods, with one rate of error for all pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binom

from captum_gag.errors import InputError, shown
from captum_gag.options import checked as with_checked_arguments
from captum_gag.options import unknown
from captum_gag.reliability.arguments import Confidence, Resamples, Seed
from captum_gag.reliability.bootstrap import N_BOOTSTRAP, Floats, mean_intervals
from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.scores import by_metric, checked, explanations

ALPHA = 0.05
"""Probability of a wrong decision on any pair of methods of a metric."""

ROUNDING = 1e-9
"""Two scores of an image are equal if they differ by at most this share of the larger one."""

COLUMNS = ["metric", "method", "rival", "images", "mean", "rival_mean", "difference", "low", "high"]
COLUMNS += ["wins", "losses", "ties", "p", "testable", "decision"]


@with_checked_arguments
def pairwise(
    scores: pd.DataFrame,
    methods: Sequence[str] | None = None,
    *,
    alpha: Confidence = ALPHA,
    margin: float | Mapping[str, float] | None = None,
    n_bootstrap: Resamples = N_BOOTSTRAP,
    seed: Seed = 0,
) -> pd.DataFrame:
    """Compare every two methods over the images that all of them have a score for.

    A method is better than another if it scores better on most of the images on which they differ. That is tested by
    the sign test, two-sided and exact for any distribution of scores, with Holm's correction over the pairs of a
    metric: the probability of any wrong decision by a metric is at most alpha.

    Args:
        scores: A score table, see ``read_scores``. Left out are the methods without any score by a metric, and metrics
            of which it is not known whether higher is better.
        methods: Labels of the methods. None compares all explanations; controls can be named.
        alpha: Probability of a wrong decision by a metric, in (0, 1).
        margin: Mean differences up to this are of no practical importance, in units of the score; or by metric. None
            decides nothing to be the same.
        n_bootstrap: Resamples of the images, for the intervals of the mean differences.
        seed: Of the resamples.

    Returns:
        Two rows for each pair, one in either order: metric, method, rival; images; mean and rival_mean; difference, the
        mean difference, positive where the method is better; low and high, its interval by bootstrap-t, at confidence
        1 - alpha for all pairs of the metric together (NaN for too few images); wins, losses, ties; p of the sign test,
        corrected; testable, whether any scores of so many untied images could give p < alpha; decision, "better",
        "worse", "same" (not decided, and low and high within the margin) or "open".

    Raises:
        InputError: The scores are not a score table, or two methods that are in it are not named.
    """
    scores = checked(scores)
    compared = explanations(scores) if methods is None else list(methods)
    everyone = list(map(str, scores["method"].unique()))
    for name in compared:
        if name not in everyone:
            raise unknown("method", name, everyone)
    if len(set(compared)) < 2:
        raise InputError(f"methods are {shown(compared)}; they must be two different ones at least")
    directions, parts = higher_is_better(scores), []
    for metric, whole in by_metric(scores).items():
        if directions[metric] is None:
            continue
        sign = 1 if directions[metric] else -1
        table = sign * shared(whole, compared)
        part = signs_of(table, list(combinations(table, 2)), alpha)
        part = part.assign(low=np.nan, high=np.nan, metric=metric)
        if len(part) and len(table) > 1:
            pairs = part[["method", "rival"]].itertuples(index=False)
            gains = pd.DataFrame({str(row): table[a] - table[b] for row, (a, b) in enumerate(pairs)})
            ends = mean_intervals({"": gains}, n_bootstrap, 1 - alpha / len(part), seed)
            part[["low", "high"]] = [ends["", row] for row in gains]
        width = margin.get(metric) if isinstance(margin, Mapping) else margin
        if width is not None:
            alike = part["decision"].eq("open") & part["low"].gt(-width) & part["high"].lt(width)
            part["decision"] = part["decision"].mask(alike, "same")
        part = part.assign(mean=sign * part["mean"], rival_mean=sign * part["rival_mean"])
        parts += [part, turned(part)]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def shared(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Scores of some methods by one metric, images x methods, of the images that all of those with any score have."""
    return table.reindex(columns=list(methods)).dropna(axis=1, how="all").dropna(axis=0, how="any")


def signs_of(table: pd.DataFrame, pairs: Sequence[tuple[str, str]], alpha: float) -> pd.DataFrame:
    """Sign tests of pairs of methods, a row for each.

    Args:
        table: Images x methods, higher is better; an image with a NaN in either of a pair does not count for it.
        pairs: Of its columns.
        alpha: Probability of any wrong decision.
    """
    rows = []
    for method, rival in pairs:
        both = table[[method, rival]].dropna().to_numpy()
        gains = both[:, 0] - both[:, 1]
        differ = np.abs(gains) > ROUNDING * np.abs(both).max(axis=1, initial=0)
        wins, losses = int((differ & (gains > 0)).sum()), int((differ & (gains < 0)).sum())
        mean, rival_mean = both.mean(axis=0) if len(both) else (np.nan, np.nan)
        counts = (len(both), wins, losses, len(both) - wins - losses)
        rows.append((method, rival, mean, rival_mean, mean - rival_mean, *counts))
    names = ["method", "rival", "mean", "rival_mean", "difference", "images", "wins", "losses", "ties"]
    tests = pd.DataFrame(rows, columns=names)
    untied = tests["wins"] + tests["losses"]
    tests["p"] = holm(sign_test(tests["wins"], tests["losses"]))
    tests["testable"] = holm(sign_test(untied, 0 * untied)) < alpha
    better = np.where(tests["wins"] > tests["losses"], "better", "worse")
    return tests.assign(decision=np.where(tests["p"] < alpha, better, "open"))


def turned(tests: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``pairwise`` with method and rival exchanged."""
    swapped = {"method": "rival", "mean": "rival_mean", "wins": "losses"}
    other = tests.rename(columns={**swapped, **{b: a for a, b in swapped.items()}})
    other = other.assign(decision=other["decision"].replace({"better": "worse", "worse": "better"}))
    ends = {"low": -tests["high"], "high": -tests["low"]} if "low" in tests else {}
    return other.assign(difference=-tests["difference"], **ends)


def sign_test(wins: ArrayLike, losses: ArrayLike) -> Floats:
    """P values of the exact two-sided sign test; 1 where nothing differs."""
    won, lost = np.asarray(wins, dtype=int), np.asarray(losses, dtype=int)
    fewer, n = np.minimum(won, lost), won + lost
    return np.asarray(np.minimum(1.0, 2 * binom.cdf(fewer, n, 0.5)), dtype=float)


def holm(p_values: ArrayLike) -> Floats:
    """P values corrected for being several (Holm, 1979); NaN stays and does not count."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected
