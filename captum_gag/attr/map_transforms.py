"""What can be done to a map without looking at the model: to see which metric notices."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from captum_gag.attr.saliency import reverse_saliency

MapChange = Callable[[Tensor, int | None], Tensor]
"""(maps (N, H, W) in [0, 1], seed) -> maps (N, H, W)."""


def sharpened(maps: Tensor, seed: int | None = None) -> Tensor:
    """Give the 8th power in double precision: the same ranking, but nearly all saliency in a few pixels."""
    return maps.double() ** 8


def binarised(maps: Tensor, seed: int | None = None) -> Tensor:
    """Give 1 for the tenth of the pixels that is most salient, and 0 elsewhere."""
    return _top(maps, max(1, maps[0].numel() // 10))


def one_pixel(maps: Tensor, seed: int | None = None) -> Tensor:
    """Give 1 for the most salient pixel (the first of equal ones), and 0 elsewhere."""
    return _top(maps, 1)


MADE_OVER: dict[str, tuple[MapChange, str]] = {
    "R": (lambda maps, seed: reverse_saliency(maps, seed=seed), "reversed map (Proposition 1)"),
    "sharp": (sharpened, "sharpened without moving it, M^8"),
    "binary": (binarised, "top tenth 1, rest 0"),
    "pixel": (one_pixel, "most salient pixel alone"),
}


def _top(maps: Tensor, count: int) -> Tensor:
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :count]
    chosen = torch.zeros_like(maps.flatten(1)).scatter_(1, order, 1.0).reshape(maps.shape)
    return torch.where(maps.isnan().any(2, keepdim=True).any(1, keepdim=True), maps, chosen)
