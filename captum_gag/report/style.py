"""The look of every figure: colour-blind safe, readable in grey, text that stays text."""

from __future__ import annotations

import functools
import io
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

import matplotlib.style
from cycler import cycler
from matplotlib.figure import Figure

BLACK = "#000000"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", BLACK)
"""Okabe and Ito's, which colour-blind readers can tell apart."""

LINES = {"-": "", "--": "6 3", ":": "2 2", "-.": "6 3 2 3"}
"""Dashes of matplotlib and of SVG: they tell lines apart in grey, and when the colours come round again."""

HEAT = "inferno"
"""Colours of a map, from none to most: as steady in grey as in colour."""

AREAS = "cividis_r"
"""Colours of the areas of a map, from the most salient to the noise."""

CORRELATION = "PuOr"
"""Colours of a correlation, from -1 to 1."""

INK, PAPER, GUIDE, BAND = "black", "white", "0.5", "0.8"
"""Colours of marks and edges, of their filling, of lines to compare with, and of a band behind them."""

CYCLE = cycler(linestyle=list(LINES) * len(COLOURS)) + cycler(color=COLOURS * len(LINES))
"""Lines that are drawn one after the other: as many as no two are alike."""

STYLE = {
    "axes.prop_cycle": CYCLE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    # Names of methods and images are the user's: a dollar sign in one is no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    # Type 42 is what IEEE's and ACM's checks accept.
    "pdf.fonttype": 42,
    "svg.hashsalt": "captum-gag",
}

PANELS = 40
"""Metrics that a figure has room for; a page of hundreds of panels takes minutes, and nobody reads it."""

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Make a function draw in the style of the package, whatever the user's own is."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return in_style


@styled
def as_svg(figure: Figure) -> str:
    """Return a figure as an SVG element to put into a page; the same text for the same figure."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    # Groups have ids like figure_1 that nothing refers to, and that would be there twice on a page of two figures.
    return re.sub(r'<g id="[^"]*">', "<g>", text[text.index("<svg") :])


def method_lines(methods: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return colour and line of each method, as matplotlib takes them: the same wherever one of them is drawn.

    Args:
        methods: All methods of a run, in its order.
    """
    return {name: dict(line) for name, line in zip(methods, itertools.cycle(CYCLE), strict=False)}


def in_panels(names: Sequence[str]) -> dict[str, str]:
    """Return the title of each name that has a panel, ``PANELS`` at most; the last counts those left out."""
    titles = {name: name for name in names[:PANELS]}
    if len(names) > PANELS:
        titles[names[PANELS - 1]] += f"; {len(names) - PANELS} more are in the tables alone"
    return titles
