"""Which intervals of Spearman's rho and of ratios of means hold what they promise; see ``coverage.py``.

    python benchmarks/coverage_rho.py [--tables 400] [--draws 300] [--csv FILE]

Rho: 2, 3 or 10 columns of normal scores share an ease of the images; also rounded to four values, so that most tie, and
with one image in ten whose scores are unrelated. Candidates are the package's interval, Student's t with the
infinitesimal jackknife plain and on the scale artanh, and the percentile bootstrap (on a tenth of the tables).
Ratios: the means of 1 or 4 variants over those of their originals, averaged, of normal, skewed (Beta(1/2, 3)) and
log-normal scores. Candidates are the package's interval, Student's t of the linearised ratio, and the percentile
bootstrap.
"""

from __future__ import annotations

import argparse
import warnings
from functools import cache

import numpy as np
import pandas as pd
from coverage import CONFIDENCES, Ends, Floats, held
from scipy.stats import beta, norm, rankdata, spearmanr, t

from captum_gag.reliability.correlations import Spearman, mean_rho_interval
from captum_gag.reliability.jackknife import jackknife_interval, without_each

IMAGES = (4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 300, 1000)
FEW = 50
"""Images up to which the bootstrap is tried."""

COLUMNS = (2, 3, 10)
SHARES = (0.0, 0.3, 0.6, 0.9)
"""Pearson's correlation of two columns before they are rounded or mixed."""


def scores(kind: str, share: float, shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Return scores, (..., images, columns)."""
    own = generator.normal(size=shape)
    found = np.sqrt(share) * generator.normal(size=(*shape[:-1], 1)) + np.sqrt(1 - share) * own
    if kind == "tied":
        found = np.clip(np.round(found), -1, 2)
    if kind == "one in ten unrelated":
        odd = generator.uniform(size=(*shape[:-1], 1)) < 0.1
        found = np.where(odd, generator.normal(size=shape), found)
    return found


@cache
def true_rho(kind: str, share: float) -> float:
    """Return Spearman's rho of two columns over endlessly many images."""
    if kind == "normal" or share == 0:
        return 6 / np.pi * np.arcsin(share / 2)
    return float(spearmanr(scores(kind, share, (1_000_000, 2), np.random.default_rng(0))).statistic)


def drawn(values: Floats, draws: int, generator: np.random.Generator) -> Floats:
    """Return resamples of the rows, (draws, rows, columns)."""
    return values[generator.integers(len(values), size=(draws, len(values)))]


def percentiles(found: Floats, confidence: float) -> Ends:
    return tuple(np.quantile(found[~np.isnan(found)], [(1 - confidence) / 2, (1 + confidence) / 2]))


def mean_rhos(samples: Floats) -> Floats:
    """Return the mean correlation of all pairs of columns of each sample."""
    ranks = rankdata(samples, axis=1)
    ranks = (ranks - ranks.mean(1, keepdims=True)) / ranks.std(1, keepdims=True)
    columns = samples.shape[2]
    return ((ranks.sum(2) ** 2).mean(1) - columns) / (columns * (columns - 1))


def of_rho(tables: int, draws: int) -> list[dict[str, object]]:
    """Return a row for each kind of scores, correlation, number of columns and images, candidate and confidence."""
    rows = []
    kinds = ("normal", "tied", "one in ten unrelated")
    for kind, share, columns, n in ((k, s, c, n) for k in kinds for s in SHARES for c in COLUMNS for n in IMAGES):
        generator = np.random.default_rng(n)
        ends: dict[tuple[str, float], list[Ends]] = {}
        for number, table in enumerate(scores(kind, share, (tables, n, columns), generator)):
            rho, influences = Spearman(table).mean(range(columns))
            if np.isnan(rho):
                continue
            error = np.sqrt((influences**2).sum() / (n * (n - 1)))
            resampled = mean_rhos(drawn(table, draws, generator)) if number < tables / 10 and n <= FEW else None
            for confidence in CONFIDENCES:
                reach = t.ppf((1 + confidence) / 2, n - 1) * error
                found = {"mean_rho_interval": mean_rho_interval(rho, influences, columns, confidence)}
                found["jackknife-t"] = rho - reach, rho + reach
                away = reach / (1 - rho**2)
                found["jackknife-t artanh"] = np.tanh(np.arctanh(rho) - away), np.tanh(np.arctanh(rho) + away)
                if resampled is not None:
                    found["percentile"] = percentiles(resampled, confidence)
                for name, each in found.items():
                    ends.setdefault((name, confidence), []).append(each)
        row = {"scores": kind, "share": share, "columns": columns, "images": n}
        rows += summed(row, ends, true_rho(kind, share))
    return rows


def of_ratios(tables: int, draws: int) -> list[dict[str, object]]:
    """Return a row for each kind of scores, correlation, number of originals and images, candidate and confidence."""
    rows, truth = [], 1.3
    shapes = {"normal": lambda z: 1 + 0.3 * z, "skewed": lambda z: beta.ppf(norm.cdf(z), 0.5, 3), "log-normal": np.exp}
    for kind, share, m, n in ((k, s, m, n) for k in shapes for s in (0.3, 0.9) for m in (1, 4) for n in IMAGES):
        generator = np.random.default_rng(n)
        ends: dict[tuple[str, float], list[Ends]] = {}
        tables_of = shapes[kind](scores("normal", share, (tables, n, 2 * m), generator))
        for number, table in enumerate(tables_of):
            table[:, :m] *= truth

            def ratio(means: Floats, m: int = m) -> Floats:
                return (means[..., :m] / means[..., m:]).mean(-1)

            whole, each = ratio(table.mean(0)), table.mean(0)
            linear = ((table[:, :m] - each[:m] / each[m:] * table[:, m:]) / each[m:]).mean(1)
            resampled = ratio(drawn(table, draws, generator).mean(1)) if number < tables / 10 and n <= FEW else None
            for confidence in CONFIDENCES:
                reach = t.ppf((1 + confidence) / 2, n - 1) * linear.std(ddof=1) / np.sqrt(n)
                found = {"jackknife_interval": jackknife_interval(whole, ratio(without_each(table)), confidence, True)}
                found["linearised t"] = whole - reach, whole + reach
                if resampled is not None:
                    found["percentile"] = percentiles(resampled, confidence)
                for name, interval in found.items():
                    ends.setdefault((name, confidence), []).append(interval)
        rows += summed({"scores": kind, "share": share, "columns": m, "images": n}, ends, truth)
    return rows


def summed(row: dict[str, object], ends: dict[tuple[str, float], list[Ends]], truth: float) -> list[dict[str, object]]:
    """Return a row per candidate and confidence: what they hold of the tables."""
    return [
        row | {"interval": name, "confidence": confidence, **held(*np.transpose(found), truth)}
        for (name, confidence), found in ends.items()
    ]


def main() -> None:
    """Print the coverage in percent: the least and the mean over kinds of scores, correlations and columns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--csv", help="Where every row goes.")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    with np.errstate(all="ignore"):
        found = {
            what: pd.DataFrame(of(args.tables, args.draws)) for what, of in (("Rho", of_rho), ("Ratios", of_ratios))
        }
    pd.set_option("display.width", 160, "display.max_columns", None)
    for what, confidence in ((what, confidence) for what in found for confidence in CONFIDENCES):
        chosen = found[what][found[what]["confidence"] == confidence]
        for how in ("min", "mean"):
            print(f"\n{what}, {confidence:.1%}: percent covered, {how}, by number of images")
            print(chosen.pivot_table("covered", "interval", "images", aggfunc=how).round(1))
        if what == "Rho":
            print("\nMedian width within [-1, 1]")
            print(chosen.pivot_table("width", "interval", "images", aggfunc="median").round(2))
    if args.csv:
        pd.concat(found, names=["of"]).to_csv(args.csv)


if __name__ == "__main__":
    main()
