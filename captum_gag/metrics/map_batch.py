"""A batch of images with a map for each: rankings and baselines, computed once for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from captum_gag.attr.saliency import saliency_map
from captum_gag.baselines import BaselineLike, Imputation, Normalization, resolve
from captum_gag.errors import InputError, shown, warn
from captum_gag.metrics.masking import Imputed
from captum_gag.tensors import (
    INTERPOLATIONS,
    channels_back,
    channels_first,
    check_channel_axis,
    finite_rows,
    interpolated,
    positions,
    require_dense,
)

T = TypeVar("T")


@dataclass
class MapBatch:
    """Images with a map for each; the metrics of one batch share its rankings and baselines.

    Args:
        images: Shape (N, C, H, W), any (N, C, *positions), or tables (N, F), N >= 1, as the model takes them. The
            attribute has the channels on axis 1.
        maps: Attributions like the images, or maps (N, *positions) or (N, 1, *positions). The attribute is on the
            images' device, at their resolution (linearly interpolated, with a warning).
        shared: Results that depend on the images alone, such as baselines; batches with the same dict share them.
        channel_axis: The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E).

    Raises:
        InputError: If images or maps are no tensors of such shapes, or there is not one map for each image.
    """

    images: Tensor
    maps: Tensor
    shared: dict[object, Any] = field(default_factory=dict)
    channel_axis: int = 1

    def __post_init__(self) -> None:
        """Bring the maps to the images."""
        for name, tensor in (("inputs", self.images), ("maps", self.maps)):
            if not isinstance(tensor, Tensor):
                raise InputError(f"{name} are a {type(tensor).__name__}, must be a torch tensor; use torch.as_tensor.")
            require_dense(name, tensor)
        if not self.images.is_floating_point() or self.images.ndim < 2 or self.images.numel() == 0:
            raise InputError(
                f"inputs are {tuple(self.images.shape)} of {self.images.dtype}, must be floating-point images "
                "(N, C, H, W), any (N, C, *positions) or rows (N, F), with N >= 1; give embeddings of token numbers."
            )
        if self.maps.is_complex() or self.maps.ndim < 2:
            raise InputError(
                f"maps are {tuple(self.maps.shape)} of {self.maps.dtype}, must be real numbers, a map for each image."
            )
        axis, images = self.channel_axis, self.images
        check_channel_axis(axis, images)
        maps = self.maps.detach().to(images.device)
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        maps = channels_first(maps, axis) if maps.ndim == images.ndim else maps
        # One tensor for all maps of the same images: the engine knows equal images by their identity.
        self.images = images if axis == 1 else self.cached(("images", axis), lambda: channels_first(images, axis))
        self.maps = _fit_maps(maps, self.images)

    @property
    def with_maps(self) -> tuple[bool, ...]:
        """For each input of the model, whether it has a map."""
        return (True,)

    def layout(self, images: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        """Return changed images, (B, C, ...), of these rows of the batch as the model's inputs."""
        return (channels_back(images, self.channel_axis),)

    @cached_property
    def magnitude(self) -> Tensor:
        """Magnitude of each pixel, (N, *positions): the sum of |map| over channels.

        Every metric that ignores signs judges this one, of Quantus too, so that all judge the same map: the sum of
        |map|, not |sum of map|, in which channels of opposite sign would cancel.
        """
        return self._reduced(self.maps.abs())

    @cached_property
    def saliency(self) -> Tensor:
        """The magnitude, min-max normalised as by ``saliency_map``, (N, *positions) in [0, 1]."""
        return saliency_map(self.magnitude, channel_axis=None)

    @cached_property
    def saliency_ranks(self) -> Tensor:
        """Ranks of the pixels, (N, *positions), 0 for the most salient."""
        return pixel_ranks(self.saliency)

    @cached_property
    def relevance(self) -> Tensor:
        """Relevance of each pixel, (N, *positions): the sum of the map over channels, for metrics that read signs."""
        return self._reduced(self.maps)

    def maps_like_images(self) -> Tensor:
        """Return the maps with their channels, or with one on axis 1, (N, C, *positions); of tables (N, F)."""
        return self.maps if self.maps.ndim == self.images.ndim else self.maps.unsqueeze(1)

    def _reduced(self, maps: Tensor) -> Tensor:
        return maps.sum(1) if self.images.ndim > 2 and maps.ndim == self.images.ndim else maps

    def baseline(self, perturb_baseline: BaselineLike, normalization: Normalization | None) -> Tensor | Imputed:
        """Return the values of hidden pixels, computed once: images like the images, or an imputation of them."""
        by_value = isinstance(perturb_baseline, str | float | int | dict)
        key = (str(perturb_baseline) if by_value else id(perturb_baseline), str(normalization))
        replacement = resolve(perturb_baseline, normalization)
        # A user's own tensor or function takes the layout of the user's inputs.
        axis = 1 if by_value else self.channel_axis
        images = channels_back(self.images, axis)
        if not isinstance(replacement, Imputation):
            return self.cached(key, lambda: channels_first(replacement(images), axis))

        def fill(images: Tensor, removed: Tensor) -> Tensor:
            return channels_first(replacement(channels_back(images, axis), channels_back(removed, axis)), axis)

        return self.cached(key, lambda: Imputed(channels_first(replacement(images), axis), fill))

    def cached(self, key: object, compute: Callable[[], T]) -> T:
        """Return the result kept under this key, computed on first use; images that share it are predicted once.

        All methods' maps share these results: a key of one that depends on the maps must say on which.
        """
        if key not in self.shared:
            self.shared[key] = compute()
        result: T = self.shared[key]
        return result


class JointBatch(MapBatch):
    """Several inputs of a model as one image, whose positions are those of all inputs that have a map.

    Args:
        inputs: Tensors as ``MapBatch`` takes one, with the same N.
        maps: A map for each as ``MapBatch`` takes one, None for inputs that stay as they are; or one alone, which fits
            one input only.
        shared: As for ``MapBatch``.
        channel_axis: As for ``MapBatch``, of all inputs.

    Raises:
        InputError: As for ``MapBatch``; it is not clear whose maps these are, or no input has any.
    """

    def __init__(self, inputs: tuple[Tensor, ...], maps: Any, shared: dict[object, Any], channel_axis: int) -> None:
        """Join the images, and the maps."""
        for tensor in inputs:
            if not isinstance(tensor, Tensor) or tensor.ndim < 2:
                raise InputError(f"inputs contain {shown(tensor)}, must be torch tensors (N, ...).")
        maps = maps if isinstance(maps, tuple) else _maps_of_one(inputs, maps)
        lengths = {len(tensor) for tensor in inputs}
        if len(maps) != len(inputs) or len(lengths) != 1 or all(part is None for part in maps):
            raise InputError(
                f"inputs are {len(inputs)} tensors of {sorted(lengths)} rows, maps are {len(maps)}; give a map for "
                "each input, of as many rows, or None for inputs that stay as they are."
            )
        self.inputs = inputs
        self.parts = [
            None if values is None else MapBatch(tensor, values, {}, channel_axis)
            for tensor, values in zip(inputs, maps, strict=True)
        ]
        parts = [part for part in self.parts if part]
        self._channels = max(_flat(part.images).shape[1] for part in parts)
        # Images and baselines are those of the inputs that have a map.
        shared = shared.setdefault(tuple(values is not None for values in maps), {})
        joined = shared.setdefault("images", self._joined([part.images for part in parts]))
        super().__init__(joined, self._joined([part.maps_like_images() for part in parts]), shared)

    @property
    def with_maps(self) -> tuple[bool, ...]:
        """For each input of the model, whether it has a map."""
        return tuple(part is not None for part in self.parts)

    def _joined(self, tensors: Sequence[Tensor]) -> Tensor:
        flat = [_flat(tensor) for tensor in tensors]
        padded = [functional.pad(tensor, (0, 0, 0, self._channels - tensor.shape[1])) for tensor in flat]
        return torch.cat(padded, 2)

    def layout(self, images: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        """Return changed images, (B, C, P), of these rows of the batch as the model's inputs."""
        inputs, start = [], 0
        for tensor, part in zip(self.inputs, self.parts, strict=True):
            if part is None:
                inputs.append(tensor[rows.to(tensor.device)])
                continue
            _, channels, size = _flat(part.images).shape
            values = images[:, :channels, start : start + size].reshape(-1, *part.images.shape[1:]).to(tensor.dtype)
            inputs += part.layout(values, rows)
            start += size
        return tuple(inputs)

    def baseline(self, perturb_baseline: BaselineLike, normalization: Normalization | None) -> Tensor | Imputed:
        """Return the values of hidden pixels, those of each input by itself."""
        hidden = [part.baseline(perturb_baseline, normalization) for part in self.parts if part]
        if any(isinstance(values, Imputed) for values in hidden):
            raise InputError(
                "perturb_baseline imputes pixels, must be a value for each where there are several inputs."
            )
        return self.cached(
            (str(perturb_baseline), str(normalization), id(perturb_baseline)),
            lambda: self._joined([values for values in hidden if isinstance(values, Tensor)]),
        )


def batch_of(inputs: Any, maps: Any, channel_axis: int, shared: dict[object, Any] | None = None) -> MapBatch:
    """Return the batch of one input, or of a tuple of several."""
    shared = {} if shared is None else shared
    if isinstance(inputs, tuple) and len(inputs) > 1:
        return JointBatch(inputs, maps, shared, channel_axis)
    [inputs] = inputs if isinstance(inputs, tuple) and inputs else [inputs]
    [maps] = maps if isinstance(maps, tuple) and len(maps) == 1 else [maps]
    return MapBatch(inputs, maps, shared, channel_axis)


def _flat(tensor: Tensor) -> Tensor:
    """Return inputs (N, C, *positions) as (N, C, P), tables (N, F) as (N, 1, F)."""
    return tensor.flatten(2) if tensor.ndim > 2 else tensor.unsqueeze(1)


def _maps_of_one(inputs: tuple[Any, ...], maps: Any) -> tuple[Any, ...]:
    """Return maps of one input as a tuple with None for the others."""
    shape = tuple(getattr(maps, "shape", ()))
    fits = [shape in (tuple(tensor.shape), (len(tensor), *positions(tensor))) for tensor in inputs]
    if sum(fits) != 1:
        shapes = [tuple(tensor.shape) for tensor in inputs]
        raise InputError(
            f"maps are {shape} for inputs {shapes}, must be a tuple with a map for each input, or None for those that "
            "stay as they are."
        )
    return tuple(maps if fit else None for fit in fits)


def pixel_ranks(relevance: Tensor, descending: bool = True) -> Tensor:
    """Return the rank of each pixel in its map, (N, *positions), 0 first; equal ones in reading order."""
    order = relevance.flatten(1).argsort(dim=1, descending=descending, stable=True)
    ranks = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, ranks).reshape(relevance.shape)


def without_ranking(values: Tensor) -> Tensor:
    """Return a mask (N,) of the maps (N, ...) without ranking: constant ones, and ones with a NaN or an infinity."""
    pixels = values.flatten(1)
    return ~finite_rows(values) | (pixels.amax(1) == pixels.amin(1))


def _fit_maps(maps: Tensor, images: Tensor) -> Tensor:
    """Return maps of the images' resolution: (N, C, *positions), (N, 1, *positions) or (N, *positions)."""
    size, shape = positions(images), tuple(maps.shape)
    if images.ndim == 2 and shape == (len(images), 1, *size):
        return maps.squeeze(1)
    with_channels = images.ndim > 2 and maps.ndim == images.ndim
    fits = len(maps) == len(images) and maps.numel() > 0 and (with_channels or maps.ndim == len(size) + 1)
    spatial, channels = shape[-len(size) :], maps.shape[1] if with_channels else 1
    has_channels = channels in (1, images.shape[1])
    if fits and spatial == size:
        if has_channels:
            return maps
        raise InputError(
            f"maps have {channels} channels, {shape}, for inputs {tuple(images.shape)}, must have {images.shape[1]} or "
            "1; sum over the channels first: maps.abs().sum(1), or maps.sum(1) to keep signs."
        )
    shapes = " or ".join(str((len(images), *axes)) for axes in dict.fromkeys([tuple(images.shape[1:]), size]))
    message = f"maps have shape {shape} for inputs {tuple(images.shape)}, must have {shapes}"
    if fits and with_channels and shape[1:-1] == size:
        raise InputError(f"{message}; their channels are the last axis: maps.movedim(-1, 1).")
    turned = sorted(spatial) == sorted(size)
    if not fits or not has_channels or turned or images.ndim == 2 or len(size) not in INTERPOLATIONS:
        raise InputError(f"{message}{'; their axes are in another order: transpose them' if fits and turned else ''}.")
    warn(f"The maps are {spatial} for images of {size}; they are interpolated.")
    fitted = interpolated(maps if with_channels else maps.unsqueeze(1), size)
    return fitted if with_channels else fitted.squeeze(1)
