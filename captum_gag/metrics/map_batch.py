"""A batch of images with a map for each, and what metrics ask of them, computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from captum_gag.attr.saliency import saliency_map
from captum_gag.baselines import BaselineLike, Imputation, Normalization, resolve
from captum_gag.errors import InputError, shown, warn
from captum_gag.metrics.masking import Imputed, require_callable
from captum_gag.tensors import INTERPOLATIONS, finite_rows, interpolated, positions, require_dense

T = TypeVar("T")


@dataclass
class MapBatch:
    """Images with a map for each; several metrics of one batch share its rankings and baselines.

    Args:
        images: Shape (N, C, H, W), any (N, C, *positions), or tables (N, F), N >= 1, as the model takes them. Here they
            have their channels on axis 1.
        maps: Attributions like the images, or maps (N, *positions) or (N, 1, *positions), brought to the images'
            device and resolution (linearly, with a warning).
        shared: What was already made of the same images, such as baselines; give the same dict to share it.
        channel_axis: The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E).

    Raises:
        InputError: If either is not a tensor, or has no meaning, or there is not one map for each image.
    """

    images: Tensor
    maps: Tensor
    shared: dict[object, Any] = field(default_factory=dict)
    channel_axis: int = 1

    def __post_init__(self) -> None:
        """Bring the maps to the images."""
        for name, given in (("inputs", self.images), ("maps", self.maps)):
            if not isinstance(given, Tensor):
                raise InputError(f"{name} are a {type(given).__name__}, expected a torch tensor; use torch.as_tensor.")
            require_dense(name, given)
        if not self.images.is_floating_point() or self.images.ndim < 2 or self.images.numel() == 0:
            raise InputError(
                f"inputs are {tuple(self.images.shape)} of {self.images.dtype}, expected floating-point images "
                "(N, C, H, W), any (N, C, *positions) or rows (N, F), with N >= 1; give embeddings of token numbers."
            )
        if self.maps.is_complex() or self.maps.ndim < 2:
            raise InputError(
                f"maps are {tuple(self.maps.shape)} of {self.maps.dtype}, expected real numbers, a map for each image."
            )
        axis, axes = self.channel_axis, self.images.ndim
        check_channel_axis(axis, self.images)
        maps = self.maps.detach().to(self.images.device)
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        maps = channels_first(maps, axis) if maps.ndim == axes else maps
        images = self.images
        # The same tensor for all maps of the same images, by which these are known.
        self.images = images if axis == 1 else self.once(("images", axis), lambda: channels_first(images, axis))
        self.maps = _fitted(maps, self.images)

    def fed_to(self, model: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        """Return the model as one of images with their channels on axis 1.

        Raises:
            InputError: It is none.
        """
        require_callable(model)
        axis = self.channel_axis
        return model if axis == 1 else lambda images: model(as_given(images, axis))

    @cached_property
    def saliency(self) -> Tensor:
        """How salient each pixel is, (N, *positions) in [0, 1]: ``saliency_map``, so that magnitudes count."""
        return saliency_map(self.maps, channel_axis=1 if self._has_channels() else None)

    @cached_property
    def saliency_ranks(self) -> Tensor:
        """Ranks of the pixels, (N, *positions), most salient first."""
        return pixel_ranks(self.saliency)

    @cached_property
    def relevance(self) -> Tensor:
        """What each pixel is said to be worth, (N, *positions): the sum over channels, with its sign."""
        return self.maps.sum(1) if self._has_channels() else self.maps

    def _has_channels(self) -> bool:
        return self.images.ndim > 2 and self.maps.ndim == self.images.ndim

    def baseline(self, perturb_baseline: BaselineLike, normalization: Normalization | None) -> Tensor | Imputed:
        """Return what stands in for hidden pixels, images like the images or an imputation of them, made once."""
        named = isinstance(perturb_baseline, str | float | int | dict)
        key = (str(perturb_baseline) if named else id(perturb_baseline), str(normalization))
        replacement = resolve(perturb_baseline, normalization)
        # A user's own tensor or function is of inputs as the user has them.
        axis = 1 if named else self.channel_axis
        images = as_given(self.images, axis)
        if not isinstance(replacement, Imputation):
            return self.once(key, lambda: channels_first(replacement(images), axis))

        def fill(images: Tensor, removed: Tensor) -> Tensor:
            return channels_first(replacement(as_given(images, axis), as_given(removed, axis)), axis)

        return self.once(key, lambda: Imputed(channels_first(replacement(images), axis), fill))

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Return what was made under this key, made once: then its images are predicted once.

        It serves all methods, so that the key of what depends on the maps says on which.
        """
        if key not in self.shared:
            self.shared[key] = make()
        found: T = self.shared[key]
        return found


def check_channel_axis(channel_axis: Any, inputs: Tensor) -> None:
    """Refuse what is no axis of inputs after the first.

    Raises:
        InputError: It is.
    """
    whole = isinstance(channel_axis, int) and not isinstance(channel_axis, bool)
    if not whole or not (channel_axis == -1 or 1 <= channel_axis < inputs.ndim):
        raise InputError(
            f"channel_axis is {shown(channel_axis)} for inputs {tuple(inputs.shape)}, expected an axis after the "
            "first, or -1 for the last."
        )


def channels_first(values: Tensor, channel_axis: int) -> Tensor:
    """Return inputs, or maps like them, with their channels on axis 1; tables (N, F) as they are."""
    return values.movedim(channel_axis, 1) if values.ndim > 2 else values


def as_given(values: Tensor, channel_axis: int) -> Tensor:
    """Undo ``channels_first``."""
    return values.movedim(1, channel_axis) if values.ndim > 2 else values


def pixel_ranks(relevance: Tensor, descending: bool = True) -> Tensor:
    """Return the rank of each pixel in its map, 0 first; equal ones in reading order.

    Args:
        relevance: Shape (N, *positions).
        descending: Most relevant first.

    Returns:
        Integer tensor (N, *positions) with every rank from 0 once per map.
    """
    order = relevance.flatten(1).argsort(dim=1, descending=descending, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).reshape(relevance.shape)


def without_ranking(values: Tensor) -> Tensor:
    """Return which maps (N, ...) have no ranking, a mask (N,): constant ones, and ones with a NaN or an infinity."""
    pixels = values.flatten(1)
    return ~finite_rows(values) | (pixels.amax(1) == pixels.amin(1))


def _fitted(maps: Tensor, images: Tensor) -> Tensor:
    """Return maps of the images' resolution: (N, C, *positions), (N, 1, *positions) or (N, *positions)."""
    size, shape = positions(images), tuple(maps.shape)
    with_channels = images.ndim > 2 and maps.ndim == images.ndim
    fits = len(maps) == len(images) and maps.numel() > 0
    if fits and images.ndim == 2 and shape[1:] in (size, (1, *size)):
        return maps.reshape(images.shape)
    if fits and (with_channels or maps.ndim == len(size) + 1) and maps.shape[-len(size) :] == size:
        if not with_channels or maps.shape[1] in (1, images.shape[1]):
            return maps
        raise InputError(
            f"maps have {maps.shape[1]} channels, {shape}, for inputs {tuple(images.shape)}, expected "
            f"{images.shape[1]} or 1; sum over the channels first: maps.sum(1)."
        )
    expected = " or ".join(str((len(images), *each)) for each in dict.fromkeys([tuple(images.shape[1:]), size]))
    message = f"maps have shape {shape} for inputs {tuple(images.shape)}, expected {expected}"
    if fits and with_channels and shape[1:-1] == size:
        raise InputError(f"{message}; their channels are the last axis: maps.movedim(-1, 1).")
    spatial = shape[-len(size) :]
    turned = sorted(spatial) == sorted(size)
    plain = maps.ndim == len(size) + 1 or (with_channels and maps.shape[1] in (1, images.shape[1]))
    if not fits or not plain or turned or images.ndim == 2 or len(size) not in INTERPOLATIONS:
        raise InputError(f"{message}{'; their axes are in another order: transpose them' if fits and turned else ''}.")
    warn(f"The maps are {spatial} for images of {size}; they are interpolated.")
    channels = maps if with_channels else maps.unsqueeze(1)
    fitted = interpolated(channels, size)
    return fitted if with_channels else fitted.squeeze(1)
