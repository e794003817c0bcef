"""The metrics as the published code of Huang & Liu (2024) computes them, for comparison with its figures."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_gag.metrics.deletion_insertion import DeletionMetric, InsertionMetric
from captum_gag.metrics.segmentation import SegmentationMAEMetric
from captum_gag.options import declared


@declared
class PublishedDeletion(DeletionMetric):
    """DAUC over 0, 0.1, ..., 0.9 of the pixels, the area not divided by its width of 0.9."""

    def shares(self) -> Tensor:
        """Return the shares of the pixels, without the last step."""
        return torch.arange(self.n_steps, dtype=torch.float64) / self.n_steps


@declared
class PublishedInsertion(InsertionMetric):
    """IAUC over 0, 0.1, ..., 0.9 of the pixels, the area not divided by its width of 0.9."""

    def shares(self) -> Tensor:
        """Return the shares of the pixels, without the last step."""
        return torch.arange(self.n_steps, dtype=torch.float64) / self.n_steps


@declared
class PublishedMAE(SegmentationMAEMetric):
    """The square root of the mean absolute error of a map against a segmentation."""

    def loss(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return the root of the mean of abs(M - S)."""
        return super().loss(maps, mask).sqrt()
