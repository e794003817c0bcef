"""What GAG's map is made of, mean magnitude and variance of an image, in a form that redraws it at any percentile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from captum_gag.attr.catalogue import method
from captum_gag.attr.entries import AttributionMethod
from captum_gag.attr.guided_absolute_grad import GuidedAbsoluteGrad
from captum_gag.attr.methods import Method

Parts: TypeAlias = dict[str, NDArray[Any]]
"""magnitude, rank, scale and level of an image; see ``quantised``."""

STEPS = 100
"""Percentiles that a guide can be drawn at, and one more."""
CHANNELS = (1, 3)
"""Of an image whose parts fit into the colours of a picture."""


def guided(methods: Mapping[str, Method]) -> AttributionMethod | None:
    """Return the first method that is GAG with the paper's guide; None if none is."""
    for each in methods.values():
        if isinstance(each, AttributionMethod) and each.attribution is GuidedAbsoluteGrad:
            options = each.options()
            if (options["guide"], options["guide_window"]) == ("paper", 1):
                return each
    return None


def parts_of(gag: AttributionMethod) -> dict[str, Method]:
    """Return the methods that give the mean magnitude and the variance of GAG, from the same gradients."""
    options = gag.options()
    noise = "noise_level" if options["stdevs"] is None else "stdevs"
    same = {"type": "SG", "n_samples": options["nt_samples"], **{name: options[name] for name in (noise, "seed")}}
    return {
        "magnitude": method({**same, "interpretation": "absolute"}),
        "variance": method({**same, "aggregation": "variance"}),
    }


def quantised(magnitude: Tensor, variance: Tensor) -> Parts:
    """Bring both to bytes.

    Whether the variance V of a value reaches the p-th percentile is kept exactly, for p in 0, 1, ..., 100: it does
    where its rank is at least p.

    Args:
        magnitude: AG of equation 2, (C, H, W).
        variance: V of equation 3, likewise.

    Returns:
        magnitude, uint8 (C, H, W), the square root of AG over its maximum in the channel; scale, (C,), these maxima;
        rank, uint8 (C, H, W) in [0, 100], of V within its channel; level, (C, 101), the mean V of each rank. Empty for
        another number of channels, and for what is not finite.
    """
    if len(magnitude) not in CHANNELS or not (magnitude.isfinite().all() and variance.isfinite().all()):
        return {}
    means, spreads = (each.flatten(1).double().cpu().numpy() for each in (magnitude, variance))
    scale = means.max(1)
    shares = np.sqrt(means / np.where(scale > 0, scale, 1.0)[:, None])
    # All of equal variance reach a percentile together, or none of them does.
    places = rankdata(spreads, method="max", axis=1).astype(np.int64) - 1
    ranks = STEPS * places // max(1, spreads.shape[1] - 1)
    counts = np.stack([np.bincount(each, minlength=STEPS + 1) for each in ranks])
    sums = np.stack([np.bincount(*each, minlength=STEPS + 1) for each in zip(ranks, spreads, strict=True)])
    return {
        "magnitude": (255 * shares).round().astype(np.uint8).reshape(magnitude.shape),
        "rank": ranks.astype(np.uint8).reshape(magnitude.shape),
        "scale": scale.astype(np.float32),
        "level": (sums / np.maximum(counts, 1)).astype(np.float32),
    }
