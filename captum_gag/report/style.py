"""How every figure and page of the package looks: colour-blind safe, readable in grey, text that stays text."""

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
"""What tells one line from another in grey, and when the colours come round again: matplotlib's and SVG's dashes."""

HEAT = "inferno"
"""The colours of a map, from none to most: as steady in grey as in colour."""

AREAS = "cividis_r"
"""The colours of the areas of a map, from the most salient to the noise."""

CORRELATION = "PuOr"
"""The colours of a correlation, from -1 to 1."""

INK, PAPER, GUIDE, BAND = "black", "white", "0.5", "0.8"
"""Of what is drawn beside the data: marks and edges, their filling, lines to compare with, and a band behind them."""

PAGE = {
    "ink": "#1a1a1a",
    "paper": "#fff",
    "quiet": "#555",
    "fainter": "#767676",
    "rule": "#ccc",
    "row": "#f3f6fa",
    "box": "#f5f5f5",
    "link": "#0b57a4",
    "focus": COLOURS[1],
    "note": "#fff6e0",
    "note-edge": COLOURS[4],
    "empty": "#000",
    "figure": "#fff",
}
"""The colours of a page, as CSS variables."""

DARK_PAGE = {
    "ink": "#e8e6e3",
    "paper": "#15181c",
    "quiet": "#b3b0ab",
    "fainter": "#96938e",
    "rule": "#3b4047",
    "row": "#20252c",
    "box": "#1f2328",
    "link": "#8cc4ff",
    "focus": COLOURS[4],
    "note": "#33290f",
    "note-edge": COLOURS[4],
    "empty": "#000",
    "figure": "#fff",
}
"""The same for readers who prefer a dark screen; figures keep their paper."""

CYCLE = cycler(linestyle=list(LINES) * len(COLOURS)) + cycler(color=COLOURS * len(LINES))
"""The lines that are drawn one after the other: as many as no two are alike."""

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
    """Return a figure as an SVG element to put into a page; its text stays text.

    Args:
        figure: Any figure.

    Returns:
        ``<svg ...>...</svg>``, the same for the same figure.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    # Groups have ids like figure_1 that nothing refers to, and that would be there twice on a page of two figures.
    return re.sub(r'<g id="[^"]*">', "<g>", text[text.index("<svg") :])


def page_colours() -> str:
    """Return the colours of a page as CSS rules, light on paper and dark where that is preferred."""
    light, dark = (" ".join(f"--{name}: {colour};" for name, colour in each.items()) for each in (PAGE, DARK_PAGE))
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {dark} }} }}"
    )


def method_lines(methods: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return colour and line of each method, as matplotlib takes them: the same wherever one of them is drawn.

    Args:
        methods: All methods of a run, in its order.
    """
    return {name: dict(line) for name, line in zip(methods, itertools.cycle(CYCLE), strict=False)}


def in_panels(names: Sequence[str]) -> dict[str, str]:
    """Return the title of each name that has a panel, ``PANELS`` at most; the last says how many more there are."""
    titles = {name: name for name in names[:PANELS]}
    if len(names) > PANELS:
        titles[names[PANELS - 1]] += f"; {len(names) - PANELS} more are in the tables alone"
    return titles
