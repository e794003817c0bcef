"""A map as an image of the photograph's own size, alone or over the photograph."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from captum_gag.report.figures import top_of
from captum_gag.report.style import HEAT

Box: TypeAlias = tuple[float, float, float, float]

LONGEST = 1024
"""Pixels of the longer side, at most."""

SHARE = 0.6
"""Of the map's colours over a photograph."""


def map_image(
    saliency: NDArray[np.float32], photo: Image.Image, box: Box | None = None, *, overlay: bool
) -> Image.Image:
    """Draw a map where the network saw it, in the colours of ``map_grid``.

    Args:
        saliency: (H, W), at least 0.
        photo: The photograph that the map is of, in mode RGB.
        box: Left, top, right and bottom of what the network saw, in pixels of the photograph. None for all of it.
        overlay: Draw it over the photograph in grey, with a frame around what the network saw; else on black.

    Returns:
        Mode RGB, of the photograph's size, or of its proportions with 1024 pixels for the longer side.
    """
    scale = min(1.0, LONGEST / max(photo.size))
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    left, top, right, bottom = (round(scale * edge) for edge in box or (0, 0, *photo.size))
    inside = max(1, right - left), max(1, bottom - top)
    shown = np.clip(np.nan_to_num(saliency) / top_of(saliency), 0, 1).astype(np.float32)
    scaled = np.clip(np.asarray(Image.fromarray(shown).resize(inside, Image.Resampling.BILINEAR)), 0, 1)
    colours = Image.fromarray((255 * colormaps[HEAT](scaled)[..., :3]).round().astype(np.uint8))
    if not overlay:
        drawn = Image.new("RGB", size)
        drawn.paste(colours, (left, top))
        return drawn
    drawn = photo.convert("L").resize(size).convert("RGB")
    below = drawn.crop((left, top, left + inside[0], top + inside[1]))
    drawn.paste(Image.blend(below, colours, SHARE), (left, top))
    if inside != size:
        edges = (left, top, left + inside[0] - 1, top + inside[1] - 1)
        ImageDraw.Draw(drawn).rectangle(edges, outline="white")
    return drawn
