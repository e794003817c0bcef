"""How often intervals contain what they should, and how often tests claim what is not so, in simulated tables.

    python benchmarks/coverage.py [means alpha rho ratios shares baselines groups] [--tables 2000] [--draws 1000]

Prints percentages, a row for each kind of scores and a column for each number of images; of ``baselines`` the tables of
ten random methods in which at least one is called better, of ``groups`` the tables of ten images a group in which two
methods that are alike are told apart. ``before`` is what the package did until then.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta, norm, rankdata, spearmanr, t

from captum_gag import reliability
from captum_gag.reliability.pairwise import mean_test
from captum_gag.reliability.rankings import Spearman, alpha_interval
from captum_gag.reliability.resampling import jackknife_interval, mean_intervals, without_each
from captum_gag.reliability.truth import share_interval

Floats = NDArray[np.float64]
Row = dict[str, object]

IMAGES = (4, 5, 8, 10, 20, 50, 100, 300)
CONFIDENCES = (0.95, 0.999)


def held(ends: Floats, truth: float) -> dict[str, float]:
    """Return which share of intervals (tables, 2) that have ends contain the truth, and which have them, in percent."""
    told = np.isfinite(ends).all(axis=1)
    inside = (ends[:, 0] - 1e-9 <= truth) & (truth <= ends[:, 1] + 1e-9)
    return {"covered": 100 * float(inside[told].mean()) if told.any() else np.nan, "told": 100 * float(told.mean())}


def means(tables: int, draws: int) -> Iterator[Row]:
    """Intervals of the mean, and the share of tests at 5 % that reject the true mean."""
    kinds: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Floats], float, tuple[float, float] | None]]
    kinds = {
        "normal": (lambda rng, size: rng.normal(size=size), 0.0, None),
        "skewed, Beta(1/2, 3)": (lambda rng, size: rng.beta(0.5, 3, size), 1 / 7, (0.0, 1.0)),
        "log-normal": (lambda rng, size: rng.lognormal(size=size), float(np.exp(0.5)), None),
        "half tied": (lambda rng, size: np.where(rng.random(size) < 0.5, 0, rng.beta(0.5, 3, size)), 1 / 14, (0, 1)),
        "85 % zeros, range known": (lambda rng, size: (rng.random(size) > 0.85) * 1.0, 0.15, (0.0, 1.0)),
        "85 % zeros": (lambda rng, size: (rng.random(size) > 0.85) * 1.0, 0.15, None),
    }
    for (kind, (draw, truth, bounds)), n in ((kind, n) for kind in kinds.items() for n in IMAGES):
        values = draw(np.random.default_rng(n), (tables, n))
        about = {"scores": kind, "images": n}
        for confidence in CONFIDENCES:
            ranges = {"": bounds} if bounds else None
            ends = mean_intervals({"": pd.DataFrame(values.T)}, draws, confidence, 0, ranges)
            yield {**about, "of": f"{confidence:.1%}", **held(np.array(list(ends.values())), truth)}
        reach = t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
        students = np.stack([values.mean(axis=1) - reach, values.mean(axis=1) + reach], axis=1)
        yield {**about, "of": "95.0% by Student's t", **held(students, truth)}
        rejected = np.mean([mean_test(row) < 0.05 for row in values - truth])
        yield {**about, "of": "mean_test rejects", "covered": 100 * float(rejected), "told": 100.0}


def alpha(tables: int, draws: int) -> Iterator[Row]:
    """Intervals of alpha: rankings around one order, and of which a share is in reverse."""
    kinds = [(methods, noise, 0.0) for methods in (3, 10) for noise in (1e9, 2.0, 0.7, 0.3)]
    kinds += [(methods, 0.3, share) for methods in (4, 8) for share in (0.05, 0.1, 0.2, 0.4)]
    for methods, noise, share in kinds:

        def ranks(n: int, rng: np.random.Generator, methods=methods, noise=noise, share=share) -> Floats:
            order = np.linspace(-1, 1, methods) * np.where(rng.random((n, 1)) < share, -1, 1)
            return rankdata(order + noise * rng.normal(size=order.shape), axis=1)

        standard = (ranks(200_000, np.random.default_rng(0)) - (methods + 1) / 2).mean(axis=0)
        truth = (standard**2).sum() * 12 / (methods**3 - methods)
        name = f"{methods} methods, noise {noise}, {share:.0%} in reverse: alpha {truth:.2f}"
        for n, confidence in ((n, confidence) for n in (3, *IMAGES) for confidence in CONFIDENCES):
            rng = np.random.default_rng(n)
            ends = np.array([alpha_interval(ranks(n, rng), confidence) for _ in range(tables)])
            yield {"scores": name, "images": n, "of": f"{confidence:.1%}", **held(ends, truth)}


def correlated(kind: str, share: float, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return scores, (..., images, columns), of columns that share an ease of the images."""
    scores = np.sqrt(share) * rng.normal(size=(*shape[:-1], 1)) + np.sqrt(1 - share) * rng.normal(size=shape)
    if kind == "tied":
        return np.clip(np.round(scores), -1, 2)
    odd = rng.uniform(size=(*shape[:-1], 1)) < (0.1 if kind == "one in ten unrelated" else 0)
    return np.where(odd, rng.normal(size=shape), scores)


def rho(tables: int, draws: int) -> Iterator[Row]:
    """Intervals of the mean correlation of 2, 3 or 10 columns."""
    kinds = ("normal", "tied", "one in ten unrelated")
    for kind, share in ((kind, share) for kind in kinds for share in (0.0, 0.3, 0.6, 0.9)):
        truth = float(spearmanr(correlated(kind, share, (1_000_000, 2), np.random.default_rng(0))).statistic)
        for columns, n in ((columns, n) for columns in (2, 3, 10) for n in IMAGES):
            scores = correlated(kind, share, (tables, n, columns), np.random.default_rng(n))
            for confidence in CONFIDENCES:
                ends = np.array([Spearman(table).estimate(range(columns), confidence)[1:] for table in scores])
                name = f"{columns} columns, {kind}, rho {truth:.2f}"
                yield {"scores": name, "images": n, "of": f"{confidence:.1%}", **held(ends, truth if share else 0.0)}


def ratios(tables: int, draws: int) -> Iterator[Row]:
    """Intervals of a mean of 1 or 4 ratios of means."""
    shapes = {"normal": lambda z: 1 + 0.3 * z, "skewed": lambda z: beta.ppf(norm.cdf(z), 0.5, 3), "log-normal": np.exp}
    for kind, share, m, n in ((k, s, m, n) for k in shapes for s in (0.3, 0.9) for m in (1, 4) for n in IMAGES):
        scores = shapes[kind](correlated("normal", share, (tables, n, 2 * m), np.random.default_rng(n)))
        scores[..., :m] *= 1.3

        def ratio(of_means: Floats, m: int = m) -> Floats:
            return (of_means[..., :m] / of_means[..., m:]).mean(-1)

        for confidence in CONFIDENCES:
            ends = [jackknife_interval(ratio(x.mean(0)), ratio(without_each(x)), confidence, True) for x in scores]
            name = f"{m} ratios, {kind}, correlation {share}"
            yield {"scores": name, "images": n, "of": f"{confidence:.1%}", **held(np.array(ends), 1.3)}


def shares(tables: int, draws: int) -> Iterator[Row]:
    """Intervals of a mean share of pairs in the wrong order."""
    for mean, n in ((mean, n) for mean in (0.01, 0.05, 0.25, 0.5, 0.9) for n in IMAGES):
        rng, size = np.random.default_rng(n), (tables, n)
        kinds = {"0 or 1": (rng.random(size) < mean) * 1.0, "any": rng.beta(mean / 2, (1 - mean) / 2, size)}
        kinds["of six pairs"] = rng.binomial(6, rng.beta(2 * mean, 2 * (1 - mean), size)) / 6
        for (kind, values), confidence in ((each, c) for each in kinds.items() for c in CONFIDENCES):
            ends = np.array([share_interval(row, confidence) for row in values])
            yield {"scores": f"{kind}, mean {mean}", "images": n, "of": f"{confidence:.1%}", **held(ends, mean)}


def score_table(values: Floats, names: list[str]) -> pd.DataFrame:
    """Return simulated tables (tables, images, methods) as one score table, a metric each."""
    number, image, method = (index.ravel() for index in np.indices(values.shape))
    names_of = {"metric": number.astype(str), "image": image, "method": np.array(names)[method]}
    control = np.array(["random" if name[0] == "r" else "edges" if name == "edges" else "" for name in names])[method]
    return pd.DataFrame({**names_of, "control": control, "score": values.ravel(), "higher_is_better": True})


def baselines(tables: int, draws: int) -> Iterator[Row]:
    """Random methods that beat random orderings, and edges; and good ones, by one standard deviation of a score."""
    kinds = {"alike": (0, 1, 0), "orderings differ": (0.3, 1, 0), "methods noisier": (0, 3, 0), "good": (0, 1, 1)}
    for kind, k, n in ((kind, k, 20) for kind in kinds for k in (2, 5, 10, 39, 100)):
        spread, noise, gain = kinds[kind]
        rng, claimed = np.random.default_rng(k), []
        names = [f"random {place}" for place in range(k)] + [f"method {place}" for place in range(10)] + ["edges"]
        for _ in range(0, tables, 100):
            values = rng.normal(size=(100, n, k + 11))
            values[..., k:-1] = values[..., k:-1] * noise + gain
            values[..., :-1] += spread * rng.normal(size=(100, 1, k + 10))
            found = reliability.against_baselines(score_table(values + rng.normal(size=(100, n, 1)), names))
            means = values.mean(axis=1)
            before = means[:, k:-1] > np.quantile(means[:, :k], 0.975, axis=1)[:, None]
            answers = (found[name].eq(True).to_numpy().reshape(-1, 10) for name in ("beats_random", "beats_edges"))
            claimed.append([before, *answers])
        names_of = ("random, before", "random", "edges")[: 2 if spread else 3]
        for name, parts in zip(names_of, zip(*claimed, strict=True), strict=False):
            wrong = np.concatenate(parts)
            share = wrong.mean() if gain else wrong.any(axis=1).mean()
            yield {"scores": f"{kind}, {n} images", "images": k, "of": name, "covered": 100 * share, "told": 100.0}


def groups(tables: int, draws: int) -> Iterator[Row]:
    """Two methods that are alike, ten images a group that share nearly all of their difference."""
    for n in (5, 10, 20, 50):
        rng, wrong = np.random.default_rng(n), []
        for _ in range(tables):
            gain, scores = np.repeat(rng.normal(size=n), 10) + 0.3 * rng.normal(size=10 * n), rng.random(10 * n)
            table = score_table(np.stack([scores, scores + gain], axis=1)[None], ["x", "y"])
            grouped = table.assign(group=(table["image"] // 10).astype(str))
            decided = [reliability.sequential(each)["decision"].ne("open").any() for each in (table, grouped)]
            tested = [mean_test(gain) < 0.05, mean_test(gain.reshape(n, 10).mean(axis=1)) < 0.05]
            wrong.append([*decided, *tested])
        names = ("sequential, before", "sequential", "mean_test, before", "mean_test")
        for name, share in zip(names, np.mean(wrong, axis=0), strict=True):
            yield {"scores": "ten images a group", "images": n, "of": name, "covered": 100 * share, "told": 100.0}


PARTS = {part.__name__: part for part in (means, alpha, rho, ratios, shares, baselines, groups)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []], default=[])
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000)
    args = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    pd.set_option("display.width", 200, "display.max_columns", None, "display.max_rows", None)
    for part in args.parts or PARTS:
        with np.errstate(all="ignore"):
            rows = pd.DataFrame(PARTS[part](args.tables, args.draws))
        for what in ("covered", "told"):
            if what == "covered" or (rows["told"] < 100).any():
                print(f"\n{part}: {what}, in percent, by number of images; of baselines, of orderings", flush=True)
                print(rows.pivot_table(what, ["of", "scores"], "images", sort=False).round(1))


if __name__ == "__main__":
    main()
