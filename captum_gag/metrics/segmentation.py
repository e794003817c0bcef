"""Log-Cosh Dice and mean absolute error of a saliency map against a segmentation of the object."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from captum_gag.attr.saliency import saliency_map
from captum_gag.errors import InputError
from captum_gag.metrics.base import Metric
from captum_gag.metrics.map_batch import MapBatch, without_ranking
from captum_gag.metrics.masking import Context
from captum_gag.metrics.readings import Scores, nan_causes, warn_of_nan
from captum_gag.options import declared
from captum_gag.tensors import require_dense


@declared
class SegmentationMetric(Metric):
    """Base of the segmentation metrics: they compare the map with a mask and never run the model."""

    higher_is_better = False
    needs_segmentation = True

    @abstractmethod
    def loss(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return the losses (N,) of maps in [0, 1] against masks, both (N, P)."""

    def judge(self, batch: MapBatch, context: Context) -> Scores:
        """Return the losses of a batch; only the segmentation of the context counts."""
        return self.compare(batch.maps, context.segmentation)

    def compare(self, maps: Tensor, segmentation: Tensor | None) -> Scores:
        """Return the losses (N,) of maps against masks; arguments and errors as for ``log_cosh_dice``."""
        saliency, mask = _saliency_and_mask(maps, segmentation)
        losses = self.loss(saliency.flatten(1), mask.flatten(1)).masked_fill(without_ranking(saliency), torch.nan)
        return Scores(losses, causes=nan_causes(losses, saliency))


@declared
class LogCoshDiceMetric(SegmentationMetric):
    """The Log-Cosh Dice loss of a map against a segmentation; see ``log_cosh_dice``."""

    def loss(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return log cosh(1 - soft Dice)."""
        overlap, both = (maps * mask).sum(1), (maps + mask).sum(1)
        return (1 - (2 * overlap + 1) / (both + 1)).cosh().log()


@declared
class SegmentationMAEMetric(SegmentationMetric):
    """MAE: the mean absolute error of a map against a segmentation; see ``segmentation_mae``."""

    def loss(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return the mean of abs(M - S)."""
        return (maps - mask).abs().mean(1)


def log_cosh_dice(maps: Tensor, segmentation: Tensor) -> Tensor:
    r"""Score maps by the Log-Cosh Dice loss.

    .. math:: \log \cosh (1 - D), \qquad D = \frac{2 \sum M S + 1}{\sum M + \sum S + 1}

    Args:
        maps: Attributions (N, C, *positions) or maps (N, *positions), reduced by ``saliency_map`` to M in [0, 1].
        segmentation: Binary mask S, (N, 1, *positions) or (N, *positions), 1 on the object.

    Returns:
        Losses of shape (N,), from 0 to log cosh 1 = 0.434, lower is better. NaN, with one warning that names the
        images, for a map without ranking.

    Raises:
        InputError: If there is no segmentation, its shape is another one, or it is not binary.
    """
    losses = LogCoshDiceMetric().compare(maps, segmentation)
    return warn_of_nan("Log-Cosh Dice", losses.score, losses.causes)


def segmentation_mae(maps: Tensor, segmentation: Tensor) -> Tensor:
    """Score maps by their mean absolute difference from the mask; arguments and errors as for ``log_cosh_dice``.

    Returns:
        Errors of shape (N,) in [0, 1], lower is better. NaN, with one warning that names the images, for a map without
        ranking.
    """
    losses = SegmentationMAEMetric().compare(maps, segmentation)
    return warn_of_nan("Segmentation MAE", losses.score, losses.causes)


def _saliency_and_mask(maps: Tensor, segmentation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return saliency maps and masks, of one shape (N, *positions)."""
    if segmentation is None:
        raise InputError("There is no segmentation; pass s_batch, a binary mask (N, 1, H, W) or (N, H, W).")
    for name, tensor in (("maps", maps), ("segmentation", segmentation)):
        if not isinstance(tensor, Tensor) or tensor.ndim < 2 or tensor.numel() == 0 or tensor.is_complex():
            received = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise InputError(f"{name} is {received}, must be a torch tensor (N, H, W) of real numbers.")
        require_dense(name, tensor)
    if not bool(((segmentation == 0) | (segmentation == 1)).all()):
        raise InputError(
            f"The segmentation has values from {float(segmentation.min()):g} to {float(segmentation.max()):g}, not "
            "only 0 and 1; make it a binary mask, 1 on the object."
        )
    # The masks say which axes are positions: of maps (N, C, T) and (N, H, W) the shape alone does not.
    shape = tuple(maps.shape)
    for mask in (segmentation, segmentation.squeeze(1)):
        for channel_axis, size in ((None, shape), (1, (shape[0], *shape[2:]))):
            if mask.ndim > 1 and mask.shape == size:
                return saliency_map(maps, channel_axis=channel_axis), mask.to(maps.device, torch.float32)
    raise InputError(
        f"The segmentation has shape {tuple(segmentation.shape)} for maps of {shape}, must have (N, 1, H, W) or "
        "(N, H, W) with the same N, H and W."
    )
