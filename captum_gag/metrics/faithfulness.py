"""Faithfulness (Alvarez-Melis & Jaakkola, 2018; as Tomsett et al., 2019, use it): relevance against lost class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_gag.errors import InputError
from captum_gag.metrics.base import BaselineOption, MaskingMetric, NormalizationOption, function_of
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import MaskedInputs, Plan
from captum_gag.metrics.readings import Reading, warn_of_nan
from captum_gag.options import declared, option
from captum_gag.tensors import positions

DEFAULT_PIXELS = 100

ROUNDING = 4.0
"""Units in the last place by which outputs may differ for inputs that mean the same to the model."""


@dataclass(frozen=True, eq=False)
class Losses(Reading):
    """The relevance of single pixels, and the probability that the class loses without each.

    Attributes:
        relevance: R_i, (N, P).
        loss: f(x) - f(x without i), (N, P).
    """

    relevance: Tensor
    loss: Tensor

    @property
    def score(self) -> Tensor:
        """Pearson correlation of the two, (N,) in [-1, 1]; NaN where either is constant, but for rounding."""
        sides = (self.relevance.double(), self.loss.double())
        one, other = (side - side.mean(1, keepdim=True) for side in sides)
        product = (one * other).sum(1)
        norm = one.norm(dim=1) * other.norm(dim=1)
        varies = (self.relevance.amax(1) > self.relevance.amin(1)) & (self.loss.amax(1) > self.loss.amin(1))
        return torch.where(varies, (product / norm).clamp(-1, 1), torch.nan)


@declared
class FaithfulnessMetric(MaskingMetric):
    """Replace single pixels and correlate their relevance with what the class loses; see ``faithfulness``."""

    n_pixels: int | None = option(
        default=None, help="Random pixels, the same for every image; None: 100, or all where there are fewer.", ge=2
    )
    perturb_baseline: BaselineOption = "mean"
    normalization: NormalizationOption = None
    seed: int = option(default=0, help="Seed of the pixels.", ge=-(2**63), lt=2**64)

    higher_is_better = True

    def plan(self, batch: MapBatch) -> Plan:
        """Return the image with one random pixel replaced at a time, read as ``Losses``."""
        images, relevance = batch.images, batch.relevance.flatten(1)
        total = relevance.shape[1]
        n_pixels = self.n_pixels or min(DEFAULT_PIXELS, total)
        if n_pixels > total:
            raise InputError(f"n_pixels is {n_pixels}, must be 2 to {total}, the number of pixels.")
        pixels = torch.randperm(total, generator=torch.Generator().manual_seed(self.seed))[:n_pixels].to(images.device)
        # Pixel number i shows the baseline at level i; the others have number 0, and level -1 leaves the image alone.
        numbers = torch.arange(n_pixels + 1, device=images.device)

        def order_and_levels() -> tuple[Tensor, Tensor]:
            order = torch.zeros_like(relevance[0], dtype=torch.long).index_copy(0, pixels, numbers[1:])
            levels = numbers.where(numbers > 0, -1)
            return order.reshape(positions(images)).expand_as(batch.relevance), levels.expand(len(images), -1)

        order, levels = batch.cached(("faithfulness", n_pixels, self.seed), order_and_levels)
        hidden = batch.baseline(self.perturb_baseline, self.normalization)
        return Plan(
            MaskedInputs(images, hidden, order, levels, torch.ne),
            lambda outputs: Losses(relevance[:, pixels], losses(outputs, torch.finfo(images.dtype).eps)),
            relevance,
        )


def losses(outputs: Tensor, eps: float) -> Tensor:
    """Return the loss f(x) - f(x without i) of each pixel, (N, P); 0 for all where they differ by rounding alone.

    Args:
        outputs: f(x), f(x without 1), ..., (N, 1 + P).
        eps: Machine epsilon of the precision in which the model computes.
    """
    lost = outputs[:, :1] - outputs[:, 1:]
    spread = lost.amax(1) - lost.amin(1)
    return lost.masked_fill((spread <= ROUNDING * eps * outputs.abs().amax(1)).unsqueeze(1), 0.0)


@function_of(FaithfulnessMetric)
def faithfulness(losses: Losses) -> Tensor:
    """Correlate the relevance of single pixels with the probability that the class loses without them.

    The relevance of a pixel is the sum of its map over channels, with its sign.

    Returns:
        Pearson correlations of shape (N,) in [-1, 1], higher is better. NaN, with one warning that names the images,
        where the relevance of the pixels is constant, or the output of the model but for its rounding.
    """
    return warn_of_nan("Faithfulness", losses.score, losses.causes)
