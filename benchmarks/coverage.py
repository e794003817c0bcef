"""Which intervals of alpha and of means hold what they promise: the share of simulated tables whose truth they contain.

    python benchmarks/coverage.py [--tables 2000] [--draws 1000] [--csv FILE]

Alpha: images score methods as evenly spaced true values plus noise, so strong that alpha over endlessly many images is
0, 0.3, 0.6 or 0.9. Candidates are the percentile bootstrap, BCa and bootstrap-t over images (on a tenth of the tables),
and the jackknife with Student's t: plain, on the scales log(1 - alpha) and artanh(alpha), and with images added that
tie all methods. Means: of normal scores, and of skewed ones, Beta(1/2, 3), as probabilities of a class are. The
percentile bootstrap, Student's t, bootstrap-t, and of many images the expansion that ``reliability`` has in its place.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, t

from captum_gag.reliability.bootstrap import mean_intervals

Floats = NDArray[np.float64]
Ends = tuple[Floats, Floats]

IMAGES = (3, 5, 8, 10, 15, 20, 30, 50, 100, 300)
MANY = 5000
METHODS = (3, 4, 10)
ALPHAS = (0.0, 0.3, 0.6, 0.9)
CONFIDENCES = (0.95, 0.999)


def rankings(effect: float, tables: int, images: int, methods: int, generator: np.random.Generator) -> Floats:
    """Return centred ranks of unit length, (tables, images, methods)."""
    truth = np.linspace(-1, 1, methods)
    scores = effect * truth + generator.normal(size=(tables, images, methods))
    centred = scores.argsort(-1).argsort(-1) - (methods - 1) / 2
    return centred / np.sqrt((centred[:1, :1] ** 2).sum())


def effect_of(alpha: float, methods: int) -> float:
    """Return how far apart the true values are for which alpha is this over endlessly many images."""
    low, high = 0.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        mean = rankings(middle, 1, 100_000, methods, np.random.default_rng(0))[0].mean(0)
        low, high = (middle, high) if (mean**2).sum() < alpha else (low, middle)
    return 0.0 if alpha == 0 else (low + high) / 2


def alpha_of(agreement: Floats, images: Floats | int, methods: int) -> Floats:
    """Return Krippendorff's alpha of untied rankings by their mean pairwise correlation."""
    return 1 - (1 - 1 / (methods * images)) * (1 - agreement)


def alphas(sums: Floats, images: int, methods: int) -> Floats:
    """Return alpha by the sum of the images' ranks, (..., methods)."""
    return alpha_of(((sums**2).sum(-1) - images) / (images * (images - 1)), images, methods)


def left_out(ranks: Floats, ties: int) -> tuple[Floats, Floats]:
    """Return alpha, (tables,), and alpha without each image, (tables, images), with images added that tie all."""
    tables, n, methods = ranks.shape
    others = np.einsum("tim,tm->ti", ranks, ranks.sum(1)) - 1
    others = np.concatenate([others, np.zeros((tables, ties))], 1)
    n, total = n + ties, others.sum(1)
    whole = alpha_of(total / (n * (n - 1)), n, methods)
    return whole, alpha_of((total[:, None] - 2 * others) / ((n - 1) * (n - 2)), n - 1, methods)


def jackknife(ranks: Floats, confidence: float, scale: str = "", ties: int = 0) -> Ends:
    """Return intervals by Student's t and the jackknife's standard error."""
    whole, without = left_out(ranks, ties)
    n = without.shape[1]
    error = np.sqrt((n - 1) / n * ((without - without.mean(1, keepdims=True)) ** 2).sum(1))
    if ties:
        error = np.maximum(error, np.sqrt(2 / (n * (n - 1) * (ranks.shape[2] - 1))))
    reach = t.ppf((1 + confidence) / 2, n - 1 - ties) * error
    if scale == "log":
        factor = np.exp(reach / (1 - whole))
        return 1 - (1 - whole) * factor, 1 - (1 - whole) / factor
    if scale == "artanh":
        middle, reach = np.arctanh(whole), reach / (1 - whole**2)
        return np.tanh(middle - reach), np.tanh(middle + reach)
    return whole - reach, whole + reach


def bootstrapped(ranks: Floats, draws: int, generator: np.random.Generator) -> Callable[[str, float], Ends]:
    """Return a function from kind and confidence to intervals by resamples of the images."""
    n, methods = ranks.shape[1:]
    counts = generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
    sums = counts @ ranks
    found = alphas(sums, n, methods)
    whole, without = left_out(ranks, 0)
    # The standard error of a draw is about twice that of an image's mean correlation with the others.
    own = ranks @ sums.transpose(0, 2, 1) / n
    mean = np.einsum("bi,tib->tb", counts, own) / n
    errors = 2 * np.sqrt(np.maximum(np.einsum("bi,tib->tb", counts, own**2) / n - mean**2, 0) / (n - 1))
    with_all = np.einsum("tim,tm->ti", ranks, ranks.sum(1)) / n
    error = 2 * with_all.std(1, ddof=1) / np.sqrt(n)

    def interval(kind: str, confidence: float) -> Ends:
        shares = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
        if kind == "percentile":
            return tuple(np.quantile(found, shares, axis=1))
        if kind == "bootstrap-t":
            pivots = (found - whole[:, None]) / errors
            low, high = np.nanquantile(np.where(np.isfinite(pivots), pivots, np.nan), shares, axis=1)
            return whole - high * error, whole - low * error
        bias = norm.ppf((found < whole[:, None]).mean(1) + (found == whole[:, None]).mean(1) / 2)
        skew = without.mean(1, keepdims=True) - without
        speed = (skew**3).sum(1) / (6 * (skew**2).sum(1) ** 1.5)
        ends = []
        for share in shares:
            place = norm.cdf(bias + (bias + norm.ppf(share)) / (1 - speed * (bias + norm.ppf(share))))
            rows = zip(found, np.nan_to_num(place, nan=share), strict=True)
            ends.append(np.array([np.quantile(row, each) for row, each in rows]))
        return ends[0], ends[1]

    return interval


def of_alpha(tables: int, draws: int) -> list[dict[str, object]]:
    """Return a row for each number of images and methods, true alpha, candidate and confidence."""
    rows = []
    for methods, truth in ((m, a) for m in METHODS for a in ALPHAS):
        effect = effect_of(truth, methods)
        for images in IMAGES:
            generator = np.random.default_rng(images)
            ranks = rankings(effect, tables, images, methods, generator)
            resampled = bootstrapped(ranks[: max(1, tables // 10)], draws, generator)
            for confidence in CONFIDENCES:
                ends = {f"jackknife-t {scale}".strip(): jackknife(ranks, confidence, scale) for scale in ("", "log")}
                ends["jackknife-t artanh"] = jackknife(ranks, confidence, "artanh")
                for ties in (1, 2):
                    ends[f"jackknife-t, {ties} ties"] = jackknife(ranks, confidence, ties=ties)
                    ends[f"jackknife-t log, {ties} ties"] = jackknife(ranks, confidence, "log", ties)
                for kind in ("percentile", "BCa", "bootstrap-t"):
                    ends[kind] = resampled(kind, confidence)
                row = {"methods": methods, "truth": truth, "images": images, "confidence": confidence}
                rows += [row | {"interval": name, **held(*each, truth)} for name, each in ends.items()]
    return rows


def of_means(tables: int, draws: int) -> list[dict[str, object]]:
    """Return a row for each number of images, distribution, candidate and confidence."""
    rows = []
    for name, truth in (("normal", 0.0), ("skewed", 0.5 / 3.5)):
        for images in (2, 4, *IMAGES, MANY):
            generator = np.random.default_rng(images)
            size = (tables, images)
            values = generator.normal(size=size) if name == "normal" else generator.beta(0.5, 3, size=size)
            mean, error = values.mean(1), values.std(1, ddof=1) / np.sqrt(images)
            some = max(1, tables // 10)
            counts = generator.multinomial(images, np.full(images, 1 / images), size=draws) / images
            means = values[:some] @ counts.T
            errors = np.sqrt(np.maximum(values[:some] ** 2 @ counts.T - means**2, 0) / (images - 1))
            away = means - mean[:some, None]
            pivots = np.where(errors > 1e-9, away / errors, np.copysign(np.inf, away))
            for confidence in CONFIDENCES:
                shares = (1 - confidence) / 2, (1 + confidence) / 2
                reach = t.ppf(shares[1], images - 1) * error
                low, high = np.quantile(pivots, shares, axis=1)
                ends = {
                    "Student's t": (mean - reach, mean + reach),
                    "percentile": tuple(np.quantile(means, shares, axis=1)),
                    "bootstrap-t": (mean[:some] - high * error[:some], mean[:some] - low * error[:some]),
                }
                if images == MANY:
                    expanded = mean_intervals({name: pd.DataFrame(values.T)}, 10_000, confidence, 0)
                    ends["expansion"] = tuple(np.array(list(expanded.values())).T)
                row = {"scores": name, "images": images, "confidence": confidence}
                rows += [row | {"interval": kind, **held(*each, truth)} for kind, each in ends.items()]
    return rows


def held(low: Floats, high: Floats, truth: float) -> dict[str, float]:
    """Return how many of the intervals contain the truth, in percent, how wide they are, and how many have ends."""
    told = np.isfinite(low + high)
    inside = (low <= truth) & (truth <= high)
    width = np.minimum(high, 1) - np.maximum(low, -1)
    covered = 100 * float(inside[told].mean()) if told.any() else float("nan")
    return {"covered": covered, "width": float(np.nanmedian(width)), "told": 100 * float(told.mean())}


def main() -> None:
    """Print the coverage in percent: for alpha the worst and the mean over methods and truths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--csv", help="Where every row goes.")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    with np.errstate(all="ignore"):
        means, alpha = (pd.DataFrame(of(args.tables, args.draws)) for of in (of_means, of_alpha))
    pd.set_option("display.width", 160, "display.max_columns", None)
    for confidence in CONFIDENCES:
        chosen = means[means["confidence"] == confidence]
        print(f"\nMeans, {confidence:.1%}: percent covered, by number of images")
        print(chosen.pivot_table("covered", ["scores", "interval"], "images").round(1))
        print("\nPercent that have finite ends")
        print(chosen.pivot_table("told", ["scores", "interval"], "images").round(1))
        chosen = alpha[alpha["confidence"] == confidence]
        for what, of in (("least over methods and truths", "min"), ("mean", "mean")):
            print(f"\nAlpha, {confidence:.1%}: percent covered, {what}, by number of images")
            print(chosen.pivot_table("covered", "interval", "images", aggfunc=of).round(1))
        print("\nMedian width within [-1, 1]")
        print(chosen.pivot_table("width", "interval", "images", aggfunc="median").round(2))
    if args.csv:
        pd.concat([means, alpha]).to_csv(args.csv, index=False)


if __name__ == "__main__":
    main()
