"""Faithfulness (Alvarez-Melis & Jaakkola, 2018; as Tomsett et al., 2019, use it): relevance against what is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from torch import Tensor

from captum_gag.baselines import BaselineLike, Normalization, resolve
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.curves import (
    Model,
    Reveal,
    class_probabilities,
    class_targets,
    fit_to_images,
    relevance_of,
    warn_undefined,
)


class Losses(NamedTuple):
    """What single pixels are said to be worth, and what the class loses without each.

    Attributes:
        relevance: R_i, (N, P).
        loss: f(x) - f(x without i), (N, P).
    """

    relevance: Tensor
    loss: Tensor

    @property
    def correlation(self) -> Tensor:
        """Pearson correlation of the two, (N,) in [-1, 1]; NaN where either is constant."""
        sides = [(side - side.mean(1, keepdim=True)).double() for side in self]
        product = (sides[0] * sides[1]).sum(1)
        norm = sides[0].norm(dim=1) * sides[1].norm(dim=1)
        varies = (self.relevance.amax(1) > self.relevance.amin(1)) & (self.loss.amax(1) > self.loss.amin(1))
        return torch.where(varies, (product / norm).clamp(-1, 1), torch.nan)


def pixel_losses(
    model: Model,
    inputs: Tensor,
    maps: Tensor,
    target: int | Sequence[int] | Tensor,
    *,
    n_pixels: int = 100,
    perturb_baseline: BaselineLike = "mean",
    normalization: Normalization | None = None,
    seed: int = 0,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> Losses:
    """Replace single random pixels, one at a time and the same ones in every image; arguments as ``faithfulness``."""
    relevance = relevance_of(fit_to_images(maps, inputs)).flatten(1)
    if not 2 <= n_pixels <= relevance.shape[1]:
        raise ValueError(f"n_pixels is {n_pixels!r}, expected 2 to {relevance.shape[1]}, the number of pixels.")
    chosen = torch.randperm(relevance.shape[1], generator=torch.Generator().manual_seed(seed))[:n_pixels]
    chosen = chosen.to(inputs.device)
    # Pixel number i shows the baseline at level i, and no pixel does at level 0.
    number = torch.full_like(relevance[:1], -1).index_copy(
        1, chosen, torch.arange(1.0, n_pixels + 1).to(relevance)[None]
    )
    order = number.reshape(1, *inputs.shape[-2:]).expand(len(inputs), -1, -1)
    levels = torch.arange(n_pixels + 1, device=inputs.device).to(relevance).expand(len(inputs), -1)
    reveal = Reveal(resolve(perturb_baseline, normalization)(inputs), inputs, order, levels, torch.eq)
    outputs = class_probabilities(model, reveal, class_targets(target, inputs), softmax, internal_batch_size)
    return Losses(relevance[:, chosen], outputs[:, :1] - outputs[:, 1:])


def faithfulness(
    model: Model, inputs: Tensor, maps: Tensor, target: int | Sequence[int] | Tensor, **options: Any
) -> Tensor:
    """Correlate what a map says of single pixels with what the class loses without them.

    Args:
        model: From images (B, C, H, W) to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W) as the model takes them, on its device.
        maps: Relevance (N, C, H, W), summed over channels with its sign, or (N, H, W) or (N, 1, H, W).
        target: Class of all images, or of each.
        options: ``n_pixels`` (100): random pixels, the same for every image. ``perturb_baseline`` ("mean"),
            ``normalization``, ``softmax``, ``internal_batch_size``: as for ``rcap``. ``seed`` (0): of the pixels.

    Returns:
        Pearson correlations of shape (N,) in [-1, 1], higher is better. NaN, with one warning that names the images,
        where the relevance of the pixels or the output of the model is constant.

    Raises:
        ValueError: If shapes, targets or ``n_pixels`` have no meaning.
    """
    scores = pixel_losses(model, inputs, maps, target, **options).correlation
    warn_undefined("Faithfulness", scores.tolist())
    return scores


class Faithfulness(TorchMetric):
    """Faithfulness as a Quantus metric; see ``faithfulness``.

    Attributes:
        details: For each image of the last call a dict with "relevance" and "loss" of the pixels, arrays (n_pixels,).
    """

    name = "Faithfulness"
    score_direction: ClassVar[ScoreDirection] = ScoreDirection.HIGHER
    evaluation_category: ClassVar[EvaluationCategory] = EvaluationCategory.FAITHFULNESS

    def __init__(
        self,
        n_pixels: int = 100,
        perturb_baseline: BaselineLike = "mean",
        normalization: Normalization | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Set the metric up.

        Args:
            n_pixels: Random pixels, the same for every image.
            perturb_baseline: What a replaced pixel shows; see ``rcap``.
            normalization: (mean, std) by which pixels in [0, 1] became ``x_batch``.
            seed: Of the pixels.
            kwargs: As for every Quantus metric; see ``TorchMetric``.
        """
        super().__init__(**kwargs)
        resolve(perturb_baseline, normalization)
        self.options: dict[str, Any] = {
            "n_pixels": n_pixels,
            "perturb_baseline": perturb_baseline,
            "normalization": normalization,
            "seed": seed,
        }

    def evaluate_tensors(
        self, model: Model, inputs: Tensor, maps: Tensor, target: Tensor, segmentation: Tensor | None = None
    ) -> Tensor:
        """Score one batch and keep what was correlated."""
        losses = pixel_losses(model, inputs, maps, target, softmax=False, **self.options)
        self.keep_details(**losses._asdict())
        return losses.correlation
