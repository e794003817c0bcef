"""On which images the methods of a run disagree: by their maps, and by each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from captum_gag.reliability.scores import by_metric, judged
from captum_gag.runs.store import Run

SHOWN = 6
"""Images named by each."""
COARSE = 28
"""Side to which maps are averaged before they are compared: how they differ from pixel to pixel is noise."""
BY_MAPS = "Maps that differ most"


def disagreements(run: Run, scores: pd.DataFrame, images: Sequence[str]) -> dict[str, pd.Series]:
    """Return by what methods disagree, and for each image how far they agree, the least first.

    Args:
        run: Whose maps are compared, if it kept them: without random and manipulated ones.
        scores: Its records, as ``reliability.scores.checked`` returns them.
        images: Whose maps are read.

    Returns:
        By caption, of the images of which it can be told: the mean of Spearman's rho between the maps of two methods;
        and by each metric Spearman's rho between how it ranks the methods on the image and on average.
    """
    known = judged(scores)
    methods = set(known["method"].unique())
    maps = ((image, run.maps(image)) for image in (images if run.keeps("maps") else ()))
    alike = {image: agreement({name: each for name, each in of.items() if name in methods}) for image, of in maps}
    found = {BY_MAPS: pd.Series(alike, dtype=float)}
    for metric, table in by_metric(known).items():
        if table.shape[1] > 2:
            found[f"Ranked against the mean by {metric}"] = agreement_with_mean(table)
    ordered = {caption: values.dropna().sort_values(kind="stable") for caption, values in found.items()}
    return {caption: values for caption, values in ordered.items() if len(values)}


def disagreement(found: Mapping[str, pd.Series]) -> list[dict[str, Any]]:
    """Return a table for each of ``disagreements``: caption, words and rows of image and value."""
    by_maps = "On these images the maps of the methods are least alike (mean Spearman's rho between two methods' maps)."
    by_scores = "On these images the metric ranks the methods least as it does on average (Spearman's rho)."
    return [
        {
            "caption": caption,
            "words": by_maps if caption == BY_MAPS else by_scores,
            "rows": [{"image": image, "value": value} for image, value in values.head(SHOWN).items()],
        }
        for caption, values in found.items()
    ]


def agreement(maps: Mapping[str, Tensor]) -> float:
    """Return the mean of Spearman's rho between the maps of any two methods, each averaged to 28 x 28."""
    coarse = [adaptive_avg_pool2d(each[None], min(COARSE, *each.shape)).flatten() for each in maps.values()]
    kept = [each.numpy() for each in coarse if each.isfinite().all() and each.amax() > each.amin()]
    if len(kept) < 2:
        return float("nan")
    rho = np.atleast_2d(spearmanr(np.stack(kept), axis=1).statistic) if len(kept) > 2 else spearmanr(*kept).statistic
    return float(rho if np.ndim(rho) == 0 else rho[np.triu_indices(len(kept), 1)].mean())


def agreement_with_mean(table: pd.DataFrame) -> pd.Series:
    """Return Spearman's rho of each row with the mean of the rows, over the columns that the row has."""
    means = pd.DataFrame(np.where(table.notna(), table.mean(), np.nan), table.index, table.columns)
    one, other = (ranked.sub(ranked.mean(axis=1), axis=0) for ranked in (table.rank(axis=1), means.rank(axis=1)))
    return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
