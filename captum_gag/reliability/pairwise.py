"""Tests that are paired over images: all pairs of methods with one rate of error, single mean differences, Holm."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, t

from captum_gag.errors import InputError, shown
from captum_gag.options import checked as with_checked_arguments
from captum_gag.options import unknown
from captum_gag.reliability.directions import higher_is_better, known_bounds
from captum_gag.reliability.resampling import (
    ALIKE,
    N_BOOTSTRAP,
    Confidence,
    Floats,
    Indices,
    Resamples,
    Seed,
    blocks,
    moments,
)
from captum_gag.reliability.resampling import FEWEST as FEWEST_OF_INTERVALS
from captum_gag.reliability.scores import by_metric, checked, collapsed, explanations, ranked_methods

ALPHA = 0.05
"""Probability of a wrong decision by a metric."""

FEWEST = 20
"""Images below which nothing is decided: of fewer, the mean of skewed scores is too often misjudged."""

MANY = 2000
"""Images above which means are taken as normal, instead of resampled."""

ROUNDING = 1e-9
"""Two scores of an image are equal if they differ by at most this share of the larger one."""

ALIKE_ENOUGH = 20
"""Images from which on differences that are all alike count: of fewer, 15 % that are others are missed too often."""

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
    """Compare methods pair by pair, over the images that all of them have a score for.

    A method is better than another if its mean is, by an interval of the mean difference that holds for all pairs of
    the metric together (bootstrap-t), and if it is better on most of the images on which they differ (exact sign test).
    Each of the two has half of alpha. Both are asked because either alone can be true while the other is not: a few
    images decide a mean of skewed scores, and a share of images says nothing of how much is lost on the others.

    Args:
        scores: A score table, see ``read_scores``. Left out are the methods without any score by a metric, and metrics
            of which it is not known whether higher is better.
        methods: Labels of the methods. None compares the explanations with each other, and with random orderings and
            edges.
        alpha: Probability of a wrong decision by a metric, in (0, 1).
        margin: Mean differences up to this are of no practical importance, in units of the score; or by metric. None
            decides nothing to be the same.
        n_bootstrap: Resamples of the images.
        seed: Of the resamples.

    Returns:
        Two rows for each pair, one in either order: metric, method, rival; images; mean and rival_mean; difference, the
        mean difference, positive where the method is better; low and high, its simultaneous interval (NaN where there
        is none); wins, losses, ties; p, of both tests, below alpha where they decide (NaN where they cannot); testable,
        whether ``FEWEST`` images or more, of which enough differ, could decide; decision, "better", "worse", "same"
        (low and high are within the margin) or "open".

    Raises:
        InputError: The scores are not a score table, or two methods that are in it are not named.
    """
    require_resolved(alpha, n_bootstrap)
    widths = margin.values() if isinstance(margin, Mapping) else () if margin is None else (margin,)
    if not all(width >= 0 for width in widths):
        raise InputError(f"margin is {shown(margin)}, must be a difference of scores, at least 0")
    scores = collapsed(checked(scores))
    compared = ranked_methods(scores) if methods is None else list(methods)
    controls = [] if methods is not None else [name for name in compared if name not in explanations(scores)]
    everyone = list(map(str, scores["method"].unique()))
    for name in compared:
        if name not in everyone:
            raise unknown("method", name, everyone)
    if len(set(compared)) < 2:
        raise InputError(f"methods are {shown(compared)}; they must be two different ones at least")
    directions, ranges, parts = higher_is_better(scores), known_bounds(scores), []
    for metric, whole in by_metric(scores).items():
        if directions[metric] is None:
            continue
        sign = 1 if directions[metric] else -1
        table = sign * shared(whole, compared)
        part = compare_pairs(table, pairs_of(table, controls), alpha, n_bootstrap, seed).assign(metric=metric)
        if metric in ranges:
            # A difference of scores within a range is no larger than it.
            most = ranges[metric][1] - ranges[metric][0]
            part = part.assign(low=part["low"].clip(lower=-most), high=part["high"].clip(upper=most))
        width = margin.get(metric) if isinstance(margin, Mapping) else margin
        if width is not None:
            alike = part["low"].gt(-width) & part["high"].lt(width)
            part["decision"] = part["decision"].mask(alike, "same")
        part = part.assign(mean=sign * part["mean"], rival_mean=sign * part["rival_mean"])
        parts += [part, turned(part)]
    pairs = pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)
    pairs.attrs["alpha"] = alpha
    return pairs


def require_resolved(alpha: float, n_bootstrap: int) -> None:
    """Raise InputError where no test could be as sure as alpha asks, since p is at least 2 / (n_bootstrap + 1)."""
    if 2 / (n_bootstrap + 1) >= alpha:
        raise InputError(
            f"alpha is {alpha:g}, of which {n_bootstrap} resamples cannot be sure; give n_bootstrap of more than "
            f"{int(2 / alpha)}"
        )


def shared(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Scores of some methods by one metric, images x methods, of the images that all of those with any score have."""
    return table.reindex(columns=list(methods)).dropna(axis=1, how="all").dropna(axis=0, how="any")


def pairs_of(methods: Iterable[str], controls: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of methods that are asked about: all but those of two controls."""
    return [pair for pair in combinations(methods, 2) if not {*pair} <= {*controls}]


def compare_pairs(
    table: pd.DataFrame, pairs: Sequence[tuple[str, str]], alpha: float, n_bootstrap: int, seed: int
) -> pd.DataFrame:
    """Test pairs of columns of a table, images x methods, higher is better, without gaps.

    Returns a row per pair, with the columns of ``pairwise`` but metric; any decision is wrong with probability alpha.
    """
    methods, rivals = [method for method, _ in pairs], [rival for _, rival in pairs]
    values, first, second = table.to_numpy(float), *(table.columns.get_indexer(side) for side in (methods, rivals))
    gains, n = values[:, first] - values[:, second], len(values)
    sizes = np.maximum(np.abs(values[:, first]), np.abs(values[:, second]))
    differ = np.abs(gains) > ROUNDING * sizes
    wins, losses = (differ & (gains > 0)).sum(axis=0), (differ & (gains < 0)).sum(axis=0)
    means = values.mean(axis=0) if n else np.full(values.shape[1], np.nan)
    difference = gains.mean(axis=0) if n else np.full(len(pairs), np.nan)
    reach, p_mean = _simultaneous(gains, values, (first, second), alpha / 2, n_bootstrap, seed)
    p = np.maximum(np.minimum(1, 2 * p_mean), sign_test(wins, losses))
    agree = np.sign(difference) == np.sign(wins - losses)
    testable = (n >= FEWEST) & (sign_test(wins + losses, 0 * wins) < alpha)
    p = np.where(testable, np.where(agree, p, 1.0), np.nan)
    decision = np.where(p < alpha, np.where(difference > 0, "better", "worse"), "open")
    return pd.DataFrame(
        {
            "method": methods,
            "rival": rivals,
            "images": n,
            "mean": means[first],
            "rival_mean": means[second],
            "difference": difference,
            "low": difference - reach,
            "high": difference + reach,
            "wins": wins,
            "losses": losses,
            "ties": n - wins - losses,
            "p": p,
            "testable": testable,
            "decision": decision,
        }
    )


def _simultaneous(
    gains: Floats, values: Floats, sides: tuple[Indices, Indices], alpha: float, n_bootstrap: int, seed: int
) -> tuple[Floats, Floats]:
    """Half widths of the simultaneous intervals of mean differences, and p values that go with them.

    The largest studentised mean of a resample, each divided by its own quantile so that no pair of skewed scores makes
    the intervals of the others wide, stands in for the largest deviation (Romano & Wolf, 2005).
    ``gains``, images x pairs, are the differences of two columns, ``sides``, of ``values``, images x methods. Any
    interval misses its mean with probability alpha.
    """
    n, pairs = gains.shape
    reach, p = np.full(pairs, np.nan), np.ones(pairs)
    if n < 2 or not pairs:
        return reach, p
    mean, variance = gains.mean(axis=0), gains.var(axis=0)
    scale = np.square(values).mean(axis=0)
    varied = variance > ALIKE * np.maximum(scale[sides[0]], scale[sides[1]])
    error = np.sqrt(variance / (n - 1))
    p[~varied & (np.abs(mean) > 0)] = 0.0
    if not varied.any():
        return reach, p
    rng, centred = np.random.default_rng(seed), (gains - mean)[:, varied]
    if n > MANY:
        # Differences of normal means of the methods.
        drawn = rng.multivariate_normal(np.zeros(values.shape[1]), np.cov(values.T), n_bootstrap, method="eigh")
        pivots = np.abs(drawn[:, sides[0]] - drawn[:, sides[1]])[:, varied] / np.sqrt(variance[varied])
    else:
        pivots = np.concatenate(
            [
                _pivots(centred, rng.multinomial(n, np.full(n, 1 / n), size=rows.stop - rows.start), variance[varied])
                for rows in blocks(n_bootstrap, max(n, len(centred.T)))
            ]
        )
    own = np.quantile(pivots, 1 - alpha, axis=0, method="higher")
    # A pair of which resamples are often all alike has no interval, and must not cost the others theirs.
    bounded = np.isinf(pivots).mean(axis=0) < alpha / (4 * pairs)
    if not bounded.any():
        return reach, p
    largest = np.sort((pivots[:, bounded] / own[bounded]).max(axis=1))
    place = np.flatnonzero(varied)[bounded]
    reach[place] = np.quantile(largest, 1 - alpha, method="higher") * own[bounded] * error[place]
    statistic = np.abs(mean[place]) / error[place] / own[bounded]
    p[place] = 1 - np.searchsorted(largest, statistic) / (len(largest) + 1)
    return reach, p


def _pivots(centred: Floats, times: NDArray[np.int_], variance: Floats) -> Floats:
    """Sizes of the studentised means of resamples, resamples x pairs; infinite where a resample is all alike."""
    n, weights = len(centred), times.astype(float)
    means = weights @ centred / n
    spread = weights @ np.square(centred) / n - np.square(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        studentised = np.abs(means) / np.sqrt(np.maximum(spread, 0) / (n - 1))
    return np.where(spread <= ALIKE * variance, np.inf, studentised)


def turned(tests: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``pairwise`` with method and rival exchanged."""
    pairs = {"method": "rival", "mean": "rival_mean", "wins": "losses", "low": "high"}
    names = {**pairs, **{b: a for a, b in pairs.items()}}
    signed = tests.assign(**{name: -tests[name] for name in ("difference", "low", "high")})
    return signed.assign(decision=tests["decision"].replace({"better": "worse", "worse": "better"})).rename(
        columns=names
    )


def sign_test(wins: NDArray[np.int_], losses: NDArray[np.int_]) -> Floats:
    """Two-sided p values of the exact sign test; 1 where nothing differs."""
    return np.asarray(np.minimum(1.0, 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)), dtype=float)


def least_p(differences: Floats) -> float:
    """Return the least p that a test of so many untied images can have: all have the same sign by chance.

    That is 2^(1 - untied), as of Wilcoxon's test: three untied images of forty never reject. NaN does not count; it is
    what comes back where there is nothing else.
    """
    values = differences[~np.isnan(differences)]
    if len(values) < FEWEST_OF_INTERVALS:
        return 1.0 if len(values) else np.nan
    return float(min(1.0, 2.0 ** (1 - np.count_nonzero(values))))


def mean_test(differences: Floats) -> float:
    """Return the two-sided p of the mean of one difference per image being 0, NaN being left out.

    Student's t, rid of skewness by Hall's (1992) transformation g(t) = t + a t^2 / 3 + a^2 t^3 / 27 + a / 6, with a the
    skewness over sqrt n. It is at least ``least_p``, which it is where the differences of 20 images or more are all
    alike, and else twice the share of draws of so many images that hold the commonest difference alone: what they miss
    may be missing here. It holds its level as bootstrap-t does (``benchmarks/coverage.py``), and draws nothing.
    """
    values, least = differences[~np.isnan(differences)], least_p(differences)
    if not least < 1:
        return least
    n, [middle], [error], [skew] = moments(values[:, None])
    if error == 0:
        return least if n >= ALIKE_ENOUGH else 1.0
    ratio = middle / error
    straight = ratio + skew * ratio**2 / 3 + skew**2 * ratio**3 / 27 + skew / 6
    commonest = np.unique(values, return_counts=True)[1].max() / n
    return float(min(1.0, max(least, 2 * commonest**n, 2 * t.sf(abs(straight), n - 1))))


def holm(p: ArrayLike) -> Floats:
    """Correct p values for being several (Holm, 1979); NaN stays and does not count."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    tests = np.count_nonzero(~np.isnan(values)) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.fmax.accumulate(values[order] * tests))
    corrected[np.isnan(values)] = np.nan
    return corrected
