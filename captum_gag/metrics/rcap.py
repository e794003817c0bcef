"""RCAP, ReCover And Predict (Huang & Liu, 2024, equation 5): little noise in the map, the class in its top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from captum_gag.errors import InputError
from captum_gag.metrics.base import BaselineOption, MaskingMetric, NormalizationOption, function_of
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import MaskedInputs, Plan
from captum_gag.metrics.readings import Curve, Reading, thin_curve, warn_of_nan
from captum_gag.options import declared, option
from captum_gag.tensors import row_percentiles

Factor = Literal["both", "visual_noise", "localization"]


@dataclass(frozen=True, eq=False)
class RCAPFactors(Reading):
    """The two factors of equation 5 at every threshold p_k, k = 1..j.

    Attributes:
        visual_noise: Share of the map's saliency in the recovered part, (N, j), in [0, 1]: high when little of it is
            noise below the threshold. Does not fall with k. NaN for a map without ranking.
        localization: Probability of the class given the recovered part alone, (N, j), in [0, 1].
        factor: The factor that is the score, or both for their product.
    """

    visual_noise: Tensor
    localization: Tensor
    factor: Factor = "both"

    @property
    def product(self) -> Tensor:
        """The factors' product at every threshold, or one of them, (N, j)."""
        if self.factor == "both":
            return self.visual_noise * self.localization
        factor = self.visual_noise if self.factor == "visual_noise" else self.localization
        # A map without ranking has no prediction from its top either.
        return factor.where(self.visual_noise.isfinite(), torch.nan)

    @property
    def score(self) -> Tensor:
        """RCAP, shape (N,), in [0, 1]: the mean over k of the product of the factors."""
        return self.product.mean(1)

    def curve(self, row: int) -> Curve:
        """Return the product of the factors at every step k."""
        product, both = self.product[row], "share of saliency x probability"
        label = {"visual_noise": "share of saliency", "localization": "probability"}.get(self.factor, both)
        return thin_curve(torch.arange(1, len(product) + 1), product, "step k", label)


@declared
class RCAPMetric(MaskingMetric):
    """RCAP: recover the most salient pixels of an image and predict from these alone; see ``rcap``."""

    lower_bound: float = option(default=50.0, help="Last percentile, down to which pixels are recovered.", ge=0, lt=100)
    interval: float = option(default=10.0, help="Distance of the percentiles; divides 100 - lower_bound.", gt=0)
    perturb_baseline: BaselineOption = "black"
    normalization: NormalizationOption = None
    factor: Factor = option(
        default="both",
        help="The score is the mean of both factors' product (the paper), or of visual_noise or localization alone.",
    )

    higher_is_better = True

    def __post_init__(self) -> None:
        """Raise InputError unless the bounds, and the baseline options, fit together."""
        super().__post_init__()
        thresholds(self.lower_bound, self.interval)

    def plan(self, batch: MapBatch) -> Plan:
        """Return the recovered images at every threshold, read as ``RCAPFactors``."""
        pixels = batch.saliency.flatten(1)
        # One object for all RCAP metrics of a map, so that those of its factors cost no further passes.
        order, levels = batch.cached(
            ("recovery", id(batch.maps), self.lower_bound, self.interval),
            lambda: recovery_levels(batch.saliency, self.lower_bound, self.interval),
        )
        recovered = torch.stack([(pixels * (pixels >= level.unsqueeze(1))).sum(1) for level in levels.unbind(1)], 1)
        visual_noise = recovered / pixels.sum(1, keepdim=True)
        hidden = batch.baseline(self.perturb_baseline, self.normalization)
        return Plan(
            MaskedInputs(batch.images, hidden, order, levels),
            lambda probabilities: RCAPFactors(visual_noise, probabilities, self.factor),
            batch.saliency,
        )


@function_of(RCAPMetric)
def rcap(factors: RCAPFactors) -> Tensor:
    r"""Score saliency maps by recovering their most salient pixels and predicting from these alone.

    .. math::
        RCAP = \frac{1}{j} \sum_{k=1}^{j} \frac{\sum M_{p_k}}{\sum M} \, \sigma(f(I_{p_k}))_c \quad (5)

    M is the map, reduced by ``saliency_map`` so that magnitudes count, :math:`p_k` its (100 - k interval)-th
    percentile, :math:`M_{p_k}` its part at or above (and above 0), :math:`I_{p_k}` the image shown there and nowhere
    else.

    Returns:
        Scores of shape (N,) in [0, 1], higher is better. NaN, with one warning that names the images, for a map
        without ranking: constant, or with a NaN or an infinity in it.
    """
    return warn_of_nan("RCAP", factors.score, factors.causes)


@function_of(RCAPMetric)
def rcap_factors(factors: RCAPFactors) -> RCAPFactors:
    """Return the two factors of RCAP at every threshold; see ``rcap``.

    Returns:
        Both factors, (N, j); their ``score`` is RCAP.
    """
    return factors


def recovery_levels(saliency: Tensor, lower_bound: float, interval: float) -> tuple[Tensor, Tensor]:
    """Return the order of the pixels and the levels of the steps: step k recovers the pixels of order >= level k.

    Args:
        saliency: Maps (N, *positions), at least 0.
        lower_bound: Last percentile, in [0, 100), down to which pixels are recovered.
        interval: Distance of the percentiles.

    Returns:
        Order (N, *positions), the saliency with -1 instead of 0, since a pixel without saliency is never recovered;
        and levels (N, j), p_1 > ... > p_j.
    """
    levels = row_percentiles(saliency.flatten(1), thresholds(lower_bound, interval))
    return torch.where(saliency > 0, saliency, -1.0), levels


def thresholds(lower_bound: float, interval: float) -> list[float]:
    """Return the percentiles p_1 > ... > p_j = lower_bound.

    Raises:
        InputError: If ``lower_bound`` is outside [0, 100) or ``interval`` does not divide 100 - lower_bound.
    """
    steps = (100 - lower_bound) / interval if interval > 0 else 0.0
    if not 0 <= lower_bound < 100 or steps < 1 or abs(steps - round(steps)) > 1e-6:
        raise InputError(
            f"lower_bound is {lower_bound:g} and interval {interval:g}, must be 0 <= lower_bound < 100 and an interval "
            "> 0 that divides 100 - lower_bound, such as 50 and 10."
        )
    return [max(100 - k * interval, 0.0) for k in range(1, round(steps) + 1)]
