"""The figures of Huang & Liu: maps of all methods (1), areas and steps of RCAP (3), Propositions 1 and 2 (4).

Photographs are (H, W, 3) in [0, 1], maps (H, W) and at least 0. ``lower_bound`` is RCAP's last percentile, where the
noise area begins, and ``interval`` the distance of its percentiles. No figure is known to pyplot.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from captum_gag.metrics.rcap import recovery_levels, thresholds
from captum_gag.papers.propositions import JudgedMap, Propositions
from captum_gag.report.figures import Photo, Saliency, show_map, show_photo, top_of
from captum_gag.report.style import AREAS, COLOURS, HEAT, INK, LINES, styled


@styled
def map_sheet(
    title: str,
    photo: Photo,
    maps: Mapping[str, Saliency],
    scores: Mapping[str, float] | None = None,
    *,
    columns: int = 6,
) -> Figure:
    """Draw a photograph, the map of each method with its RCAP, and the colours' scale (Huang & Liu, Figure 1).

    The scale of each map goes from 0 to its 99.5th percentile: one bright pixel would otherwise leave the rest dark.

    Args:
        title: Above the photograph.
        photo: The photograph.
        maps: By method.
        scores: RCAP by method; a NaN is shown as such.
        columns: Panels in a row at most, the photograph among them; each is 2 x 2.4 inches at 100 dpi.
    """
    rows = math.ceil((1 + len(maps)) / columns)
    # As many in each row, so that the last is not nearly empty.
    columns = math.ceil((1 + len(maps)) / rows)
    figure = Figure(figsize=(2.0 * columns + 0.8, 2.4 * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    first, *others = panels.flat
    show_photo(first, photo, "\n".join(textwrap.wrap(title, 26)))
    for axes in others:
        axes.set_axis_off()
    for axes, (method, saliency) in zip(others, maps.items(), strict=False):
        show_map(axes, saliency, method if scores is None else f"{method}\nRCAP {scores[method]:.3f}")
    scale = figure.colorbar(ScalarMappable(Normalize(0, 1), HEAT), ax=panels, fraction=0.02, pad=0.01, aspect=15 * rows)
    scale.set_ticks([0, 1], labels=["0", "most"])
    scale.set_label("saliency", labelpad=-12)
    return figure


@styled
def areas(photo: Photo, saliency: Saliency, lower_bound: float = 50.0, interval: float = 10.0) -> Figure:
    """Draw what RCAP tells apart in a map: the focus area down to a percentile, and the noise area below (Figure 3).

    Six panels: the photograph, the map, the map in its focus area and in its noise area with the share of the saliency
    in each, the parts between the percentiles, and how much lies in each of those: the more in the first, the less
    noise.

    Raises:
        ValueError: The map is not (H, W) or has a NaN, or the percentiles do not fit each other.
    """
    parts = _parts_of(saliency, lower_bound, interval)
    is_noise, shares, top = parts.area == len(parts.names) - 1, parts.shares, top_of(saliency)
    figure = Figure(figsize=(15, 2.9))
    first, second, focus, noise, third, last = figure.subplots(1, 6, width_ratios=(1, 1, 1, 1, 1, 1.3))
    show_photo(first, photo, "photograph\n")
    show_map(second, saliency, "map\n")
    title = f"focus area: top {100 - lower_bound:g} %\n{1 - shares[-1]:.0%} of the saliency"
    show_map(focus, np.ma.masked_where(is_noise, saliency), title, top=top)
    title = f"noise area: the rest\n{shares[-1]:.0%} of the saliency"
    show_map(noise, np.ma.masked_where(~is_noise, saliency), title, top=top)
    _show_parts(third, parts, "steps of RCAP\n")
    bars = last.barh(parts.names, shares, color=parts.colours(range(len(shares))), edgecolor=INK, lw=0.5)
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

    The map, and at each of the j steps the recovered photograph on black. Both factors are (j,), as ``RCAP().details``
    has them.

    Raises:
        ValueError: As ``areas``, or the factors are not one for each step.
    """
    recovered, percentiles = _recovered(saliency, lower_bound, interval), thresholds(lower_bound, interval)
    products = np.asarray(visual_noise) * np.asarray(localization)
    figure = Figure(figsize=(2.2 * (1 + len(recovered)), 3.1))
    first, *others = figure.subplots(1, 1 + len(recovered))
    show_map(first, saliency, f"map\n\nRCAP {products.mean():.3f}")
    steps = zip(others, recovered, percentiles, visual_noise, localization, products, strict=True)
    for axes, pixels, percentile, share, probability, product in steps:
        title = f"top {100 - percentile:g} %\n{share:.0%} of the saliency\nx {probability:.0%} = {product:.3f}"
        show_photo(axes, np.where(pixels[..., None], photo, 0.0), title)
    return figure


@styled
def propositions_figure(propositions: Propositions) -> Figure:
    """Draw four Gaussian maps, what RCAP makes of each, and which metric tells which apart (Huang & Liu, Figure 4).

    From above: the maps on the photograph; the parts that RCAP tells apart; its two factors and their product at each
    step; the scores of the four by every metric, and which it prefers. M1 and M3 hold the same values at two places
    (Proposition 1), M1 and M2 have the same ranking with less and with more noise (Proposition 2).
    """
    figure = Figure(figsize=(12, 10))
    spec = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    above, below = figure.add_subfigure(spec[0]), figure.add_subfigure(spec[1])
    grid = above.subplots(3, 1 + len(propositions.maps), height_ratios=(1, 1, 0.75))
    explanation, photo = propositions.explanation, propositions.explanation.photo
    title = "\n".join(textwrap.wrap(f"{explanation.label} ({explanation.probability:.0%})", 26))
    show_photo(grid[0, 0], photo, title)
    if propositions.mask is not None:
        grid[0, 0].contour(propositions.mask, levels=[0.5], colors=COLOURS[4], linewidths=1.5)
    ticks = [100 - percentile for percentile in thresholds(propositions.lower_bound, propositions.interval)]
    for (first, second, third), judged in zip(grid.T[1:], propositions.maps, strict=True):
        first.imshow(np.asarray(photo).mean(2), cmap="gray", vmin=0.0, vmax=1.0)
        show_map(first, judged.saliency, judged.label, alpha=0.6, top=1.0)
        parts = _parts_of(judged.saliency, propositions.lower_bound, propositions.interval)
        _show_parts(second, parts, f"noise area: {parts.shares[-1]:.1%} of saliency")
        factors = (judged.visual_noise, judged.localization, judged.visual_noise * judged.localization)
        labels = ("share of the saliency", "probability of the class", "their product")
        for label, values, line, colour in zip(labels, factors, LINES, COLOURS, strict=False):
            third.plot(ticks, values, marker="o", ms=3, ls=line, color=colour, label=label)
        third.set(ylim=(-0.03, 1.05), xticks=ticks, xlabel="k %", title=f"RCAP {judged.scores['RCAP']:.3f}")
    patches = [Patch(facecolor=parts.colours(part), edgecolor=INK, label=name) for part, name in enumerate(parts.names)]
    legends = {"part of the pixels": patches, "recovered: the most salient k %": grid[2, 1].lines}
    for axes, (title, handles) in zip(grid[1:, 0], legends.items(), strict=True):
        axes.set_axis_off()
        axes.legend(handles=handles, title=title, loc="center", title_fontsize=9)
    below.suptitle("\n".join(_preferences(propositions)), fontsize=10)
    panels = below.subplots(1, len(propositions.higher_is_better))
    names, fills = list(map(_name, propositions.maps)), [COLOURS[number] for number in (0, 5, 1, 4)]
    for axes, (metric, higher) in zip(panels, propositions.higher_is_better.items(), strict=True):
        scores = [judged.scores[metric] for judged in propositions.maps]
        bars = axes.bar(names, scores, color=fills, edgecolor=INK, lw=0.5)
        axes.bar_label(bars, [f"{score:.3f}" for score in scores], fontsize=8, padding=2)
        axes.set(title=f"{metric} ({'higher' if higher else 'lower'} is better)", yticks=[])
        axes.margins(y=0.15)
    return figure


class _Parts(NamedTuple):
    """The parts of a map between RCAP's percentiles, most salient first, the noise last; the part of each pixel."""

    names: list[str]
    colours: Colormap
    area: NDArray[np.int64]
    shares: NDArray[np.float64]
    """Of the saliency; 0 for an empty map."""


def _parts_of(saliency: Saliency, lower_bound: float, interval: float) -> _Parts:
    percentiles = thresholds(lower_bound, interval)
    area = (~_recovered(saliency, lower_bound, interval)).sum(0)
    steps = [f"{100 - high:g} to {100 - low:g} %" for high, low in itertools.pairwise(percentiles)]
    names = [f"top {100 - percentiles[0]:g} %", *steps, "noise"]
    sums = np.bincount(area.ravel(), weights=saliency.ravel(), minlength=len(names))
    return _Parts(names, colormaps[AREAS].resampled(len(names)), area, sums / (saliency.sum() or 1.0))


def _show_parts(axes: Axes, parts: _Parts, title: str) -> None:
    count = len(parts.names)
    axes.imshow(parts.area, cmap=parts.colours, norm=BoundaryNorm(np.arange(count + 1) - 0.5, count))
    axes.set_title(title)
    axes.set_axis_off()


def _recovered(saliency: Saliency, lower_bound: float, interval: float) -> NDArray[np.bool_]:
    """Return the pixels that RCAP recovers at each step, (j, H, W)."""
    if np.ndim(saliency) != 2 or not np.isfinite(saliency).all():
        raise ValueError(f"The map has shape {np.shape(saliency)}, expected (H, W) without NaN and infinity.")
    order, levels = recovery_levels(torch.as_tensor(np.ascontiguousarray(saliency))[None], lower_bound, interval)
    return (order >= levels.reshape(-1, 1, 1)).numpy()


def _preferences(propositions: Propositions) -> Iterator[str]:
    """Yield which metric prefers which map, for each proposition."""
    m1, m2, m3, _ = propositions.maps
    for text, other in (
        ("Proposition 1: M1 and M3 hold the same values, M3 at another place.", m3),
        ("Proposition 2: M1 and M2 have the same ranking, M2 more noise.", m2),
    ):
        names = []
        for metric, higher in propositions.higher_is_better.items():
            first, second = m1.scores[metric], other.scores[metric]
            preferred = _name(m1 if (first > second) == higher else other)
            # Rounding in single precision alone is no difference.
            names.append(f"{'neither' if math.isclose(first, second, rel_tol=1e-5) else preferred} by {metric}")
        yield f"{text} Preferred: {', '.join(names)}"


def _name(judged: JudgedMap) -> str:
    return judged.label.partition(":")[0]
