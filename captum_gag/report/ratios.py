"""Ratios of the mean scores of variants to those of their own original methods (Huang & Liu, Table 3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from captum_gag.reliability.bootstrap import Floats
from captum_gag.reliability.jackknife import FEWEST, jackknife_interval, without_each
from captum_gag.reliability.scores import by_image, checked, metrics_of

COLUMNS = ["metric", "variant", "ratio", "low", "high", "images", "over", "left_out"]


def ratios(scores: pd.DataFrame, variants: Mapping[str, Mapping[str, str]], confidence: float = 0.95) -> pd.DataFrame:
    """Return the ratio of each variant's mean score to its own original's, averaged over the originals.

    For variant v of the originals o = 1..m, with means over the images,

        ratio(v) = (1/m) sum_o mean(scores of v of o) / mean(scores of o):

    a mean over methods of ratios of means, as the paper divides mean scores; a mean over images of ratios would be that
    of the few images whose original scores next to nothing. The interval is ``jackknife_interval``, which leaves out an
    image for all methods at once. A ratio says how many times as much only where the original's mean is above 0, and is
    anything from minus to plus infinity where that mean may as well be 0. So an original is left out of a metric's
    average, and named, where the interval of its mean reaches 0 or lies below; but not where no score is below 0 and
    more than one above, as then the mean is above 0 for certain.

    Args:
        scores: A score table.
        variants: By the name of the variant, and by the method that is its original, the method that is the variant.
        confidence: Of the interval, in (0, 1).

    Returns:
        A row per metric and variant: metric (its label), variant, ratio, low, high, images (that have a score of all
        methods averaged), over (the originals averaged) and left_out (those whose mean may be 0), tuples. NaN where no
        original is left; low and high also for fewer than 4 images.

    Raises:
        InputError: The scores are not a score table.
    """
    scores = checked(scores)
    rows = []
    for metric in metrics_of(scores):
        table = by_image(scores, metric).dropna(axis=1, how="all")
        vague = {
            original
            for original in {each for of in variants.values() for each in of}
            if original in table and not _above_zero(table[original].dropna().to_numpy(), confidence)
        }
        for variant, of in variants.items():
            there = {o: method for o, method in of.items() if o in table and method in table}
            kept = {o: method for o, method in there.items() if o not in vague}
            row = {"metric": metric, "variant": variant, "images": 0, "ratio": np.nan, "low": np.nan, "high": np.nan}
            row |= {"over": tuple(kept), "left_out": tuple(o for o in there if o in vague)}
            if kept:
                whole = table[[*kept.values(), *kept]].dropna().to_numpy()
                row |= _averaged(whole, len(kept), confidence)
            if there:
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _above_zero(scores: Floats, confidence: float) -> bool:
    """Tell whether a mean lies above 0 for sure; of too few images to tell, whether theirs does."""
    certain = (scores >= 0).all() and (scores > 0).sum() > 1
    if certain or len(scores) < FEWEST:
        return bool(scores.mean() > 0)
    return jackknife_interval(scores.mean(), without_each(scores), confidence)[0] > 0


def _averaged(whole: Floats, n_originals: int, confidence: float) -> dict[str, float]:
    """Return ratio, low, high and images of scores (images, variants then originals)."""

    def ratio(means: Floats) -> Floats:
        # Of a few images that all score 0 the ratio is none, and neither is it an error.
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = (means[..., :n_originals] / means[..., n_originals:]).mean(axis=-1)
            return found

    if not len(whole):
        return {"images": 0}
    found = float(ratio(whole.mean(axis=0)))
    low, high = jackknife_interval(found, ratio(without_each(whole)), confidence, ratio=True)
    return {"images": len(whole), "ratio": found, "low": low, "high": high}
