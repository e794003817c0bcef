"""Figures of maps: panels beside photographs, and images of the photograph's own size."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from captum_gag.report.style import BAND, HEAT, styled

Photo: TypeAlias = NDArray[Any]
Saliency: TypeAlias = NDArray[Any]
Box: TypeAlias = tuple[float, float, float, float]

LONGEST = 1024
"""Pixels of the longer side of a map's image, at most."""

SHARE = 0.6
"""Of the map's colours over a photograph."""


@styled
def map_grid(
    photos: Mapping[str, Photo],
    maps: Mapping[str, Mapping[str, Saliency]],
    scores: Mapping[str, Mapping[str, float]] | None = None,
    *,
    metric: str = "RCAP",
    overlay: bool = False,
) -> Figure:
    """Draw photographs, a row each, and beside them the map of each method with its score (Huang & Liu, Figure 1).

    All maps share one colour scale, from black (no influence) to yellow (most), whose top is each map's 99.5th
    percentile: one bright pixel would otherwise leave the rest dark.

    Args:
        photos: By the title above it, (H, W, 3) in [0, 1].
        maps: Per photograph and method, (H, W), at least 0. A method that has no map of a
            photograph leaves its place empty.
        scores: Per photograph and method; a NaN is shown as such.
        metric: What the scores are of.
        overlay: Draw the maps over the photograph in grey.

    Returns:
        2.4 x 2.9 inches a panel at 100 dpi, with a colour bar beside the first row; not finite to pyplot.

    Raises:
        ValueError: There are no photographs, or others in ``maps`` than in ``photos``.
    """
    if not photos or set(photos) != set(maps):
        raise ValueError(
            f"There are photographs {list(photos)} and maps of {list(maps)}, expected the same, at least one."
        )
    methods = list(dict.fromkeys(method for of_photo in maps.values() for method in of_photo))
    figure = Figure(figsize=(2.4 * (1 + len(methods)) + 0.6, 2.9 * len(photos)))
    rows = figure.subplots(len(photos), 1 + len(methods), squeeze=False)
    for (title, photo), (first, *others) in zip(photos.items(), rows, strict=True):
        show_photo(first, photo, "\n".join(textwrap.wrap(title, 28)))
        for method, axes in zip(methods, others, strict=True):
            axes.set_axis_off()
            if method not in maps[title]:
                continue
            if overlay:
                axes.imshow(np.asarray(photo).mean(2), cmap="gray", vmin=0.0, vmax=1.0)
            score = "" if scores is None else f"\n{metric} {scores[title][method]:.4f}"
            show_map(axes, maps[title][method], method + score, alpha=SHARE if overlay else None)
    if methods:
        _colour_bar(figure, rows[0, -1])
    return figure


def show_photo(axes: Axes, photo: Photo, title: str) -> None:
    """Show a photograph (H, W, 3) in [0, 1] in a panel."""
    axes.imshow(photo)
    axes.set_title(title)
    axes.set_axis_off()


def show_map(axes: Axes, saliency: Saliency, title: str, alpha: float | None = None, top: float | None = None) -> None:
    """Show a map (H, W) in a panel; what is masked of it is grey.

    Args:
        axes: The panel.
        saliency: At least 0.
        title: Above it.
        alpha: Opacity, over what the panel shows already; None for all of it.
        top: The value that is image brightest; None for ``top_of``.
    """
    colours = colormaps[HEAT].with_extremes(bad=BAND)
    axes.imshow(saliency, cmap=colours, vmin=0.0, vmax=top_of(saliency) if top is None else top, alpha=alpha)
    axes.set_title(title)
    axes.set_axis_off()


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
    levels = np.clip(np.nan_to_num(saliency) / top_of(saliency), 0, 1).astype(np.float32)
    scaled = np.clip(np.asarray(Image.fromarray(levels).resize(inside, Image.Resampling.BILINEAR)), 0, 1)
    colours = Image.fromarray((255 * colormaps[HEAT](scaled)[..., :3]).round().astype(np.uint8))
    if not overlay:
        image = Image.new("RGB", size)
        image.paste(colours, (left, top))
        return image
    image = photo.convert("L").resize(size).convert("RGB")
    below = image.crop((left, top, left + inside[0], top + inside[1]))
    image.paste(Image.blend(below, colours, SHARE), (left, top))
    if inside != size:
        edges = (left, top, left + inside[0] - 1, top + inside[1] - 1)
        ImageDraw.Draw(image).rectangle(edges, outline="white")
    return image


def top_of(saliency: Saliency) -> float:
    """Return the value that is image brightest: the 99.5th percentile, or the highest where that is 0; 1 if none is."""
    finite = np.asarray(saliency)[np.isfinite(saliency)]
    return (float(np.percentile(finite, 99.5)) or float(finite.max()) or 1.0) if finite.size else 1.0


def _colour_bar(figure: Figure, last: Axes) -> None:
    """Draw the bar of the colours of all maps, beside the last panel of a row."""
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), HEAT), cax=last.inset_axes((1.03, 0.0, 0.05, 1.0)))
    bar.set_ticks([0, 1], labels=["0", "top\n0.5 %"])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
