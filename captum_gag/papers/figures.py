"""The figures of Huang & Liu: the maps of all methods (Figure 1), and Propositions 1 and 2 (Figure 4)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from captum_gag.metrics.rcap import thresholds
from captum_gag.papers.propositions import JudgedMap, Propositions
from captum_gag.report.figures import Photo, Saliency, parts_of, show_map, show_parts, show_photo
from captum_gag.report.style import AREAS, COLOURS, HEAT, INK, LINES, styled


@styled
def map_sheet(
    title: str,
    photo: Photo,
    maps: Mapping[str, Saliency],
    scores: Mapping[str, float] | None = None,
    *,
    metric: str = "RCAP",
    columns: int = 6,
) -> Figure:
    """Draw a photograph, the map of each method with its score, and the colours' scale (Huang & Liu, Figure 1).

    The scale of each map goes from 0 to its 99.5th percentile: one bright pixel would otherwise leave the rest dark.

    Args:
        title: Above the photograph.
        photo: (H, W, 3) in [0, 1].
        maps: By method, (H, W), at least 0.
        scores: By method; a NaN is shown as such.
        metric: What the scores are of.
        columns: Panels in a row at most, the photograph among them.

    Returns:
        Rows of panels of 2 x 2.4 inches at 100 dpi, not known to pyplot.
    """
    count = 1 + len(maps)
    rows = -(-count // columns)
    # As many in each row, so that the last is not nearly empty.
    columns = -(-count // rows)
    figure = Figure(figsize=(2.0 * columns + 0.8, 2.4 * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    first, *others = panels.flat
    show_photo(first, photo, "\n".join(textwrap.wrap(title, 26)))
    for axes in others:
        axes.set_axis_off()
    for axes, (method, saliency) in zip(others, maps.items(), strict=False):
        show_map(axes, saliency, method if scores is None else f"{method}\n{metric} {scores[method]:.3f}")
    scale = figure.colorbar(ScalarMappable(Normalize(0, 1), HEAT), ax=panels, fraction=0.02, pad=0.01, aspect=15 * rows)
    scale.set_ticks([0, 1], labels=["0", "most"])
    scale.set_label("saliency", labelpad=-12)
    return figure


@styled
def propositions_figure(found: Propositions) -> Figure:
    """Draw four Gaussian maps, what RCAP makes of each, and which metric tells which apart (Huang & Liu, Figure 4).

    From above: the maps on the photograph; the parts that RCAP tells apart; its two factors and their product at each
    step; the scores of the four by every metric, and which it prefers. M1 and M3 hold the same values at two places
    (Proposition 1), M1 and M2 have the same ranking with less and with more noise (Proposition 2).

    Args:
        found: See ``propositions``.

    Returns:
        Not known to pyplot.
    """
    figure = Figure(figsize=(12, 10))
    spec = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    above, below = figure.add_subfigure(spec[0]), figure.add_subfigure(spec[1])
    grid = above.subplots(3, 1 + len(found.maps), height_ratios=(1, 1, 0.75))
    explanation = found.explanation
    title = "\n".join(textwrap.wrap(f"{explanation.label} ({explanation.probability:.0%})", 26))
    show_photo(grid[0, 0], explanation.photo, title)
    if found.mask is not None:
        grid[0, 0].contour(found.mask, levels=[0.5], colors=COLOURS[4], linewidths=1.5)
    shares = [100 - each for each in thresholds(found.lower_bound, found.interval)]
    for column, judged in zip(grid.T[1:], found.maps, strict=True):
        _show_judged(column, found, judged, shares)
    names = parts_of(found.maps[0].saliency, found.lower_bound, found.interval).names
    colours = colormaps[AREAS].resampled(len(names))
    patches = [Patch(facecolor=colours(place), edgecolor=INK, label=name) for place, name in enumerate(names)]
    _legend(grid[1, 0], patches, "part of the pixels")
    _legend(grid[2, 0], grid[2, 1].lines, "recovered: the most salient k %")
    below.suptitle(_verdicts(found), fontsize=10)
    for axes, (metric, higher) in zip(
        below.subplots(1, len(found.higher_is_better)), found.higher_is_better.items(), strict=True
    ):
        _show_scores(axes, found, metric, higher)
    return figure


def _show_judged(column: tuple[Axes, Axes, Axes], found: Propositions, judged: JudgedMap, shares: list[float]) -> None:
    """Show a map on the photograph, its parts, and RCAP's factors at each step."""
    first, second, third = column
    first.imshow(np.asarray(found.explanation.photo).mean(2), cmap="gray", vmin=0.0, vmax=1.0)
    show_map(first, judged.saliency, judged.label, alpha=0.6, top=1.0)
    parts = parts_of(judged.saliency, found.lower_bound, found.interval)
    show_parts(second, parts, f"noise area: {parts.shares[-1]:.1%} of saliency")
    drawn = {
        "share of the saliency": judged.visual_noise,
        "probability of the class": judged.localization,
        "their product": judged.visual_noise * judged.localization,
    }
    for (label, values), line, colour in zip(drawn.items(), LINES, COLOURS, strict=False):
        third.plot(shares, values, marker="o", ms=3, ls=line, color=colour, label=label)
    third.set(ylim=(-0.03, 1.05), xticks=shares, xlabel="k %", title=f"RCAP {judged.scores['RCAP']:.3f}")


def _verdicts(found: Propositions) -> str:
    """Return which metric prefers which map, for each proposition."""
    said = {
        "Proposition 1: M1 and M3 hold the same values, M3 at another place.": (0, 2),
        "Proposition 2: M1 and M2 have the same ranking, M2 more noise.": (0, 1),
    }
    return "\n".join(
        f"{text} Preferred: "
        + ", ".join(f"{found.preferred(metric, *pair)} by {metric}" for metric in found.higher_is_better)
        for text, pair in said.items()
    )


def _show_scores(axes: Axes, found: Propositions, metric: str, higher: bool) -> None:
    """Show the scores of the four maps by a metric."""
    names = [each.label.partition(":")[0] for each in found.maps]
    scores = [each.scores[metric] for each in found.maps]
    bars = axes.bar(names, scores, color=[COLOURS[0], COLOURS[5], COLOURS[1], COLOURS[4]], edgecolor=INK, lw=0.5)
    axes.bar_label(bars, [f"{score:.3f}" for score in scores], fontsize=8, padding=2)
    axes.set(title=f"{metric} ({'higher' if higher else 'lower'} is better)", yticks=[])
    axes.margins(y=0.15)


def _legend(axes: Axes, handles: list[Patch], title: str) -> None:
    axes.set_axis_off()
    axes.legend(handles=handles, title=title, loc="center", title_fontsize=9)
