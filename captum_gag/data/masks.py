"""Segmentations: what is on the object in an image of two levels, whoever wrote it; all else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from captum_gag.data.images import refuse_bomb, shown, upright_size
from captum_gag.errors import InputError, in_one_line
from captum_gag.files import require_file

Mask = NDArray[np.bool_]

LOSSY = ("JPEG", "MPO", "WEBP")
"""File formats that change pixels: two levels come back as two bands."""

WHITE = (1, 255, 65535)
"""What says that all of an image is the object; of any other single value it cannot be told."""

MASK_VALUE_HELP = (
    "The value of segmentations that is the object, such as 1 of a trimap, or the index in a palette; None where there "
    "are two values, and the object is not 0."
)

ORIENTATION = 0x0112
"""The EXIF entry that says how a photograph is turned; 1 is upright."""


def read_mask(path: Path, value: int | None = None) -> Image.Image:
    """Read a segmentation: mode L, 255 on the object and 0 elsewhere.

    Args:
        path: Black, and one other colour or value on the object: 255, 1, an index of a palette, a colour, 16 bits; in a
            JPEG nearly so. Transparent pixels are no part of the object.
        value: What is stored where the object is; all else is not the object, whatever it is. None for the above.

    Raises:
        InputError: It cannot be read; it has more than two values, and no value was given; or a value was given, and
            its file format changes values, or it holds colours.
    """
    try:
        require_file(path)
        with Image.open(path) as image:
            refuse_bomb(image, path.stat().st_size)
            image.load()
            lossy = image.format in LOSSY
            upright = ImageOps.exif_transpose(image)
    # Pillow's decoders meet broken bytes with almost any exception.
    except Exception as error:
        reason = getattr(error, "strerror", None) or in_one_line(error)
        raise InputError(f"{shown(path)}: cannot be read as a segmentation: {reason}") from error
    if value is None:
        return mask_of(upright, shown(path), lossy)
    stored = np.asarray(upright)
    if lossy or stored.ndim != 2:
        kind = "a file format that changes values" if lossy else f"colours ({upright.mode}), not one value a pixel"
        raise InputError(
            f"{shown(path)}: has {kind}, so none of them can be {value}; save a PNG in grey, or leave out mask_value"
        )
    return Image.fromarray(np.where(stored == value, 255, 0).astype(np.uint8))


def mask_of(item: Any, name: str, lossy: bool = False) -> Image.Image:
    """Return a segmentation in any form as an image of mode L, 255 on the object and 0 elsewhere.

    Args:
        item: A PIL image or an array, (H, W), (1, H, W) or (H, W, 1): 0, and one other value on the object.
        name: What it is called, for the message.
        lossy: Whether its values may lie in two bands, as a JPEG's do.

    Raises:
        InputError: It has another shape, more than two values, or none of them is 0.
    """
    values = _values(item, name) if isinstance(item, Image.Image) else np.asarray(item)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or not values.size:
        raise InputError(f"{name}: the segmentation has shape {values.shape}; expected (H, W) or (1, H, W)")
    return Image.fromarray(np.where(_object(values, name, lossy), 255, 0).astype(np.uint8))


def check_fit(mask: Image.Image, photo: Path, name: str) -> None:
    """Check that a segmentation lies on its upright photograph, of which no more than the header is read.

    Raises:
        InputError: It is of another size, or it cannot be told whether it is turned as the photograph is.
    """
    try:
        with Image.open(photo) as image:
            size, orientation = upright_size(image), image.getexif().get(ORIENTATION, 1)
    # Reading the photograph itself says what is wrong with it.
    except Exception:
        return
    require_size(mask, size, name)
    stored = size[::-1] if orientation in (5, 6, 7, 8) else size
    if orientation in range(2, 9) and mask.size == stored:
        raise InputError(
            f"{name}: the EXIF entry of {shown(photo.name)} turns it, and whether its segmentation is turned too "
            "cannot be told; save the photograph upright, without the entry"
        )


def require_size(mask: Image.Image, size: tuple[int, int], name: str) -> None:
    """Require that a segmentation is as large as its photograph.

    Raises:
        InputError: It is not.
    """
    if mask.size != size:
        raise InputError(
            f"{name}: the segmentation is {mask.width} x {mask.height}, its photograph {size[0]} x {size[1]}; "
            "expected one pixel for each of the upright photograph"
        )


def _values(image: Image.Image, name: str) -> NDArray[Any]:
    """Return one value per pixel: grey as it is stored, colours as 24 bits, transparent ones as 0."""
    if image.has_transparency_data:
        colours = np.asarray(image.convert("RGBA")).astype(np.int64)
        alpha = colours[..., 3]
        if ((alpha > 0) & (alpha < 255)).any():
            raise InputError(f"{name}: the segmentation is half transparent in places; expected two values, 0 and 255")
        if (alpha == 0).any() and not colours[..., :3][alpha == 255].any():
            raise InputError(f"{name}: the segmentation is black or transparent; expected 0, and 255 on the object")
        colours = np.where(alpha[..., None] == 255, colours[..., :3], 0)
    elif image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return np.asarray(image)
    else:
        colours = np.asarray(image.convert("RGB")).astype(np.int64)
    if image.mode == "P" and (colours == colours[0, 0]).all():
        # A palette that shows all of its entries alike: they are told apart by their numbers.
        return np.asarray(image)
    red, green, blue = np.moveaxis(colours, -1, 0)
    is_grey = (red == green).all() and (green == blue).all()
    return np.asarray(red if is_grey else 65536 * red + 256 * green + blue)


def _object(values: NDArray[Any], name: str, lossy: bool) -> Mask:
    """Return where the object is."""
    if values.dtype == bool:
        return values
    is_number = np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)
    if not is_number or not np.isfinite(values).all():
        raise InputError(f"{name}: the segmentation has values that are no numbers; expected 0, and 1 on the object")
    levels = np.unique(values)
    if lossy and 170 <= levels[-1] <= 255 and not ((levels > 85) & (levels < 170)).any():
        return np.asarray(values > 127)
    if len(levels) == 1 and levels[0] in (0, *WHITE):
        return np.full(values.shape, bool(levels[0]))
    if len(levels) == 2 and levels[0] == 0:
        return np.asarray(values != 0)
    # Colours are more than 16 bits.
    shape = "g" if levels[-1] <= 65535 else "06x"
    listed = ", ".join(f"{level:{shape}}" for level in levels[:5]) + (", ..." if len(levels) > 5 else "")
    raise InputError(
        f"{name}: the segmentation has the values {listed}; expected two, 0 and one other on the object, such as 255 "
        "(saved without smoothing), or name the value of the object by the option mask_value of folder and csv"
    )
