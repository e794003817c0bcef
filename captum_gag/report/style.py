"""How every figure of the package looks: colour-blind safe, readable in grey, text that stays text."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import matplotlib.style
from cycler import cycler
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart."""

LINES = ("-", "--", ":", "-.")
"""What tells one line from another in grey, and when the colours come round again."""

HEAT = "inferno"
"""The colours of a map, from none to most: as steady in grey as in colour."""

STYLE = {
    "axes.prop_cycle": cycler(linestyle=LINES * len(COLOURS)) + cycler(color=COLOURS * len(LINES)),
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

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Makes a function draw in the style of the package, whatever the user's own is."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return in_style


@styled
def as_svg(figure: Figure) -> str:
    """Gives a figure as an SVG element to put into a page; its text stays text.

    Args:
        figure (Figure): Any figure.

    Returns:
        str: ``<svg ...>...</svg>``, the same for the same figure.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    # Groups have ids like figure_1 that nothing refers to, and that would be there twice on a page of two figures.
    return re.sub(r'<g id="[^"]*">', "<g>", text[text.index("<svg") :])
