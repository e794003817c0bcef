"""Small photographs of a run's images, as the model saw them, and their masks: what a page shows without the data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

SIDE, QUALITY = 224, 80
"""Pixels of the longer side, at most, and quality of WebP: 10 KB and 9 ms for a photograph of ImageNet."""

EXACT = 64
"""Pixels of the longer side up to which WebP loses nothing: what it blurs would show."""


class Photograph(NamedTuple):
    """A photograph as the model saw it, of mode RGB, and where the object is, of mode L, if that was known."""

    photo: Image.Image
    mask: Image.Image | None


def encoded(photo: Tensor, mask: Tensor | None) -> dict[str, NDArray[np.uint8]]:
    """Files in WebP as bytes, by the names of ``Photograph``.

    Args:
        photo: (3, H, W) in [0, 1].
        mask: (1, 1, H, W), 1 on the object; None where there is none.
    """
    files = {"photo": _webp(photo.permute(1, 2, 0), max(photo.shape) <= EXACT)}
    return files if mask is None else {**files, "mask": _webp(mask[0, 0], True)}


def decoded(files: Mapping[str, NDArray[np.uint8]]) -> Photograph | None:
    """Photograph and mask of ``encoded``; None without files."""
    images = {name: Image.open(io.BytesIO(each.tobytes())) for name, each in files.items()}
    if "photo" not in images:
        return None
    return Photograph(images["photo"].convert("RGB"), images["mask"].convert("L") if "mask" in images else None)


def _webp(values: Tensor, lossless: bool) -> NDArray[np.uint8]:
    levels = np.nan_to_num(values.float().cpu().numpy()).clip(0, 1) * 255
    image = Image.fromarray(levels.round().astype(np.uint8))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="WEBP", quality=QUALITY, lossless=lossless)
    return np.frombuffer(buffer.getvalue(), np.uint8)
