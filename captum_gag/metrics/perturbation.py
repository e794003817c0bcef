"""AOPC, the area over the perturbation curve (Samek et al., 2017; as Tomsett et al., 2019, use it)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from torch import Tensor

from captum_gag.baselines import BaselineLike, Normalization, resolve
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.map_batch import MapBatch, pixel_ranks, without_ranking
from captum_gag.metrics.masking import Model, Plan, Reveal, Target, run_plan, warn_undefined

Order = Literal["morf", "lerf", "random"]
ORDERS = ("morf", "lerf", "random")


class AOPCCurve(NamedTuple):
    """AOPC for every number of steps.

    Attributes:
        aopc: AOPC at L = 1..n_steps, (N, n_steps). NaN for a map without ranking.
    """

    aopc: Tensor

    @property
    def score(self) -> Tensor:
        """AOPC at n_steps, (N,)."""
        return self.aopc[:, -1]


def aopc_plan(
    batch: MapBatch,
    order: Order = "morf",
    n_steps: int = 100,
    perturb_baseline: BaselineLike = "mean",
    normalization: Normalization | None = None,
    region_size: int = 1,
    seed: int = 0,
) -> Plan:
    """Plan AOPC, read as ``AOPCCurve``; arguments as for ``aopc_curve``."""
    check_order(order, n_steps, region_size)
    images = batch.images
    regions = torch.nn.functional.avg_pool2d(batch.relevance.unsqueeze(1), region_size, ceil_mode=True).squeeze(1)
    if n_steps > regions[0].numel():
        raise ValueError(f"n_steps is {n_steps}, but there are only {regions[0].numel()} regions; take fewer steps.")
    undefined = without_ranking(batch.relevance).unsqueeze(1)
    if order == "random":
        generator = torch.Generator().manual_seed(seed)
        regions = torch.rand(regions.shape[1:], generator=generator).to(images.device).expand_as(regions)
        undefined = torch.zeros_like(undefined)
    ranks = pixel_ranks(regions, descending=order != "lerf")
    pixels = ranks.repeat_interleave(region_size, 1).repeat_interleave(region_size, 2)
    pixels = pixels[:, : images.shape[2], : images.shape[3]]
    replaced = torch.arange(n_steps + 1, device=images.device).expand(len(images), -1)

    def read(outputs: Tensor) -> AOPCCurve:
        lost = (outputs[:, :1] - outputs).cumsum(1)[:, 1:]
        return AOPCCurve((lost / (replaced[0, 1:] + 1)).masked_fill(undefined, torch.nan))

    # Half a rank below the count, so that the image itself is outside the range of ranks.
    return Plan(Reveal(batch.baseline(perturb_baseline, normalization), images, pixels, replaced - 0.5, torch.lt), read)


def aopc_curve(
    model: Model,
    inputs: Tensor,
    maps: Tensor,
    target: Target,
    *,
    order: Order = "morf",
    n_steps: int = 100,
    region_size: int = 1,
    perturb_baseline: BaselineLike = "mean",
    normalization: Normalization | None = None,
    seed: int = 0,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> Tensor:
    r"""Score maps by what the class loses while regions are replaced one after the other, for every number of steps.

    .. math:: AOPC_L = \frac{1}{L + 1} \sum_{k=0}^{L} f(x^{(0)}) - f(x^{(k)}), \quad L = 1..n

    One pass gives the score for every L: the last column is AOPC at ``n_steps``.

    Args:
        model: From images (B, C, H, W) to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W) as the model takes them, on its device.
        maps: Relevance (N, C, H, W), summed over channels with its sign, or (N, H, W) or (N, 1, H, W).
        target: Class of all images, or of each.
        order: "morf" replaces the most relevant regions first, "lerf" the least relevant, "random" a seeded order, the
            same for all images, that does not look at the map. Equal ones follow in reading order.
        n_steps: n, how many regions are replaced; at most as many as there are.
        region_size: Side of the square regions in pixels, ranked by their mean relevance; 1 for single pixels.
        perturb_baseline: What replaced pixels show; see ``rcap``.
        normalization: (mean, std) by which pixels in [0, 1] became ``inputs``.
        seed: Of the random order.
        softmax: Turn the model's scores into probabilities. False takes them as they are.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        Tensor of shape (N, n_steps). For MoRF higher is better, for LeRF lower. NaN for a map without ranking, unless
        the order is random.

    Raises:
        ValueError: If shapes, targets, ``order``, ``n_steps`` or ``region_size`` have no meaning.
    """
    plan = aopc_plan(MapBatch(inputs, maps), order, n_steps, perturb_baseline, normalization, region_size, seed)
    scores: Tensor = run_plan(plan, model, target, softmax, internal_batch_size).aopc
    return scores


def aopc(model: Model, inputs: Tensor, maps: Tensor, target: Target, **options: Any) -> Tensor:
    """Give AOPC at ``n_steps``, shape (N,): the last column of ``aopc_curve``, whose arguments it takes.

    A map without ranking gives NaN, with one warning that names the images.
    """
    scores = aopc_curve(model, inputs, maps, target, **options)[:, -1]
    warn_undefined("AOPC", scores.tolist())
    return scores


def check_order(order: str, n_steps: int, region_size: int) -> None:
    """Refuse what has no meaning.

    Raises:
        ValueError: If ``order`` is unknown or a number is below 1.
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}, expected one of {ORDERS}.")
    if min(n_steps, region_size) < 1:
        raise ValueError(f"n_steps is {n_steps!r} and region_size {region_size!r}, expected integers of at least 1.")


class AOPC(TorchMetric):
    """AOPC as a Quantus metric; see ``aopc_curve`` for the definition and the meaning of the arguments.

    Attributes:
        score_direction: Higher for MoRF and random, lower for LeRF.
        details: For each image of the last call a dict with "aopc", an array (n_steps,): AOPC for every L.
    """

    name = "Area Over the Perturbation Curve"
    score_direction: ClassVar[ScoreDirection] = ScoreDirection.HIGHER
    evaluation_category: ClassVar[EvaluationCategory] = EvaluationCategory.FAITHFULNESS

    def __init__(
        self,
        order: Order = "morf",
        n_steps: int = 100,
        perturb_baseline: BaselineLike = "mean",
        normalization: Normalization | None = None,
        region_size: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Set the metric up.

        Args:
            order: "morf", "lerf" or "random".
            n_steps: How many regions are replaced.
            perturb_baseline: What replaced pixels show; see ``rcap``.
            normalization: (mean, std) by which pixels in [0, 1] became ``x_batch``.
            region_size: Side of the square regions in pixels.
            seed: Of the random order.
            kwargs: As for every Quantus metric; see ``TorchMetric``.
        """
        super().__init__(**kwargs)
        check_order(order, n_steps, region_size)
        resolve(perturb_baseline, normalization)
        self.options: dict[str, Any] = {
            "order": order,
            "n_steps": n_steps,
            "perturb_baseline": perturb_baseline,
            "normalization": normalization,
            "region_size": region_size,
            "seed": seed,
        }
        if order == "lerf":
            # Of this instance alone: mypy knows class variables of classes only.
            self.score_direction = ScoreDirection.LOWER  # type: ignore[misc]

    def plan(self, batch: MapBatch) -> Plan:
        """Plan this metric of a batch."""
        return aopc_plan(batch, **self.options)
