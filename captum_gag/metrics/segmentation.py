"""Log-Cosh Dice and mean absolute error of a saliency map against a segmentation of the object."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_gag.attr.saliency import saliency_map
from captum_gag.errors import InputError
from captum_gag.metrics.base import Metric, defined
from captum_gag.metrics.map_batch import MapBatch, without_ranking
from captum_gag.metrics.masking import Model
from captum_gag.metrics.readings import Reading, causes
from captum_gag.options import declared, option
from captum_gag.outputs import Output
from captum_gag.tensors import Target, require_dense


@dataclass(frozen=True, eq=False)
class SegmentationLoss(Reading):
    """How far maps are from the masks.

    Attributes:
        loss: Shape (N,). NaN for a map without ranking.
    """

    loss: Tensor

    @property
    def score(self) -> Tensor:
        """The losses, (N,)."""
        return self.loss


@declared
class SegmentationMetric(Metric):
    """What the segmentation metrics share: they compare the map with a mask and never run the model."""

    higher_is_better = False
    needs_segmentation = True

    @abstractmethod
    def loss(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return the losses (N,) of maps in [0, 1] against masks, both (N, P)."""

    def evaluate(
        self,
        model: Model,
        inputs: Tensor,
        maps: Tensor,
        target: Target,
        segmentation: Tensor | None = None,
        *,
        output: Output = "auto",
        channel_axis: int = 1,
        internal_batch_size: int | None = None,
    ) -> SegmentationLoss:
        """Judge one map of each image; see ``Metric``. The model is not asked, and target and output do not count."""
        return self.compare(MapBatch(inputs, maps, channel_axis=channel_axis).maps, segmentation)

    def compare(self, maps: Tensor, segmentation: Tensor | None) -> SegmentationLoss:
        """Compare maps with masks.

        Args:
            maps: Attributions (N, C, *positions) or maps (N, *positions).
            segmentation: Binary masks, (N, 1, *positions) or (N, *positions).

        Raises:
            InputError: If there is no segmentation, its shape is another one, or it is not binary.
        """
        reduced, mask = _map_and_mask(maps, segmentation)
        loss = self.loss(reduced.flatten(1), mask.flatten(1)).masked_fill(without_ranking(reduced), torch.nan)
        return SegmentationLoss(loss, causes=causes(loss, reduced))


@declared
class LogCoshDiceMetric(SegmentationMetric):
    """Log-Cosh Dice: the loss of a map against a segmentation.

    See ``log_cosh_dice``.
    """

    def loss(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return log cosh(1 - soft Dice)."""
        overlap, both = (maps * mask).sum(1), (maps + mask).sum(1)
        return (1 - (2 * overlap + 1) / (both + 1)).cosh().log()


@declared
class SegmentationMAEMetric(SegmentationMetric):
    """MAE: the mean absolute error of a map against a segmentation.

    See ``segmentation_mae``.
    """

    square_root: bool = option(
        default=False, help="Take the square root of the error, as the published code of Huang & Liu."
    )

    def loss(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return the mean of abs(M - S), or its square root."""
        error = (maps - mask).abs().mean(1)
        return error.sqrt() if self.square_root else error


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
    return _score("Log-Cosh Dice", LogCoshDiceMetric(), maps, segmentation)


def segmentation_mae(maps: Tensor, segmentation: Tensor, *, square_root: bool = False) -> Tensor:
    """Score maps by their mean absolute difference from the mask, in [0, 1], lower is better.

    Args:
        maps: As for ``log_cosh_dice``.
        segmentation: As for ``log_cosh_dice``.
        square_root: Take the square root of the error, as the published code of Huang & Liu.

    Returns:
        Errors of shape (N,). NaN, with one warning that names the images, for a map without ranking.

    Raises:
        InputError: As ``log_cosh_dice``.
    """
    return _score("Segmentation MAE", SegmentationMAEMetric(square_root=square_root), maps, segmentation)


def _score(name: str, metric: SegmentationMetric, maps: Tensor, segmentation: Tensor) -> Tensor:
    found = metric.compare(maps, segmentation)
    return defined(name, found.score, found.causes)


def _map_and_mask(maps: Tensor, segmentation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return saliency maps and masks, of one shape (N, *positions)."""
    if segmentation is None:
        raise InputError("There is no segmentation; pass s_batch, a binary mask (N, 1, H, W) or (N, H, W).")
    for name, given in (("maps", maps), ("segmentation", segmentation)):
        if not isinstance(given, Tensor) or given.ndim < 2 or given.numel() == 0 or given.is_complex():
            found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise InputError(f"{name} is {found}, expected a torch tensor (N, H, W) of real numbers.")
        require_dense(name, given)
    # The masks say which axes are positions: of maps (N, C, T) and (N, H, W) the shape alone does not.
    shape = tuple(maps.shape)
    for mask in (segmentation, segmentation.squeeze(1)):
        if mask.shape == shape:
            return saliency_map(maps, channel_axis=None), _binary(mask).to(maps.device, torch.float32)
        if mask.ndim > 1 and mask.shape == (shape[0], *shape[2:]):
            return saliency_map(maps, channel_axis=1), _binary(mask).to(maps.device, torch.float32)
    raise InputError(
        f"The segmentation has shape {tuple(segmentation.shape)} for maps of {shape}, expected (N, 1, H, W) or "
        "(N, H, W) with the same N, H and W."
    )


def _binary(mask: Tensor) -> Tensor:
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise InputError(
            f"The segmentation has values from {float(mask.min()):g} to {float(mask.max()):g}, not only 0 and 1; "
            "make it a binary mask, 1 on the object."
        )
    return mask
