"""Items of a torch ``Dataset``: which part is the photograph, the class and the mask, and what their values mean."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from captum_gag.data.datasets import Example
from captum_gag.data.images import to_rgb
from captum_gag.data.masks import mask_of, require_size
from captum_gag.errors import InputError, in_one_line

KEYS = {
    "image": ("image", "img", "pixel_values"),
    "class": ("label", "labels", "target", "class"),
    "mask": ("mask", "segmentation"),
}
"""What the parts of an item that is a dict may be called."""

FORMS = "(image, class), (image, class, mask) or a dict with the keys image, label and perhaps mask"

ROUNDING = 1e-3
"""How far values may lie beside [0, 1], as those of an image that was resized in low precision do."""


def example_of(item: Any, name: str) -> Example:
    """Return an item as an example; its parts are converted when they are asked for.

    Args:
        item: (image, class), (image, class, mask) or a dict, perhaps with ``group``. What stands in the mask's place
            and is no image, such as a file name or a number, is left alone.
        name: Of the item.

    Raises:
        InputError: It has another form, or its class is no whole number.
    """
    image, target, mask = parts_of(item, name)
    has_mask = isinstance(mask, Image.Image) or getattr(mask, "ndim", 0) >= 2
    return Example(
        name,
        partial(photo_of, image, name),
        class_of(target, name),
        partial(_fitting_mask, mask, image, name) if has_mask else None,
        group="" if not isinstance(item, Mapping) or item.get("group") is None else str(item["group"]),
    )


def class_of(target: Any, name: str) -> int | None:
    """Return a class as a number: of a whole number in any type, (), (1,), or None for none.

    Raises:
        InputError: It is something else, such as one-hot, a name, or -1.
    """
    if target is None:
        return None
    found = _array(target) if isinstance(target, torch.Tensor | np.ndarray | np.generic | int | float) else None
    if found is None or found.shape not in ((), (1,)):
        came = type(target).__name__ if found is None else f"of shape {found.shape}"
        raise InputError(
            f"item {name}: its class is {came}; expected the number of one class (of one-hot or of several labels, "
            "give the index of the one to explain)"
        )
    value = found.reshape(()).item()
    if not isinstance(value, int | float) or value < 0 or not float(value).is_integer():
        raise InputError(f"item {name}: its class is {value}; expected a whole number, 0 or more, or None for no class")
    return int(value)


def photo_of(image: Any, name: str) -> Image.Image:
    """Return a photograph in any form as mode RGB.

    Args:
        image: A PIL image, or a tensor or array, (C, H, W), (H, W, C) or (H, W) with one or three channels: 8 bits, 16
            bits (uint16, white is 65535), or floats in [0, 1] or whole ones to 255.
        name: Of the item.

    Raises:
        InputError: It is something else, such as already normalised.
    """
    if isinstance(image, Image.Image):
        try:
            return to_rgb(image)
        except InputError as error:
            raise InputError(f"item {name}: {error}") from error
    if not isinstance(image, torch.Tensor | np.ndarray):
        raise InputError(f"item {name}: its image is a {type(image).__name__}; expected a PIL image, tensor or array")
    is_tensor = isinstance(image, torch.Tensor)
    pixels = _array(image)
    channels = pixels[..., None] if pixels.ndim == 2 else _channels_last(pixels, is_tensor)
    if channels is None or not channels.size:
        raise InputError(
            f"item {name}: its image has shape {pixels.shape}; expected (C, H, W), (H, W, C) or (H, W) with one or "
            "three channels (of an image with transparency, give the PIL image)"
        )
    levels = _levels(channels, name)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3))))


def parts_of(item: Any, name: str) -> tuple[Any, Any, Any]:
    """Return image, class and mask (None if there is none) of an item."""
    if isinstance(item, Mapping):
        found = {part: [key for key in keys if key in item] for part, keys in KEYS.items()}
        if len(found["image"]) == len(found["class"]) == 1 and len(found["mask"]) <= 1:
            return item[found["image"][0]], item[found["class"][0]], item[found["mask"][0]] if found["mask"] else None
        raise InputError(f"item {name} has the keys {', '.join(map(str, item))}; expected {FORMS}")
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise InputError(f"item {name} is a {type(item).__name__}; expected {FORMS}")
    return item[0], item[1], item[2] if len(item) > 2 else None


def _fitting_mask(mask: Any, image: Any, name: str) -> Image.Image:
    """Convert a mask, and check that it lies on its photograph."""
    found = mask_of(mask if isinstance(mask, Image.Image) else _array(mask), f"item {name}")
    require_size(found, photo_of(image, name).size, f"item {name}")
    return found


def _array(values: Any) -> NDArray[Any]:
    if not isinstance(values, torch.Tensor):
        if np.ma.is_masked(values):
            raise InputError("an array has masked values, which are no numbers; fill them in")
        array = np.asarray(values)
        # Types are compared below, and uint16 in the byte order of another machine is not the same.
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    # NumPy has no bfloat16, and half precision does not hold the steps of 8 bits.
    try:
        plain = values.detach().cpu()
        return np.asarray((plain.float() if plain.dtype.itemsize <= 2 and plain.is_floating_point() else plain).numpy())
    # Sparse, quantised and meta tensors.
    except (TypeError, RuntimeError) as error:
        raise InputError(f"a tensor cannot be read as numbers: {in_one_line(error)}") from error


def _channels_last(pixels: NDArray[Any], is_tensor: bool) -> NDArray[Any] | None:
    """Return an image as (H, W, C); where both ends could be channels, tensors have them first and arrays last."""
    if pixels.ndim != 3:
        return None
    first, last = pixels.shape[0] in (1, 3), pixels.shape[2] in (1, 3)
    if first and (is_tensor or not last):
        return np.moveaxis(pixels, 0, -1)
    return pixels if last else None


def _levels(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return pixels of any type as 8 bits; what values mean is never guessed.

    Raises:
        InputError: It cannot be told which value is white.
    """
    kind = pixels.dtype
    if np.issubdtype(kind, np.bool_):
        return np.where(pixels, 255, 0).astype(np.uint8)
    is_float, is_whole = np.issubdtype(kind, np.floating), np.issubdtype(kind, np.integer)
    if not (is_float or is_whole) or not np.isfinite(pixels).all():
        raise InputError(f"item {name}: its image has values that are no finite numbers")
    low, high = float(pixels.min()), float(pixels.max())
    if is_float and low >= -ROUNDING and high <= 1 + ROUNDING:
        return np.asarray(np.rint(pixels.astype(np.float64).clip(0, 1) * 255), np.uint8)
    if kind == np.uint16 and (high > 4095 or high == 0):
        return np.asarray(pixels // 257, np.uint8)
    if low >= 0 and high <= 255 and kind != np.uint16 and (high != 1 or is_float) and (pixels == np.rint(pixels)).all():
        return pixels.astype(np.uint8)
    raise InputError(
        f"item {name}: its image has {kind} values from {low:g} to {high:g}, of which white is not known; expected 8 "
        "bits or [0, 1]: give the data set without Normalize, since the model's preprocessing normalises"
    )
