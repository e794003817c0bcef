"""Figures: a photograph beside the maps that explain it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image


def explanation_figure(
    photo: NDArray[Any], maps: Mapping[str, NDArray[Any]], scores: Mapping[str, float], title: str
) -> Figure:
    """Draws a photograph and, to its right, each method's map with its score.

    The maps share one colour scale, from black (no influence) to yellow (most), whose top is each map's
    99.5th percentile: one bright pixel would otherwise leave the rest dark.

    Args:
        photo (array): (H, W, 3) in [0, 1].
        maps (Mapping of str to array): Per method, (H, W), at least 0.
        scores (Mapping of str to float): Per method, RCAP; a NaN is shown as such.
        title (str): Of the photograph, such as the predicted class and its probability.

    Returns:
        Figure: 2.4 x 2.9 inches a panel at 100 dpi, not known to pyplot.
    """
    figure = Figure(figsize=(2.4 * (1 + len(maps)), 2.9), dpi=100, layout="constrained")
    first, *others = figure.subplots(1, 1 + len(maps), squeeze=False)[0]
    first.imshow(photo)
    # Names are the user's: a dollar sign in one is no formula.
    first.set_title("\n".join(textwrap.wrap(title, 28)), fontsize=10, parse_math=False)
    for axes, (method, saliency) in zip(others, maps.items(), strict=True):
        top = float(np.percentile(saliency, 99.5)) or float(np.max(saliency)) or 1.0
        axes.imshow(saliency, cmap="inferno", vmin=0.0, vmax=top)
        axes.set_title(f"{method}\nRCAP {scores[method]:.4f}", fontsize=10, parse_math=False)
    for axes in (first, *others):
        axes.set_axis_off()
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG of 256 colours, a third of the size of matplotlib's own.

    Args:
        figure (Figure): As `explanation_figure` draws it.
        path (Path): The file to write.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    pixels.quantize(256, method=Image.Quantize.FASTOCTREE).save(path, format="PNG", optimize=True)
