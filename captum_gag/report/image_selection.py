"""Images of a large run that its page shows: worst, best, those that methods disagree on, and some at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from captum_gag.reliability.scores import by_metric, judged
from captum_gag.runs.store import Run

MOST = 150
"""Images on a page, unless others are asked for."""

RANDOM = 0.25
"""Share of them that is drawn at random, so that a reader sees what is usual too."""

AT_RANDOM = "drawn at random"
COARSE = 28
"""Side to which maps are averaged before they are compared: differences from pixel to pixel are noise."""

BY_MAPS = "Maps that differ most"
NAMED = 6
"""Images named by each kind of disagreement."""


class Selection(NamedTuple):
    """The images that a page shows.

    Attributes:
        images: In the order of the run.
        reasons: By image, the ranking that it was taken from; empty where all are shown.
        words: How they were selected; "" where all are shown.
    """

    images: list[str]
    reasons: dict[str, str]
    words: str


def select(images: Sequence[str], ranked: Mapping[str, Sequence[str]], most: int | None, seed: int) -> Selection:
    """Select images: in turn the first of each ranking, and a quarter at random.

    Args:
        images: All of them.
        ranked: By reason, images that are worth seeing, the most so first.
        most: How many; None for all.
        seed: Of those at random.
    """
    if most is None or len(images) <= most:
        return Selection(list(images), {}, "")
    reasons: dict[str, str] = {}
    in_turn = (pair for rank in zip_longest(*ranked.values()) for pair in zip(ranked, rank, strict=True))
    for reason, image in in_turn:
        if len(reasons) >= most - int(RANDOM * most):
            break
        if image is not None:
            reasons.setdefault(image, reason)
    n_ranked, rest = len(reasons), [image for image in images if image not in reasons]
    at_random = np.random.default_rng(seed).choice(len(rest), most - n_ranked, replace=False)
    reasons |= {rest[index]: AT_RANDOM for index in at_random}
    words = (
        f"{most:,} of {len(images):,} images are shown: {n_ranked} because a metric scores the explanation with its "
        f"best mean worst or best on them, or because methods disagree, and {len(at_random)} drawn at random (seed "
        f"{seed}). All numbers are of all images."
    )
    return Selection([image for image in images if image in reasons], reasons, words)


def worth_seeing(
    worst: Mapping[tuple[str, str], pd.DataFrame],
    differing: Mapping[str, pd.Series],
    pairs: Sequence[Mapping[str, Any]],
) -> dict[str, list[str]]:
    """Rank the images worth seeing by each reason, the most so first.

    Args:
        worst: As ``worst.ranked`` returns them.
        differing: As ``disagreements`` returns them.
        pairs: As ``pair_table.nearest_pairs`` returns them.
    """
    by_name = {f"of {method} by {metric}": table["image"].tolist() for (metric, method), table in worst.items()}
    lowest = {f"among the worst {name}": images for name, images in by_name.items()}
    highest = {f"among the best {name}": images[::-1] for name, images in by_name.items()}
    differ = {f"methods disagree ({caption})": list(values.index) for caption, values in differing.items()}
    apart = {
        f"{' and '.join(pair['methods'])} are far apart by {pair['metric']}": [row["image"] for row in pair["images"]]
        for pair in pairs
    }
    return {**lowest, **highest, **apart, **differ}


def disagreements(run: Run, scores: pd.DataFrame, images: Sequence[str]) -> dict[str, pd.Series]:
    """Rank the images by the agreement of the methods on them, the least first, by each kind of agreement.

    Args:
        run: Whose maps are compared, if it kept them: without random and manipulated ones.
        scores: Its records, as ``reliability.scores.checked`` returns them.
        images: Whose maps are read.

    Returns:
        By caption, of the images that have one: the mean of Spearman's rho between the maps of two methods; and by
        each metric Spearman's rho between its ranking of the methods on the image and on average.
    """
    compared = judged(scores)
    methods = set(compared["method"].unique())
    maps = ((image, run.maps(image)) for image in (images if run.keeps("maps") else ()))
    alike = {image: agreement({name: of[name] for name in of if name in methods}) for image, of in maps}
    kinds = {BY_MAPS: pd.Series(alike, dtype=float)}
    for metric, table in by_metric(compared).items():
        if table.shape[1] > 2:
            kinds[f"Ranked against the mean by {metric}"] = agreement_with_mean(table)
    ordered = {caption: values.dropna().sort_values(kind="stable") for caption, values in kinds.items()}
    return {caption: values for caption, values in ordered.items() if len(values)}


def disagreement_tables(kinds: Mapping[str, pd.Series]) -> list[dict[str, Any]]:
    """Return caption, words and rows (image, value) of each of ``disagreements``, for the page."""
    by_maps = "On these images the maps of the methods are least alike (mean Spearman's rho between two methods' maps)."
    by_scores = "On these images the metric ranks the methods least as it does on average (Spearman's rho)."
    return [
        {
            "caption": caption,
            "words": by_maps if caption == BY_MAPS else by_scores,
            "rows": [{"image": image, "value": value} for image, value in values.head(NAMED).items()],
        }
        for caption, values in kinds.items()
    ]


def agreement(maps: Mapping[str, Tensor]) -> float:
    """Return the mean of Spearman's rho between the maps of any two methods, each averaged to 28 x 28."""
    coarse = [adaptive_avg_pool2d(map[None], min(COARSE, *map.shape)).flatten() for map in maps.values()]
    varied = [map.numpy() for map in coarse if map.isfinite().all() and map.amax() > map.amin()]
    if len(varied) < 2:
        return float("nan")
    rho = (
        np.atleast_2d(spearmanr(np.stack(varied), axis=1).statistic)
        if len(varied) > 2
        else spearmanr(*varied).statistic
    )
    return float(rho if np.ndim(rho) == 0 else rho[np.triu_indices(len(varied), 1)].mean())


def agreement_with_mean(table: pd.DataFrame) -> pd.Series:
    """Return Spearman's rho of each row with the mean of the rows, over the columns that the row has."""
    means = pd.DataFrame(np.where(table.notna(), table.mean(), np.nan), table.index, table.columns)
    one, other = (ranked.sub(ranked.mean(axis=1), axis=0) for ranked in (table.rank(axis=1), means.rank(axis=1)))
    return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
