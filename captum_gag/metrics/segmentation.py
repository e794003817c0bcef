"""Log-Cosh Dice and mean absolute error of a saliency map against a segmentation of the object."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from torch import Tensor

from captum_gag.attr.saliency import saliency_map
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.map_batch import without_ranking
from captum_gag.metrics.masking import Model, warn_undefined


def map_and_mask(maps: Tensor, segmentation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Give saliency maps and masks, both (N, H, W), or say what is wrong with them.

    Raises:
        ValueError: If there is no segmentation, its shape is another one, or it is not binary.
    """
    if segmentation is None:
        raise ValueError("There is no segmentation; pass s_batch, a binary mask (N, 1, H, W) or (N, H, W).")
    reduced = saliency_map(maps)
    mask = segmentation.squeeze(1) if segmentation.ndim == 4 and segmentation.shape[1] == 1 else segmentation
    if mask.shape != reduced.shape:
        raise ValueError(
            f"The segmentation has shape {tuple(segmentation.shape)} for maps of {tuple(reduced.shape)}, expected "
            "(N, 1, H, W) or (N, H, W) with the same N, H and W."
        )
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(
            f"The segmentation has values from {float(mask.min()):g} to {float(mask.max()):g}, not only 0 and 1; "
            "make it a binary mask, 1 on the object."
        )
    return reduced, mask.to(reduced)


def _dice_loss(maps: Tensor, mask: Tensor) -> Tensor:
    overlap, both = (maps * mask).sum((1, 2)), (maps + mask).sum((1, 2))
    return (1 - (2 * overlap + 1) / (both + 1)).cosh().log()


def _absolute_error(maps: Tensor, mask: Tensor) -> Tensor:
    return (maps - mask).abs().mean((1, 2))


def _losses(formula: Callable[[Tensor, Tensor], Tensor], maps: Tensor, segmentation: Tensor | None) -> Tensor:
    reduced, mask = map_and_mask(maps, segmentation)
    return formula(reduced, mask).masked_fill(without_ranking(reduced), torch.nan)


def log_cosh_dice(maps: Tensor, segmentation: Tensor) -> Tensor:
    r"""Score maps by the Log-Cosh Dice loss.

    .. math:: \log \cosh (1 - D), \qquad D = \frac{2 \sum M S + 1}{\sum M + \sum S + 1}

    Args:
        maps: Attributions (N, C, H, W) or maps (N, H, W), reduced by ``saliency_map`` to M in [0, 1].
        segmentation: Binary mask S, (N, 1, H, W) or (N, H, W), 1 on the object.

    Returns:
        Losses of shape (N,), from 0 to log cosh 1 = 0.434, lower is better. NaN, with one warning that names the
        images, for a map without ranking.

    Raises:
        ValueError: If there is no segmentation, its shape is another one, or it is not binary.
    """
    losses = _losses(_dice_loss, maps, segmentation)
    warn_undefined("Log-Cosh Dice", losses.tolist())
    return losses


def segmentation_mae(maps: Tensor, segmentation: Tensor) -> Tensor:
    """Score maps by their mean absolute difference from the mask, in [0, 1], lower is better.

    Arguments, result for maps without ranking and errors are those of ``log_cosh_dice``. (The published code of Huang &
    Liu takes the square root of this.)
    """
    losses = _losses(_absolute_error, maps, segmentation)
    warn_undefined("Segmentation MAE", losses.tolist())
    return losses


class SegmentationMetric(TorchMetric):
    """What the segmentation metrics share on the side of Quantus: they need ``s_batch`` and never run the model.

    Attributes:
        details: For each image of the last call a dict with its "loss".
    """

    score_direction: ClassVar[ScoreDirection] = ScoreDirection.LOWER
    evaluation_category: ClassVar[EvaluationCategory] = EvaluationCategory.LOCALISATION

    @staticmethod
    @abstractmethod
    def formula(maps: Tensor, mask: Tensor) -> Tensor:
        """Give the losses (N,) of maps in [0, 1] against masks, both (N, H, W)."""

    def evaluate_tensors(
        self, model: Model, inputs: Tensor, maps: Tensor, target: Tensor, segmentation: Tensor | None = None
    ) -> Tensor:
        """Score one batch."""
        scores = _losses(self.formula, maps, segmentation)
        self.keep_details(loss=scores)
        return scores


class LogCoshDice(SegmentationMetric):
    """The Log-Cosh Dice loss as a Quantus metric; see ``log_cosh_dice``."""

    name = "Log-Cosh Dice"
    formula = staticmethod(_dice_loss)


class SegmentationMAE(SegmentationMetric):
    """The mean absolute error against a segmentation as a Quantus metric; see ``segmentation_mae``."""

    name = "Segmentation MAE"
    formula = staticmethod(_absolute_error)
