"""Faithfulness (Alvarez-Melis & Jaakkola, 2018; as Tomsett et al., 2019, use it): relevance against what is lost."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from torch import Tensor

from captum_gag.baselines import BaselineLike, Normalization, resolve
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Model, Plan, Reveal, Target, run_plan, warn_undefined


class Losses(NamedTuple):
    """What single pixels are said to be worth, and what the class loses without each.

    Attributes:
        relevance: R_i, (N, P).
        loss: f(x) - f(x without i), (N, P).
    """

    relevance: Tensor
    loss: Tensor

    @property
    def score(self) -> Tensor:
        """Pearson correlation of the two, (N,) in [-1, 1]; NaN where either is constant."""
        sides = [(side - side.mean(1, keepdim=True)).double() for side in self]
        product = (sides[0] * sides[1]).sum(1)
        norm = sides[0].norm(dim=1) * sides[1].norm(dim=1)
        varies = (self.relevance.amax(1) > self.relevance.amin(1)) & (self.loss.amax(1) > self.loss.amin(1))
        return torch.where(varies, (product / norm).clamp(-1, 1), torch.nan)


def faithfulness_plan(
    batch: MapBatch,
    n_pixels: int = 100,
    perturb_baseline: BaselineLike = "mean",
    normalization: Normalization | None = None,
    seed: int = 0,
) -> Plan:
    """Plan to replace single random pixels, read as ``Losses``; arguments as for ``faithfulness``."""
    images, relevance = batch.images, batch.relevance.flatten(1)
    if not 2 <= n_pixels <= relevance.shape[1]:
        raise ValueError(f"n_pixels is {n_pixels!r}, expected 2 to {relevance.shape[1]}, the number of pixels.")
    chosen = torch.randperm(relevance.shape[1], generator=torch.Generator().manual_seed(seed))[:n_pixels]
    chosen = chosen.to(images.device)
    # Pixel number i shows the baseline at level i; the others have number 0, and level -1 leaves the image alone.
    numbers = torch.arange(n_pixels + 1, device=images.device)

    def order() -> Tensor:
        flat = torch.zeros_like(relevance[0], dtype=torch.long).index_copy(0, chosen, numbers[1:])
        return flat.reshape(images.shape[-2:]).expand_as(batch.relevance)

    reveal = Reveal(
        batch.baseline(perturb_baseline, normalization),
        images,
        batch.once(("faithfulness order", n_pixels, seed), order),
        batch.once(
            ("faithfulness levels", n_pixels),
            lambda: torch.cat([numbers[:1] - 1, numbers[1:]]).expand(len(images), -1),
        ),
        torch.eq,
    )
    return Plan(reveal, lambda outputs: Losses(relevance[:, chosen], outputs[:, :1] - outputs[:, 1:]))


def faithfulness(
    model: Model,
    inputs: Tensor,
    maps: Tensor,
    target: Target,
    *,
    softmax: bool = True,
    internal_batch_size: int | None = None,
    **options: Any,
) -> Tensor:
    """Correlate what a map says of single pixels with what the class loses without them.

    Args:
        model: From images (B, C, H, W) to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W) as the model takes them, on its device.
        maps: Relevance (N, C, H, W), summed over channels with its sign, or (N, H, W) or (N, 1, H, W).
        target: Class of all images, or of each.
        softmax: Turn the model's scores into probabilities. False takes them as they are.
        internal_batch_size: Images in one forward pass. None picks a number.
        options: ``n_pixels`` (100): random pixels, the same for every image. ``seed`` (0): of the pixels.
            ``perturb_baseline`` ("mean") and ``normalization``: as for ``rcap``.

    Returns:
        Pearson correlations of shape (N,) in [-1, 1], higher is better. NaN, with one warning that names the images,
        where the relevance of the pixels or the output of the model is constant.

    Raises:
        ValueError: If shapes, targets or ``n_pixels`` have no meaning.
    """
    plan = faithfulness_plan(MapBatch(inputs, maps), **options)
    scores: Tensor = run_plan(plan, model, target, softmax, internal_batch_size).score
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

    def plan(self, batch: MapBatch) -> Plan:
        """Plan this metric of a batch."""
        return faithfulness_plan(batch, **self.options)
