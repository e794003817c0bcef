"""Forecast of the number of images that a decision will take, from a few that are scored already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from captum_gag.errors import InputError
from captum_gag.reliability.betting import Floats
from captum_gag.reliability.deciding import BEST, BLOCK, Decider

FEWEST = 10
"""Images that a pilot needs at least: fewer could not tell 60 % of wins from 90 %."""

REPETITIONS = 100
"""How often a future is drawn."""


class Forecast(NamedTuple):
    """Number of images after which all is decided.

    Attributes:
        pilot: Images that it is foreseen from.
        most: Images that there are at most.
        share: Of the futures in which all is decided by then.
        median: Images in the median future; None where that one is not decided by then.
        high: Their 90 % quantile, likewise.
    """

    pilot: int
    most: int
    share: float
    median: int | None
    high: int | None


def forecast(
    scores: Floats,
    methods: Sequence[str],
    metrics: Sequence[str],
    most: int,
    against: str = BEST,
    alpha: float = 0.05,
    seed: int = 0,
    candidates: Collection[str] = (),
) -> Forecast:
    """Foresee after how many images every question of ``sequential`` is decided.

    A future is drawn in two steps: weights of the pilot's images from Dirichlet(1, ..., 1) (the Bayesian bootstrap),
    since a few images leave much open, and then images by these weights, decided one after the other. A method that
    wins on every image of a pilot does so in every future, so that a small pilot is too hopeful.

    Args:
        scores: Of the pilot, (n, methods, metrics), higher is better, NaN where there is none.
        methods: Labels of the methods.
        metrics: Labels of the metrics.
        most: Images of a future, at most.
        against: See ``sequential``.
        alpha: See ``sequential``.
        seed: Of the futures.
        candidates: The explanations, one of which is the best; none named, any method may be.

    Raises:
        InputError: The pilot is too small, or nothing can be compared.
    """
    if len(scores) < FEWEST:
        raise InputError(f"a pilot of {len(scores)} images says nothing of a decision; expected {FEWEST} at least")
    rng = np.random.default_rng(seed)
    needed = np.full(REPETITIONS, np.inf)
    for future in range(REPETITIONS):
        images = rng.choice(len(scores), size=most, p=rng.dirichlet(np.ones(len(scores))))
        decider = Decider(methods, metrics, against, alpha, candidates=candidates)
        for start in range(0, most, BLOCK):
            decider.update(scores[images[start : start + BLOCK]])
            decided, left = decider.counts()
            if decided and not left:
                needed[future] = decider.table()["decided_at"].max()
                break
    # A quantile among those that never are is none.
    ends = np.quantile(needed, [0.5, 0.9], method="higher").tolist()
    median, high = (int(end) if np.isfinite(end) else None for end in ends)
    return Forecast(len(scores), most, float(np.isfinite(needed).mean()), median, high)
