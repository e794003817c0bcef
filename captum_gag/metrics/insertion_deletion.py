"""Deletion and Insertion (RISE, Petsiuk et al., 2018): the class probability while salient pixels go or come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from torch import Tensor

from captum_gag.baselines import BaselineLike, Normalization, resolve
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.map_batch import MapBatch, without_ranking
from captum_gag.metrics.masking import Model, Plan, Reveal, Target, run_plan, warn_undefined


def check_fractions(fractions: Sequence[float] | None, n_steps: int) -> Tensor:
    """Give the shares of pixels, (S,) in double precision.

    Raises:
        ValueError: If they do not rise within [0, 1], or there are fewer than two.
    """
    if fractions is None and n_steps < 1:
        raise ValueError(f"n_steps is {n_steps!r}, expected an integer of at least 1.")
    shares = torch.as_tensor(
        torch.linspace(0, 1, n_steps + 1).tolist() if fractions is None else list(fractions), dtype=torch.float64
    )
    rises = bool((shares.diff() > 0).all())
    if len(shares) < 2 or not rises or float(shares[0]) < 0 or float(shares[-1]) > 1:
        raise ValueError(f"fractions are {fractions!r}, expected at least two numbers that rise within [0, 1].")
    return shares


class ProbabilityCurve(NamedTuple):
    """The class probability as a function of the share of pixels deleted or inserted.

    Attributes:
        fractions: Shares of the pixels, (N, S), the same in each row.
        probability: Of the class, (N, S). NaN for a map without ranking.
    """

    fractions: Tensor
    probability: Tensor

    @property
    def score(self) -> Tensor:
        """Area under the curve by the trapezoid rule, (N,), divided by the width of the fractions: in [0, 1]."""
        width = self.fractions[:, -1] - self.fractions[:, 0]
        return torch.trapezoid(self.probability, self.fractions.to(self.probability), dim=1) / width


def curve_plan(
    batch: MapBatch,
    inserted: bool,
    n_steps: int,
    perturb_baseline: BaselineLike,
    normalization: Normalization | None = None,
    fractions: Sequence[float] | None = None,
) -> Plan:
    """Plan a curve, read as ``ProbabilityCurve``.

    With ``inserted`` pixels are inserted into the baseline, else the baseline is put in their place; the other
    arguments are those of ``deletion``.
    """
    exact = check_fractions(fractions, n_steps)
    shares = exact.to(batch.saliency)
    counts = (exact * batch.saliency[0].numel()).round().to(batch.saliency).expand(len(batch.images), -1)
    baseline = batch.baseline(perturb_baseline, normalization)
    shown, hidden = (batch.images, baseline) if inserted else (baseline, batch.images)
    undefined = without_ranking(batch.saliency).unsqueeze(1)
    return Plan(
        # Half a rank below the count, so that no and all pixels are outside the range of ranks.
        Reveal(shown, hidden, batch.saliency_ranks, counts - 0.5, torch.lt),
        lambda probabilities: ProbabilityCurve(
            shares.expand(len(batch.images), -1), probabilities.masked_fill(undefined, torch.nan)
        ),
    )


def deletion(
    model: Model,
    inputs: Tensor,
    maps: Tensor,
    target: Target,
    *,
    n_steps: int = 10,
    fractions: Sequence[float] | None = None,
    perturb_baseline: BaselineLike = "black",
    normalization: Normalization | None = None,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> Tensor:
    """Score maps by how soon the class is lost when the most salient pixels are deleted (DAUC): lower is better.

    Only the ranking of the pixels counts; equal ones follow in reading order.

    Args:
        model: From images (B, C, H, W) to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W) as the model takes them, on its device.
        maps: Attributions (N, C, H, W) or maps (N, H, W) or (N, 1, H, W), reduced by ``saliency_map``: magnitudes
            count. Another resolution than the images' is interpolated to it, with a warning.
        target: Class of all images, or of each.
        n_steps: Equal steps from no to all pixels; n_steps + 1 forward passes per image.
        fractions: Shares of the pixels instead of equal steps: rising, in [0, 1]. The paper's published code of Huang &
            Liu takes 0, 0.1, ..., 0.9 and does not divide by the width of 0.9.
        perturb_baseline: What deleted pixels show; see ``rcap``.
        normalization: (mean, std) by which pixels in [0, 1] became ``inputs``.
        softmax: Turn the model's scores into probabilities. False for a model that returns probabilities.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        Areas of shape (N,) in [0, 1]. NaN, with one warning that names the images, for a map without ranking.

    Raises:
        ValueError: If shapes, targets, ``n_steps`` or ``fractions`` have no meaning.
    """
    plan = curve_plan(MapBatch(inputs, maps), False, n_steps, perturb_baseline, normalization, fractions)
    areas: Tensor = run_plan(plan, model, target, softmax, internal_batch_size).score
    warn_undefined("Deletion", areas.tolist())
    return areas


def insertion(
    model: Model,
    inputs: Tensor,
    maps: Tensor,
    target: Target,
    *,
    n_steps: int = 10,
    fractions: Sequence[float] | None = None,
    perturb_baseline: BaselineLike = "blur",
    normalization: Normalization | None = None,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> Tensor:
    """Score maps by how soon the class is found when the most salient pixels appear (IAUC): higher is better.

    They appear on the blurred image: Gaussian, sigma 5, 11 x 11 (``baselines.blur``). Arguments, result and errors are
    those of ``deletion``.
    """
    plan = curve_plan(MapBatch(inputs, maps), True, n_steps, perturb_baseline, normalization, fractions)
    areas: Tensor = run_plan(plan, model, target, softmax, internal_batch_size).score
    warn_undefined("Insertion", areas.tolist())
    return areas


class CurveMetric(TorchMetric):
    """What Deletion and Insertion share on the side of Quantus.

    Attributes:
        details: For each image of the last call a dict with its curve: "fractions" and "probability", arrays (S,).
    """

    inserted: ClassVar[bool]
    evaluation_category: ClassVar[EvaluationCategory] = EvaluationCategory.FAITHFULNESS

    def __init__(
        self,
        n_steps: int = 10,
        perturb_baseline: BaselineLike = "black",
        normalization: Normalization | None = None,
        fractions: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the metric up.

        Args:
            n_steps: Equal steps from no to all pixels.
            perturb_baseline: What hidden pixels show; see ``rcap``.
            normalization: (mean, std) by which pixels in [0, 1] became ``x_batch``.
            fractions: Shares of the pixels instead of equal steps; see ``deletion``.
            kwargs: As for every Quantus metric; see ``TorchMetric``.
        """
        super().__init__(**kwargs)
        check_fractions(fractions, n_steps)
        resolve(perturb_baseline, normalization)
        self.n_steps = n_steps
        self.perturb_baseline = perturb_baseline
        self.normalization = normalization
        self.fractions = fractions

    def plan(self, batch: MapBatch) -> Plan:
        """Plan this metric of a batch."""
        return curve_plan(batch, self.inserted, self.n_steps, self.perturb_baseline, self.normalization, self.fractions)


class Deletion(CurveMetric):
    """Area under the deletion curve (DAUC) as a Quantus metric; see ``deletion``."""

    name = "Deletion"
    inserted = False
    score_direction: ClassVar[ScoreDirection] = ScoreDirection.LOWER


class Insertion(CurveMetric):
    """Area under the insertion curve (IAUC) as a Quantus metric; see ``insertion``."""

    name = "Insertion"
    inserted = True
    score_direction: ClassVar[ScoreDirection] = ScoreDirection.HIGHER

    def __init__(
        self,
        n_steps: int = 10,
        perturb_baseline: BaselineLike = "blur",
        normalization: Normalization | None = None,
        fractions: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the metric up; arguments as for ``CurveMetric``, with the blurred image as the default baseline."""
        super().__init__(n_steps, perturb_baseline, normalization, fractions, **kwargs)
