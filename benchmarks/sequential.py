"""Wrong decisions of the sequential tests under the null, and the images they need against a planned Wilcoxon test.

    python benchmarks/sequential.py [--runs 10000] [--images 300]

Error rates: one method against ten rivals, looked at after every image, alpha 5 %; a run is wrong if any question was
decided wrongly by the last image. Images needed: one question, alpha 5 %. The Wilcoxon signed-rank test has the fewest
images at which its power is 90 %, found by simulation, which takes knowing the size of the difference. The sequential
sign test has nothing to be planned: by its 90 % quantile its power is 90 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, wilcoxon

from captum_gag.reliability.betting import Floats, MeanBets, log_better
from captum_gag.reliability.deciding import LARGEST, adjusted

ALPHA, POWER, RIVALS, AT_ONCE = 0.05, 0.9, 10, 1000
Draw = Callable[[np.random.Generator, int], Floats]
"""(generator, runs) -> the differences of one image, (runs, questions), positive where the first is better."""


class Signs:
    """The sign test of many runs: its e-values looked up by wins and losses."""

    def __init__(self, runs: int, questions: int, images: int) -> None:
        """Begin without an image."""
        counts = np.arange(images + 1)
        self.table = log_better(counts[:, None], counts)
        self.wins, self.losses = np.zeros((2, runs, questions), dtype=int)

    def update(self, differences: Floats) -> Floats:
        """Return the logarithms of the e-values in both directions, (runs, 2, questions)."""
        self.wins += differences > 0
        self.losses += differences < 0
        return np.stack([self.table[self.wins, self.losses], self.table[self.losses, self.wins]], axis=1)


class Means:
    """The test of the mean of many runs, as pairs side by side."""

    def __init__(self, runs: int, questions: int, images: int) -> None:
        """Begin without an image."""
        self.bets = MeanBets(np.ones(runs * questions))

    def update(self, differences: Floats) -> Floats:
        """Return the logarithms of the e-values in both directions, (runs, 2, questions)."""
        [found] = self.bets.update(differences.reshape(1, -1))
        return found.reshape(2, *differences.shape).swapaxes(0, 1)


def first_rejected(
    test: type[Signs | Means], draw: Draw, watched: NDArray[np.bool_], runs: int, images: int, seed: int
) -> NDArray[np.int_]:
    """Return for each run after how many images any watched hypothesis, (2, questions), is rejected; 0 for never."""
    rng, first = np.random.default_rng(seed), np.zeros(runs, dtype=int)
    game = test(runs, watched.shape[1], images)
    for image in range(1, images + 1):
        e_values = np.exp(np.minimum(game.update(draw(rng, runs)), LARGEST))
        # An adjusted e-value is never above the own one.
        for run in np.flatnonzero((first == 0) & (e_values[:, watched].max(axis=1) >= 1 / ALPHA)):
            if adjusted(e_values[run].ravel()).reshape(2, -1)[watched].max() >= 1 / ALPHA:
                first[run] = image
        if first.all():
            break
    return first


def in_parts(
    test: type[Signs | Means], draw: Draw, watched: NDArray[np.bool_], runs: int, images: int
) -> NDArray[np.int_]:
    """Do the same a thousand runs at a time, so that memory does not grow with them."""
    sizes = [min(AT_ONCE, runs - start) for start in range(0, runs, AT_ONCE)]
    return np.concatenate([first_rejected(test, draw, watched, size, images, seed) for seed, size in enumerate(sizes)])


def exchangeable(rng: np.random.Generator, runs: int) -> Floats:
    """Draw methods that are all alike; the questions share one of them."""
    scores = rng.random((runs, RIVALS + 1))
    return scores[:, :1] - scores[:, 1:]


def half_beaten(rng: np.random.Generator, runs: int) -> Floats:
    """Draw the same, but beat the first half of the rivals on four of five images."""
    found = exchangeable(rng, runs)
    half = RIVALS // 2
    found[:, :half] = np.where(rng.random((runs, half)) < 0.8, 1.0, -1.0)
    return found


def same_mean(rng: np.random.Generator, runs: int) -> Floats:
    """Draw scores of the same mean, 0.2: a skewed one against rivals that are 0 or 1, and lose on most images."""
    return rng.beta(1, 4, (runs, 1)) - (rng.random((runs, RIVALS)) < 0.2)


def error_rates(runs: int, images: int) -> None:
    all_, open_ = np.ones((2, 2, RIVALS), dtype=bool)
    # Of the beaten, only being found the better ones is wrong.
    open_[0, : RIVALS // 2] = False
    print(
        f"\nwrong decisions in {runs} runs of {images} images, looked at after each; {RIVALS} rivals, alpha {ALPHA:.0%}"
    )
    for title, test, draw, watched in (
        ("signs, all alike", Signs, exchangeable, all_),
        ("signs, half of the rivals beaten", Signs, half_beaten, open_),
        ("mean, all alike", Means, exchangeable, all_),
        ("mean, of other distributions", Means, same_mean, all_),
    ):
        wrong = int((in_parts(test, draw, watched, runs, images) > 0).sum())
        interval = binomtest(wrong, runs).proportion_ci(0.95, "exact")
        print(f"  {title:34s} {wrong / runs:7.2%}  [{interval.low:.2%}, {interval.high:.2%}]", flush=True)


def signed(share: float) -> Draw:
    """Return differences whose sign says nothing of their size."""
    return lambda rng, runs: np.abs(rng.normal(size=(runs, 1))) * np.where(rng.random((runs, 1)) < share, 1, -1)


def shifted(share: float) -> Draw:
    """Return normal differences, shifted so far that this share is positive."""
    return lambda rng, runs: rng.normal(norm.ppf(share), size=(runs, 1))


def planned(draw: Draw, runs: int) -> int:
    """Return the fewest images at which the Wilcoxon test has the power, by halving."""

    def power(images: int) -> float:
        rng = np.random.default_rng(images)
        differences = np.concatenate([draw(rng, runs) for _ in range(images)], axis=1)
        method = "exact" if images <= 50 else "asymptotic"
        return float((wilcoxon(differences, axis=1, method=method).pvalue <= ALPHA).mean())

    low, high = 1, 8
    while power(high) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def images_needed(runs: int) -> None:
    print(f"\nimages until it is decided which of two is better, {runs} runs; Wilcoxon at a power of {POWER:.0%}")
    print(f"  {'':34s} Wilcoxon, planned   sequential: median   mean   90 %   wrong")
    both = np.ones((2, 1), dtype=bool)
    for name, of_share in (("sign alone", signed), ("normal, shifted", shifted)):
        for share in (0.6, 0.7, 0.8, 0.9):
            draw = of_share(share)
            found = in_parts(Signs, draw, both, runs, 2000)
            wrong = (in_parts(Signs, draw, np.array([[False], [True]]), runs, 100) > 0).mean()
            reached = np.where(found, found, 2000)
            fixed = planned(draw, min(runs, 4000))
            print(
                f"  {name:20s} {share:.0%} won      {fixed:17d}   {np.median(reached):18.0f}   {reached.mean():4.0f}   "
                f"{np.quantile(reached, POWER, method='higher'):4.0f}   {wrong:.2%}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=300)
    options = parser.parse_args()
    error_rates(options.runs, options.images)
    images_needed(options.runs)


if __name__ == "__main__":
    main()
