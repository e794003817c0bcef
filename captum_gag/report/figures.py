"""Figures of maps and of what RCAP does to them."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from captum_gag.metrics.rcap import recovery_levels, thresholds
from captum_gag.report.style import AREAS, BAND, HEAT, INK, styled

Photo: TypeAlias = NDArray[Any]
Saliency: TypeAlias = NDArray[Any]


class Parts(NamedTuple):
    """The parts of a map between RCAP's percentiles, from the most salient to the noise.

    Attributes:
        names: Of the parts; the last is the noise.
        area: Which part each pixel is in, (H, W), from 0.
        shares: Of the map's saliency in each part; 0 throughout for an empty map.
    """

    names: list[str]
    area: NDArray[np.int64]
    shares: NDArray[np.float64]


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
        2.4 x 2.9 inches a panel at 100 dpi, with a colour bar beside the first row; not known to pyplot.

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
            show_map(axes, maps[title][method], method + score, alpha=0.6 if overlay else None)
    if methods:
        _colour_bar(figure, rows[0, -1])
    return figure


@styled
def areas(photo: Photo, saliency: Saliency, lower_bound: float = 50.0, interval: float = 10.0) -> Figure:
    """Draw what RCAP tells apart in a map: the focus area down to a percentile, and the noise area below (Figure 3).

    Beside the photograph and the map stand the map in its focus area and in its noise area with the share of the
    saliency in each, the parts between the percentiles, and how much lies in each of those: the more in the first, the
    less noise.

    Args:
        photo: (H, W, 3) in [0, 1].
        saliency: (H, W), at least 0.
        lower_bound: RCAP's last percentile, where the noise area begins.
        interval: Distance of RCAP's percentiles.

    Returns:
        Six panels, not known to pyplot.

    Raises:
        ValueError: The map is not (H, W), or has a NaN in it, or the percentiles have no meaning.
    """
    parts = parts_of(saliency, lower_bound, interval)
    is_noise = parts.area == len(parts.names) - 1
    colours = colormaps[AREAS].resampled(len(parts.names))
    figure = Figure(figsize=(15, 2.9))
    first, second, focus, noise, third, last = figure.subplots(1, 6, width_ratios=(1, 1, 1, 1, 1, 1.3))
    show_photo(first, photo, "photograph\n")
    show_map(second, saliency, "map\n")
    shares, top = parts.shares, top_of(saliency)
    said = f"focus area: top {100 - lower_bound:g} %\n{1 - shares[-1]:.0%} of the saliency"
    show_map(focus, np.ma.masked_where(is_noise, saliency), said, top=top)
    said = f"noise area: the rest\n{shares[-1]:.0%} of the saliency"
    show_map(noise, np.ma.masked_where(~is_noise, saliency), said, top=top)
    show_parts(third, parts, "steps of RCAP\n")
    bars = last.barh(parts.names, shares, color=colours(range(len(shares))), edgecolor=INK, lw=0.5)
    last.bar_label(bars, [f"{share:.0%}" for share in shares], fontsize=8, padding=2)
    last.invert_yaxis()
    last.set_box_aspect(1 / 1.3)
    last.set(title="share of the saliency\n", xlim=(0, 1.15 * max(shares.max(), 1e-9)), xticks=[])
    return figure


@styled
def recovery(
    photo: Photo,
    saliency: Saliency,
    visual_noise: Saliency,
    localization: Saliency,
    lower_bound: float = 50.0,
    interval: float = 10.0,
) -> Figure:
    """Draw what the model sees at each step of RCAP, with both factors and their product.

    Args:
        photo: (H, W, 3) in [0, 1].
        saliency: (H, W), at least 0.
        visual_noise: (j,), as ``RCAP().details`` has it.
        localization: (j,), likewise.
        lower_bound: RCAP's last percentile.
        interval: Distance of RCAP's percentiles.

    Returns:
        The map and j recovered photographs, on black, not known to pyplot.

    Raises:
        ValueError: As ``areas``, or the factors are not one for each step.
    """
    recovered, percentiles = _recovered(saliency, lower_bound, interval), thresholds(lower_bound, interval)
    products = np.asarray(visual_noise) * np.asarray(localization)
    figure = Figure(figsize=(2.2 * (1 + len(recovered)), 3.1))
    first, *others = figure.subplots(1, 1 + len(recovered))
    show_map(first, saliency, f"map\n\nRCAP {products.mean():.3f}")
    steps = zip(others, recovered, percentiles, visual_noise, localization, products, strict=True)
    for axes, shown, percentile, share, probability, product in steps:
        title = f"top {100 - percentile:g} %\n{share:.0%} of the saliency\nx {probability:.0%} = {product:.3f}"
        show_photo(axes, np.where(shown[..., None], photo, 0.0), title)
    return figure


def parts_of(saliency: Saliency, lower_bound: float = 50.0, interval: float = 10.0) -> Parts:
    """Return the parts that RCAP tells apart in a map.

    Args:
        saliency: (H, W), at least 0.
        lower_bound: RCAP's last percentile.
        interval: Distance of RCAP's percentiles.

    Raises:
        ValueError: The map is not (H, W), or has a NaN in it, or the percentiles have no meaning.
    """
    percentiles = thresholds(lower_bound, interval)
    area = (~_recovered(saliency, lower_bound, interval)).sum(0)
    names = [f"top {100 - p:g} %" for p in percentiles[:1]]
    names += [f"{100 - high:g} to {100 - low:g} %" for high, low in itertools.pairwise(percentiles)]
    names += ["noise"]
    sums = np.bincount(area.ravel(), weights=saliency.ravel(), minlength=len(names))
    return Parts(names, area, sums / (saliency.sum() or 1.0))


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
        top: The value that is drawn brightest; None for ``top_of``.
    """
    colours = colormaps[HEAT].with_extremes(bad=BAND)
    axes.imshow(saliency, cmap=colours, vmin=0.0, vmax=top_of(saliency) if top is None else top, alpha=alpha)
    axes.set_title(title)
    axes.set_axis_off()


def show_parts(axes: Axes, parts: Parts, title: str) -> None:
    """Show the parts of a map in a panel, each in its colour."""
    count = len(parts.names)
    colours = colormaps[AREAS].resampled(count)
    axes.imshow(parts.area, cmap=colours, norm=BoundaryNorm(np.arange(count + 1) - 0.5, count))
    axes.set_title(title)
    axes.set_axis_off()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG of 256 colours, a third of the size of matplotlib's own.

    Args:
        figure: Any figure.
        path: The file to write.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    pixels.quantize(256, method=Image.Quantize.FASTOCTREE).save(path, format="PNG", optimize=True)


def top_of(saliency: Saliency) -> float:
    """Return the value that is drawn brightest: the 99.5th percentile, or the highest where that is 0; 1 if none is."""
    known = np.asarray(saliency)[np.isfinite(saliency)]
    return (float(np.percentile(known, 99.5)) or float(known.max()) or 1.0) if known.size else 1.0


def _colour_bar(figure: Figure, last: Axes) -> None:
    """Say what the colours of all maps mean, beside the last panel of a row."""
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), HEAT), cax=last.inset_axes((1.03, 0.0, 0.05, 1.0)))
    bar.set_ticks([0, 1], labels=["0", "top\n0.5 %"])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def _recovered(saliency: Saliency, lower_bound: float, interval: float) -> NDArray[np.bool_]:
    """Return the pixels that RCAP recovers at each step, (j, H, W)."""
    if np.ndim(saliency) != 2 or not np.isfinite(saliency).all():
        raise ValueError(f"The map has shape {np.shape(saliency)}, expected (H, W) without NaN and infinity.")
    order, levels = recovery_levels(torch.as_tensor(np.ascontiguousarray(saliency))[None], lower_bound, interval)
    return (order >= levels.reshape(-1, 1, 1)).numpy()
