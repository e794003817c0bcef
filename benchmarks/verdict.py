"""How often verdicts are wrong, and how often they are right, on tables whose truth is known.

    python benchmarks/verdict.py [--tables 2000]

Prints, for each kind of table, the share of tables with a wrong statement (an explanation is called the best, decided,
that is not better on most images than every other), or with the right one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from captum_gag import reliability

BATCH, N_BOOTSTRAP = 200, 2_000

Scores = Mapping[str, NDArray[np.float64]]
Draw = Callable[[np.random.Generator], Scores]

SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "log-normal": lambda rng, size: rng.lognormal(size=size),
    "half tied": lambda rng, size: rng.random((size[0], 1)) + rng.lognormal(size=size) * (rng.random(size) < 0.5),
    "85 % zeros": lambda rng, size: rng.random(size) * (rng.random(size) < 0.15),
}


def alike(shape: str, images: int, methods: int) -> Draw:
    """Draw scores of methods none of which is better."""
    return lambda rng: {f"m{place}": row for place, row in enumerate(SHAPES[shape](rng, (images, methods)).T)}


def constant(shape: str, images: int) -> Draw:
    """Draw scores of A, all nearly the mean of B's."""
    mean = float(SHAPES[shape](np.random.default_rng(0), (1_000_000, 1)).mean())
    return lambda rng: {"A": mean + 0.001 * rng.normal(size=images), "B": SHAPES[shape](rng, (images, 1))[:, 0]}


def easy_images(rng: np.random.Generator, images: int = 60, scored: int = 30) -> Scores:
    """Draw scores of A, which has them on the easy half only and loses all of these, and of B."""
    level = np.where(np.arange(images) < scored, 0.9, 0.2)
    own = np.where(np.arange(images) < scored, level - 0.02, np.nan) + 0.005 * rng.normal(size=images)
    return {"A": own, "B": level + 0.005 * rng.normal(size=images)}


def skewed(rng: np.random.Generator, images: int = 121) -> Scores:
    """Draw scores of A, whose mean is at least B's by rare large gains, and of B, which is better on 62 %."""
    gain = rng.lognormal(0, 1, images) - np.exp(0.3)
    level = rng.random(images)
    return {"A": level + gain, "B": level}


def rare_loss(images: int) -> Draw:
    """Draw scores of A, a little better than B on 96 % of the images and far worse on the others: its mean is lower."""

    def draw(rng: np.random.Generator) -> Scores:
        level = rng.uniform(0.5, 0.9, images)
        own = np.where(rng.random(images) < 0.04, 0.1, level + 0.015 + 0.005 * rng.normal(size=images))
        return {"A": own, "B": level}

    return draw


def better(win_rate: float, images: int, methods: int) -> Draw:
    """Draw normal scores of methods of which the first is better than each other on this share of images."""
    gap = np.sqrt(2) * norm.ppf(win_rate)

    def draw(rng: np.random.Generator) -> Scores:
        scores = rng.normal(size=(images, methods))
        scores[:, 0] += gap
        return {f"m{place}": row for place, row in enumerate(scores.T)}

    return draw


def table_of(tables: Sequence[Scores]) -> pd.DataFrame:
    """Put tables of scores by method into one, each as a metric of its own."""
    parts = [
        pd.DataFrame({"image": np.arange(len(values)), "method": method, "metric": f"{place}", "score": values})
        for place, scores in enumerate(tables)
        for method, values in scores.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(higher_is_better=True)


def decided(tables: Sequence[Scores]) -> list[str]:
    """Name the explanation that is decided to be the best of each table; "" for none."""
    return _best(reliability.verdict(table_of(tables), n_bootstrap=N_BOOTSTRAP))


def decided_against(tables: Sequence[Scores]) -> list[str]:
    """Name the explanation that is decided to be the best where only X was asked about, after every image."""
    table = table_of(tables)
    return _best(reliability.verdict(table, "X", reliability.sequential(table, "X")))


def _best(verdicts: pd.DataFrame) -> list[str]:
    return verdicts["best"].where(verdicts["state"] == "decided", "").tolist()


def bad_rival(rng: np.random.Generator) -> Scores:
    """Draw scores of A and B, which are alike, and of X, which is worse."""
    return {name: rng.normal(mean, 1, 60) for name, mean in {"A": 3.0, "B": 3.0, "X": 0.0}.items()}


def main() -> None:
    """Print a row for each kind of table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    tables = parser.parse_args().tables
    rows: list[tuple[str, Draw, Callable[[Sequence[Scores]], list[str]], Callable[[str], bool]]] = [
        (f"all alike: {shape}, {methods} methods, {images} images", alike(shape, images, methods), decided, bool)
        for shape in SHAPES
        for methods, images in ((2, 24), (5, 24), (5, 121))
    ]
    rows += [
        (f"equal means, A constant, B {shape}, {images} images", constant(shape, images), decided, bool)
        for shape in ("log-normal", "85 % zeros")
        for images in (24, 121)
    ]
    rows += [
        ("A scored on the easy half only: A", easy_images, decided, lambda best: best == "A"),
        ("A better on average, worse on most images: A", skewed, decided, lambda best: best == "A"),
        *(
            (f"a rare loss, {images} images: A", rare_loss(images), decided, lambda best: best == "A")
            for images in (24, 60, 121)
        ),
        ("asked about X, which is bad: A or B", bad_rival, decided_against, bool),
    ]
    rows += [
        (
            f"RIGHT: better on {win_rate:.0%}, {methods} methods, {images} images",
            better(win_rate, images, methods),
            decided,
            lambda best: best == "m0",
        )
        for win_rate, methods, images in ((0.7, 5, 60), (0.7, 5, 121), (0.8, 5, 24), (0.8, 5, 60), (0.9, 10, 24))
    ]
    for name, draw, ask, is_counted in rows:
        drawn = [draw(np.random.default_rng([7, place])) for place in range(tables)]
        parts = [drawn[first : first + BATCH] for first in range(0, tables, BATCH)]
        counted = sum(is_counted(best) for part in parts for best in ask(part))
        print(f"{name}: {counted / tables:.1%}", flush=True)


if __name__ == "__main__":
    main()
