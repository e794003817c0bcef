"""A batch of images with a map for each, and what metrics ask of them, computed once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from captum_gag.attr.saliency import saliency_map
from captum_gag.baselines import BaselineLike, Normalization, resolve
from captum_gag.errors import InputError


@dataclass
class MapBatch:
    """Images with a map for each; several metrics of one batch share its rankings and baselines.

    Args:
        images: Shape (N, C, H, W), N >= 1, as the model takes them.
        maps: Attributions (N, C, H, W) or maps (N, H, W) or (N, 1, H, W), brought to the images' device and resolution
            (bilinear, with a warning).
        shared: What was already made of the same images, such as baselines; give the same dict to share it.

    Raises:
        InputError: If either is not a tensor, the images are not (N, C, H, W) or there is not one map for each.
    """

    images: Tensor
    maps: Tensor
    shared: dict[object, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring the maps to the images."""
        images, maps = self.images, self.maps
        for name, given in (("inputs", images), ("maps", maps)):
            if not isinstance(given, Tensor):
                raise InputError(f"{name} are a {type(given).__name__}, expected a torch tensor; use torch.as_tensor.")
        if images.ndim != 4 or maps.ndim not in (3, 4) or len(maps) != len(images) or maps.numel() == 0:
            raise InputError(
                f"inputs have shape {tuple(images.shape)} and maps {tuple(maps.shape)}, expected images (N, C, H, W) "
                "with N >= 1 and one map (H, W) or (C, H, W) for each."
            )
        maps = maps.detach().to(images.device)
        self.maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        size = images.shape[-2:]
        if maps.shape[-2:] != size:
            warnings.warn(
                f"The maps are {tuple(maps.shape[-2:])} for images of {tuple(size)}; they are interpolated.",
                stacklevel=5,
            )
            channels = self.maps if maps.ndim == 4 else self.maps.unsqueeze(1)
            self.maps = torch.nn.functional.interpolate(channels, size=size, mode="bilinear", align_corners=False)

    @cached_property
    def saliency(self) -> Tensor:
        """How salient each pixel is, (N, H, W) in [0, 1]: ``saliency_map``, so that magnitudes count."""
        return saliency_map(self.maps)

    @cached_property
    def saliency_ranks(self) -> Tensor:
        """Ranks of the pixels, (N, H, W), most salient first."""
        return pixel_ranks(self.saliency)

    @cached_property
    def relevance(self) -> Tensor:
        """What each pixel is said to be worth, (N, H, W): the sum over channels, with its sign."""
        return self.maps.sum(1) if self.maps.ndim == 4 else self.maps

    def baseline(self, perturb_baseline: BaselineLike, normalization: Normalization | None) -> Tensor:
        """Return the images that stand in for hidden pixels, (N, C, H, W), made once."""
        named = isinstance(perturb_baseline, str | float | int)
        key = (perturb_baseline if named else id(perturb_baseline), str(normalization))
        return self.once(key, lambda: resolve(perturb_baseline, normalization)(self.images))

    def once(self, key: object, make: Callable[[], Tensor]) -> Tensor:
        """Return what does not depend on the maps, made once for all methods: then its images are predicted once."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]


def pixel_ranks(relevance: Tensor, descending: bool = True) -> Tensor:
    """Return the rank of each pixel in its map, 0 first; equal ones in reading order.

    Args:
        relevance: Shape (N, H, W).
        descending: Most relevant first.

    Returns:
        Integer tensor (N, H, W) with every rank from 0 to H W - 1 once per map.
    """
    order = relevance.flatten(1).argsort(dim=1, descending=descending, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).reshape(relevance.shape)


def without_ranking(values: Tensor) -> Tensor:
    """Return which maps (N, H, W) have no ranking, a mask (N,): constant ones, and ones with a NaN or an infinity."""
    pixels = values.flatten(1)
    return ~pixels.isfinite().all(1) | (pixels.amax(1) == pixels.amin(1))
