"""Paired tests over the images and their effect sizes; what is no explanation, and whether explanations beat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import unwrap
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import ArrayLike

from captum_gag.reliability.bootstrap import Floats
from captum_gag.reliability.scores import LABEL, is_edges, is_manipulated, is_random, lean, picked
from captum_gag.reliability.summaries import against_baselines

SIGNIFICANT = 0.05
CONFIDENCE = 0.95
MANIPULATED = "manipulated"
"""The role of another method's map that was manipulated; that of a control is what its column ``control`` says."""


def roles_of(scores: pd.DataFrame) -> dict[str, str]:
    """Return by method of a checked table what it is if no explanation, "" if it is one; see ``comparison``."""
    known = scores.drop_duplicates("method")
    # A copy of the truth with a fault is made from the segmentation, and from no explanation.
    own = known["control"].where(~is_manipulated(known) | known["control"].eq("truth"), MANIPULATED)
    return dict(zip(known["method"], own, strict=True))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct p values for being several (Holm, 1979); NaN stays and does not count."""
    known = sorted((p, name) for name, p in p_values.items() if not np.isnan(p))
    corrected = dict.fromkeys(p_values, np.nan)
    highest = 0.0
    for place, (p, name) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - place) * p))
        corrected[name] = highest
    return corrected


def wilcoxon(differences: ArrayLike) -> float:
    """Return p of Wilcoxon's signed-rank test; NaN where no difference is known and other than 0."""
    known = _told(differences)
    return float(scipy.stats.wilcoxon(known).pvalue) if len(known) else float("nan")


def rank_biserial(differences: ArrayLike) -> float:
    """Return the effect size that goes with Wilcoxon's test, the matched-pairs rank-biserial correlation (Kerby, 2014).

    Args:
        differences: One per image; NaN and 0 do not count.

    Returns:
        The share of the ranks of the differences above 0 minus that of those below, in [-1, 1]; NaN for none.
    """
    known = _told(differences)
    if not len(known):
        return float("nan")
    ranks = scipy.stats.rankdata(abs(known))
    return float((ranks * np.sign(known)).sum() / ranks.sum())


def _told(differences: ArrayLike) -> Floats:
    values: Floats = np.asarray(differences, dtype=float)
    told: Floats = values[~np.isnan(values) & (values != 0)]
    return told


def unbeaten_baselines(
    scores: pd.DataFrame, directions: Mapping[str, bool | None], n_bootstrap: int, seed: int
) -> dict[tuple[str, str], bool | None]:
    """Tell by metric and control, of random orderings and edges, whether it is unbeaten; None if it cannot be told."""
    undirected = [metric for metric, higher in directions.items() if higher is None]
    # Numbers for the images are compared faster than their names.
    known = lean(scores)
    known = picked(known, ~known[LABEL].isin(undirected))
    known = known.assign(image=known["image"].factorize(sort=True)[0])
    explained = known["control"].eq("") & ~is_manipulated(known)
    random, edges = (list(known.loc[each(known), "method"].unique()) for each in (is_random, is_edges))
    found: dict[tuple[str, str], bool | None] = {}
    if not explained.any():
        return found
    # All random orderings make one band; of edge detectors each is a baseline of its own.
    for asked in filter(None, [[*random, *edges[:1]], *([name] for name in edges[1:])]):
        part = picked(known, explained | known["method"].isin(asked))
        answers = unwrap(against_baselines)(part, CONFIDENCE)
        for metric, of_metric in answers.groupby("metric", sort=False):
            for name in asked:
                said = of_metric["beats_random" if name in random else "beats_edges"]
                found[str(metric), name] = _unbeaten(said)
    return found


def _unbeaten(beats: Iterable[Any]) -> bool | None:
    said = [each for each in beats if each is not None]
    return not any(said) if said else None
