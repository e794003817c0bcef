"""RCAP, ReCover And Predict (Huang & Liu, 2024, equation 5): little noise in the map, class found in its top."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from torch import Tensor

from captum_gag.baselines import BaselineLike, Normalization, resolve
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Model, Plan, Reveal, Target, run_plan, warn_undefined
from captum_gag.tensors import row_percentiles


class RCAPFactors(NamedTuple):
    """The two factors of equation 5 at every threshold p_k, k = 1..j.

    Attributes:
        visual_noise: Share of the map's saliency in the recovered part, (N, j), in [0, 1]: high when little of it is
            noise below the threshold. Does not fall with k. NaN for a map without ranking.
        localization: Probability of the class given the recovered part alone, (N, j), in [0, 1].
    """

    visual_noise: Tensor
    localization: Tensor

    @property
    def score(self) -> Tensor:
        """RCAP, shape (N,), in [0, 1]: the mean over k of the product of the factors."""
        return (self.visual_noise * self.localization).mean(1)


def rcap_plan(
    batch: MapBatch,
    lower_bound: float = 50.0,
    interval: float = 10.0,
    perturb_baseline: BaselineLike = "black",
    normalization: Normalization | None = None,
) -> Plan:
    """Plan RCAP: the recovered images at every threshold, read as ``RCAPFactors``; arguments as for ``rcap``."""
    pixels = batch.saliency.flatten(1)
    order, levels = recovery_levels(batch.saliency, lower_bound, interval)
    recovered = torch.stack([(pixels * (pixels >= level.unsqueeze(1))).sum(1) for level in levels.unbind(1)], 1)
    visual_noise = recovered / pixels.sum(1, keepdim=True)
    reveal = Reveal(batch.images, batch.baseline(perturb_baseline, normalization), order, levels)
    return Plan(reveal, lambda probabilities: RCAPFactors(visual_noise, probabilities))


def rcap_factors(
    model: Model,
    inputs: Tensor,
    maps: Tensor,
    target: Target,
    *,
    softmax: bool = True,
    internal_batch_size: int | None = None,
    **options: Any,
) -> RCAPFactors:
    """Give the two factors of RCAP at every threshold; arguments as for ``rcap``."""
    factors: RCAPFactors = run_plan(
        rcap_plan(MapBatch(inputs, maps), **options), model, target, softmax, internal_batch_size
    )
    return factors


def rcap(
    model: Model,
    inputs: Tensor,
    maps: Tensor,
    target: Target,
    *,
    lower_bound: float = 50.0,
    interval: float = 10.0,
    perturb_baseline: BaselineLike = "black",
    normalization: Normalization | None = None,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> Tensor:
    r"""Score saliency maps by recovering their most salient pixels and predicting from these alone.

    .. math::
        RCAP = \frac{1}{j} \sum_{k=1}^{j} \frac{\sum M_{p_k}}{\sum M} \, \sigma(f(I_{p_k}))_c \quad (5)

    :math:`p_k` is the (100 - k interval)-th percentile of the map M, :math:`M_{p_k}` its part at or above (and above
    0), :math:`I_{p_k}` the image shown there and nowhere else.

    Args:
        model: From images (B, C, H, W) to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W) as the model takes them, on its device.
        maps: Attributions (N, C, H, W) or maps (N, H, W) or (N, 1, H, W), of any sign and scale: reduced by
            ``saliency_map``. Another resolution than the images' is interpolated to it, with a warning.
        target: Class of all images, or of each.
        lower_bound: Percentile in [0, 100) down to which is recovered.
        interval: Distance of the percentiles; divides 100 - lower_bound.
        perturb_baseline: What hidden pixels show: a name ("black", "mean", "uniform_rgb", "blur"; in pixel space), a
            number or tensor (in model space), or a callable from images to images.
        normalization: (mean, std) by which pixels in [0, 1] became ``inputs``.
        softmax: Turn the model's scores into probabilities. False for a model that returns probabilities.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        Scores of shape (N,) in [0, 1], higher is better. NaN, with one warning that names the images, for a map
        without ranking: constant, or with a NaN or an infinity in it.

    Raises:
        ValueError: If shapes, targets, ``lower_bound`` or ``interval`` have no meaning.
    """
    scores = rcap_factors(
        model,
        inputs,
        maps,
        target,
        lower_bound=lower_bound,
        interval=interval,
        perturb_baseline=perturb_baseline,
        normalization=normalization,
        softmax=softmax,
        internal_batch_size=internal_batch_size,
    ).score
    warn_undefined("RCAP", scores.tolist())
    return scores


class RCAP(TorchMetric):
    """RCAP as a Quantus metric; see ``rcap`` for the definition and the meaning of the arguments.

    Attributes:
        details: For each image of the last call a dict with its two factors at every p_k, "visual_noise" and
            "localization", arrays of shape (j,).
    """

    name = "ReCover And Predict"
    score_direction: ClassVar[ScoreDirection] = ScoreDirection.HIGHER
    evaluation_category: ClassVar[EvaluationCategory] = EvaluationCategory.FAITHFULNESS

    def __init__(
        self,
        lower_bound: float = 50.0,
        interval: float = 10.0,
        perturb_baseline: BaselineLike = "black",
        normalization: Normalization | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the metric up.

        Args:
            lower_bound: Percentile in [0, 100) down to which is recovered.
            interval: Distance of the percentiles; divides 100 - lower_bound.
            perturb_baseline: What hidden pixels show; see ``rcap``.
            normalization: (mean, std) by which pixels in [0, 1] became ``x_batch``.
            kwargs: As for every Quantus metric; see ``TorchMetric``.
        """
        super().__init__(**kwargs)
        thresholds(lower_bound, interval)
        resolve(perturb_baseline, normalization)
        self.lower_bound = lower_bound
        self.interval = interval
        self.perturb_baseline = perturb_baseline
        self.normalization = normalization

    def plan(self, batch: MapBatch) -> Plan:
        """Plan this metric of a batch."""
        return rcap_plan(batch, self.lower_bound, self.interval, self.perturb_baseline, self.normalization)


def recovery_levels(saliency: Tensor, lower_bound: float, interval: float) -> tuple[Tensor, Tensor]:
    """Give what decides which pixels are recovered: at step k those whose order is at least level k.

    Args:
        saliency: Maps (N, H, W), at least 0.
        lower_bound: Percentile in [0, 100) down to which is recovered.
        interval: Distance of the percentiles.

    Returns:
        Order (N, H, W), the saliency with -1 where there is none, since a pixel without saliency is never recovered;
        and levels (N, j), p_1 > ... > p_j.

    Raises:
        ValueError: As ``thresholds``.
    """
    levels = row_percentiles(saliency.flatten(1), thresholds(lower_bound, interval))
    return torch.where(saliency > 0, saliency, -1.0), levels


def thresholds(lower_bound: float, interval: float) -> list[float]:
    """Give the percentiles p_1 > ... > p_j = lower_bound.

    Raises:
        ValueError: If ``lower_bound`` is outside [0, 100) or ``interval`` does not divide 100 - lower_bound.
    """
    steps = (100 - lower_bound) / interval if interval > 0 else 0.0
    if not 0 <= lower_bound < 100 or steps < 1 or abs(steps - round(steps)) > 1e-6:
        raise ValueError(
            f"lower_bound is {lower_bound!r} and interval {interval!r}, expected percentages, 0 <= lower_bound < 100 "
            "and an interval > 0 that divides 100 - lower_bound, such as 50 and 10."
        )
    return [max(100 - k * interval, 0.0) for k in range(1, round(steps) + 1)]
