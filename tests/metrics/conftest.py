"""Models whose curves are known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Additive(nn.Module):
    """Class 0 scores w . x: what a pixel is worth is known, and does not depend on the others."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x * self.weights).flatten(1).sum(1)
        return torch.stack([score, -score], 1)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def additive() -> Additive:
    return Additive(torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(1)).double())
