"""Which images of a large run its page shows: worst, best, those that methods disagree on, and some at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

MOST = 150
"""Images on a page, unless others are asked for."""

RANDOM = 0.25
"""Share of them that is drawn at random, so that a reader sees what is usual too."""

AT_RANDOM = "drawn at random"


class Choice(NamedTuple):
    """The images that a page shows.

    Attributes:
        images: In the order of the run.
        reasons: By image, for what it was chosen; none where all are shown.
        words: How they were chosen; "" where all are shown.
    """

    images: list[str]
    reasons: dict[str, str]
    words: str


def choose(images: Sequence[str], ranked: Mapping[str, Sequence[str]], most: int | None, seed: int) -> Choice:
    """Choose images: in turn the first of each ranking, and a quarter at random.

    Args:
        images: All of them.
        ranked: By reason, images that are worth seeing, the most so first.
        most: How many; None for all.
        seed: Of those at random.

    Returns:
        The same for the same arguments.
    """
    if most is None or len(images) <= most:
        return Choice(list(images), {}, "")
    reasons: dict[str, str] = {}
    ranks = zip_longest(*ranked.values())
    in_turn = (pair for rank in ranks for pair in zip(ranked, rank, strict=True))
    for reason, image in in_turn:
        if len(reasons) >= most - int(RANDOM * most):
            break
        if image is not None:
            reasons.setdefault(image, reason)
    rest = [image for image in images if image not in reasons]
    drawn = np.random.default_rng(seed).choice(len(rest), most - len(reasons), replace=False)
    chosen = len(reasons)
    reasons |= {rest[place]: AT_RANDOM for place in drawn}
    words = (
        f"{most:,} of {len(images):,} images are shown: {chosen} because a metric scores its best explanation worst or "
        f"best on them, or because methods disagree, and {len(drawn)} drawn at random (seed {seed}). All numbers are "
        "of all images."
    )
    return Choice([image for image in images if image in reasons], reasons, words)
