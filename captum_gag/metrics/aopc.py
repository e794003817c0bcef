"""AOPC, the area over the perturbation curve (Samek et al., 2017; as Tomsett et al., 2019, use it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from captum_gag.errors import InputError
from captum_gag.metrics.base import BaselineOption, MaskingMetric, NormalizationOption, function_of
from captum_gag.metrics.map_batch import MapBatch, pixel_ranks, without_ranking
from captum_gag.metrics.masking import MaskedInputs, Plan
from captum_gag.metrics.readings import Curve, Reading, thin_curve, warn_of_nan
from captum_gag.options import declared, option
from captum_gag.tensors import positions

DEFAULT_STEPS = 100


@dataclass(frozen=True, eq=False)
class AOPCCurve(Reading):
    """AOPC at every number of steps.

    Attributes:
        aopc: AOPC at L = 1..n_steps, (N, n_steps). NaN for a map without ranking.
    """

    aopc: Tensor

    @property
    def score(self) -> Tensor:
        """AOPC at n_steps, (N,)."""
        return self.aopc[:, -1]

    def at(self, steps: int) -> Tensor:
        """Return AOPC at a number of steps, (N,).

        Raises:
            InputError: If it was computed for fewer steps.
        """
        if not 1 <= steps <= self.aopc.shape[1]:
            raise InputError(f"AOPC was computed for 1 to {self.aopc.shape[1]} steps, not for {steps}; set n_steps.")
        return self.aopc[:, steps - 1]

    def curve(self, row: int) -> Curve:
        """Return AOPC over the share of the steps."""
        n_steps = self.aopc.shape[1]
        return thin_curve(torch.arange(1, n_steps + 1) / n_steps, self.aopc[row], "share of the steps", "AOPC")


@declared
class AOPCMetric(MaskingMetric):
    """AOPC: replace regions one after the other and sum up what the class loses; see ``aopc_curve``."""

    order: Literal["morf", "lerf", "random"] = option(
        default="morf",
        help='"morf" replaces the most relevant regions first, "lerf" the least relevant, "random" a seeded order, the '
        "same for all images, that does not look at the map. Equal ones follow in reading order.",
    )
    n_steps: int | None = option(
        default=None, help="How many regions are replaced; None: 100, or all where there are fewer.", ge=1
    )
    perturb_baseline: BaselineOption = "mean"
    normalization: NormalizationOption = None
    region_size: int = option(
        default=1,
        help="Side of the regions in pixels, squares in images, ranked by their mean relevance; 1: pixels.",
        ge=1,
    )
    seed: int = option(default=0, help="Seed of the random order.", ge=-(2**63), lt=2**64)

    has_steps = True

    @property
    def higher_is_better(self) -> bool:
        """True for MoRF and random, False for LeRF."""
        return self.order != "lerf"

    def plan(self, batch: MapBatch) -> Plan:
        """Return the image with ever more regions replaced, read as ``AOPCCurve``."""
        images = batch.images
        size = min(self.region_size, max(positions(images)))
        regions = _regions(batch.relevance, size)
        total = regions[0].numel()
        n_steps = self.n_steps or min(DEFAULT_STEPS, total)
        if n_steps > total:
            raise InputError(f"n_steps is {n_steps}, but there are only {total} regions; take fewer steps.")
        ranking: Tensor | None = batch.relevance
        undefined = without_ranking(batch.relevance).unsqueeze(1)
        if self.order == "random":
            generator = torch.Generator().manual_seed(self.seed)
            regions = torch.rand(regions.shape[1:], generator=generator, dtype=torch.float32)
            regions = regions.to(images.device).expand(len(images), *regions.shape)
            ranking, undefined = None, torch.zeros_like(undefined)
        # Rows of a random order are one memory, ranked once.
        distinct = regions if regions.stride(0) else regions[:1]
        pixels = pixel_ranks(distinct, descending=self.order != "lerf").expand_as(regions)
        for axis, side in enumerate(positions(images) if size > 1 else (), start=1):
            pixels = pixels.repeat_interleave(size, axis).narrow(axis, 0, side)
        replaced = torch.arange(n_steps + 1, device=images.device).expand(len(images), -1)

        def read(outputs: Tensor) -> AOPCCurve:
            lost = (outputs[:, :1] - outputs).cumsum(1)[:, 1:]
            return AOPCCurve((lost / (replaced[0, 1:] + 1)).masked_fill(undefined, torch.nan))

        hidden = batch.baseline(self.perturb_baseline, self.normalization)
        # Half a rank below the count, so that the image itself is outside the range of ranks.
        return Plan(MaskedInputs(images, hidden, pixels, replaced - 0.5, torch.ge), read, ranking)


def _regions(relevance: Tensor, size: int) -> Tensor:
    """Return the mean relevance of the regions, squares of ``size`` positions along each axis."""
    if size == 1:
        return relevance
    pools = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
    axes = relevance.ndim - 1
    if axes not in pools:
        raise InputError(f"region_size is {size} for inputs with {axes} axes of positions; take region_size=1.")
    return pools[axes](relevance.unsqueeze(1), size, ceil_mode=True).squeeze(1)


@function_of(AOPCMetric)
def aopc_curve(curve: AOPCCurve) -> Tensor:
    r"""Score maps by the probability that the class loses while regions are replaced, for every number of steps.

    .. math:: AOPC_L = \frac{1}{L + 1} \sum_{k=0}^{L} f(x^{(0)}) - f(x^{(k)}), \quad L = 1..n

    One pass gives the score for every L: the last column is AOPC at ``n_steps``. The relevance of a pixel is the sum of
    its map over channels, with its sign.

    Returns:
        Tensor of shape (N, n_steps). For MoRF higher is better, for LeRF lower. NaN for a map without ranking, unless
        the order is random.
    """
    return curve.aopc


@function_of(AOPCMetric)
def aopc(curve: AOPCCurve) -> Tensor:
    """Score maps by AOPC at ``n_steps``, the last column of ``aopc_curve``.

    Returns:
        Scores of shape (N,). NaN, with one warning that names the images, for a map without ranking, unless the order
        is random.
    """
    return warn_of_nan("AOPC", curve.score, curve.causes)
