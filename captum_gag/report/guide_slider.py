"""What a page needs to redraw GAG's map of an image at any percentile: both its parts, as the colours of a picture."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from captum_gag.runs.guide_parts import Parts

MOST_BYTES, BYTES_PER_PIXEL = 15e6, 7.5
"""Of the parts of all images together, and of one pixel of both in lossless WebP and base64, as measured."""


def stride_for(images: int, pixels: int) -> int:
    """Return of how many pixels in a row one is kept, so that so many images of so many pixels keep to their size."""
    return next(each for each in range(1, 1000) if images * pixels / each**2 * BYTES_PER_PIXEL <= MOST_BYTES)


def slider(parts: Parts, percentile: float, stride: int) -> dict[str, Any] | None:
    """Return both parts for the page.

    Args:
        parts: As ``guide_parts.quantised`` returns them; empty for an image that has none.
        percentile: Of the method.
        stride: As ``stride_for`` returns it. What is left keeps the rank that it has among all pixels.

    Returns:
        picture (data URI: magnitude, and beside it rank, with the channels as colours), scale and level by channel,
        percentile; None without parts.
    """
    if not parts:
        return None
    both = np.concatenate([parts[name][:, ::stride, ::stride] for name in ("magnitude", "rank")], axis=2)
    colours = np.broadcast_to(both, (3, *both.shape[1:])).transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours)).save(buffer, format="WEBP", lossless=True, quality=60)
    return {
        "picture": "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(),
        "scale": [float(f"{each:.4g}") for each in parts["scale"]],
        "level": [[float(f"{each:.3g}") for each in row] for row in parts["level"]],
        "percentile": percentile,
    }
