"""Scenes of which every pixel is known: cut out things in front of a piece of a photograph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captum_gag.data.images import demo_image
from captum_gag.data.masks import Mask

Part = Literal["object", "distractor", "background"]
"""What a scene is made of; every pixel belongs to one part."""

Pixels = NDArray[np.uint8]

SIDE = 64
"""Height and width of a scene, in pixels."""

DIMMED = 0.8
"""What photographs are multiplied by: they have no value above 204, and things one of 220 at least in every pixel."""

_SHORTER = 2 * SIDE

_Grid = NDArray[np.int64]

SHAPES: dict[str, Callable[[_Grid, _Grid, int], Mask]] = {
    "square": lambda x, y, r: np.maximum(abs(x), abs(y)) <= 0.85 * r,
    "triangle": lambda x, y, r: (2 * abs(x) <= y + r) & (y <= r),
    "disc": lambda x, y, r: x**2 + y**2 <= r**2,
    "cross": lambda x, y, r: (np.minimum(abs(x), abs(y)) <= r / 3) & (np.maximum(abs(x), abs(y)) <= r),
    "ring": lambda x, y, r: (x**2 + y**2 <= r**2) & (4 * (x**2 + y**2) >= r**2),
    "bar": lambda x, y, r: (abs(x) <= r) & (abs(y) <= r / 3),
    "hourglass": lambda x, y, r: (abs(x) <= abs(y)) & (abs(y) <= r),
}
"""Where a thing is: of columns and rows relative to its centre, and its radius, in pixels."""

PATTERNS: dict[str, Callable[[_Grid, _Grid], Mask]] = {
    "rows": lambda x, y: y // 2 % 2 == 1,
    "columns": lambda x, y: x // 2 % 2 == 1,
    "checks": lambda x, y: (x // 2 + y // 2) % 2 == 1,
    "dots": lambda x, y: (x // 2 % 2 == 1) & (y // 2 % 2 == 1),
    "plain": lambda x, y: np.zeros_like(x + y, bool),
}
"""Where a thing is white instead of coloured: of columns and rows relative to its centre."""

COLOURS = {
    "red": (230, 40, 40),
    "green": (40, 230, 40),
    "blue": (50, 60, 235),
    "yellow": (235, 225, 40),
    "magenta": (230, 50, 230),
    "cyan": (40, 225, 230),
    "white": (255, 255, 255),
}
"""Red, green and blue of each, in 0 ... 255."""


@dataclass(frozen=True)
class Thing:
    """Something cut out and laid on a scene.

    Attributes:
        shape: Of ``SHAPES``.
        pattern: Of ``PATTERNS``.
        colour: Of ``COLOURS``.
        x: Column of its centre.
        y: Row of its centre.
        radius: In pixels: it is within as many columns and rows of its centre, and all of it in the scene.
    """

    shape: str
    pattern: str
    colour: str
    x: int
    y: int
    radius: int

    def mask(self) -> Mask:
        """Return where it is, (SIDE, SIDE)."""
        where = np.zeros((SIDE, SIDE), bool)
        where[self._box] = SHAPES[self.shape](*self._grid, self.radius)
        return where

    def paint(self, pixels: Pixels) -> None:
        """Lay it on the pixels of a scene, (SIDE, SIDE, 3), in place."""
        is_white = PATTERNS[self.pattern](*self._grid)[..., None]
        colours = np.where(is_white, COLOURS["white"], COLOURS[self.colour])
        inside = SHAPES[self.shape](*self._grid, self.radius)
        pixels[self._box][inside] = colours[inside]

    def apart(self, other: Thing) -> bool:
        """Return whether another lies at least two pixels away."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) > self.radius + other.radius + 2

    @property
    def _box(self) -> tuple[slice, slice]:
        y, x = (slice(centre - self.radius, centre + self.radius + 1) for centre in (self.y, self.x))
        return y, x

    @property
    def _grid(self) -> tuple[_Grid, _Grid]:
        rows, columns = np.indices((2 * self.radius + 1,) * 2) - self.radius
        return columns, rows


@dataclass(frozen=True)
class Backdrop:
    """A square piece of one of the demo's photographs, dimmed.

    Attributes:
        photograph: Of ``images.DEMO``, at a height of ``2 * SIDE`` pixels.
        x: Its first column.
        y: Its first row.
        side: Of the square, in pixels.
    """

    photograph: str
    x: int
    y: int
    side: int

    def pixels(self) -> Pixels:
        """Return it resized, (SIDE, SIDE, 3)."""
        box = (self.x, self.y, self.x + self.side, self.y + self.side)
        return np.array(backdrop_photo(self.photograph).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box))


@dataclass(frozen=True)
class Scene:
    """A backdrop with things in front of it, none of which hides another.

    Attributes:
        target: Its class.
        backdrop: What is behind.
        objects: The things that carry the class, where things do.
        distractors: Those that do not.
    """

    target: int
    backdrop: Backdrop
    objects: tuple[Thing, ...]
    distractors: tuple[Thing, ...]

    def photo(self) -> Image.Image:
        """Draw it: mode RGB, SIDE x SIDE."""
        pixels = self.backdrop.pixels()
        for thing in self.objects + self.distractors:
            thing.paint(pixels)
        return Image.fromarray(pixels)

    def mask(self, part: Part) -> Image.Image:
        """Draw where a part is: mode L, 255 there and 0 elsewhere."""
        things = {"object": self.objects, "distractor": self.distractors}.get(part, self.objects + self.distractors)
        where = np.any([np.zeros((SIDE, SIDE), bool), *(thing.mask() for thing in things)], axis=0)
        return Image.fromarray(np.where(where != (part == "background"), 255, 0).astype(np.uint8))


@cache
def backdrop_photo(name: str) -> Image.Image:
    """Return a photograph of the demo as backdrops are cut from it: dimmed, its height ``2 * SIDE`` pixels."""
    photo = demo_image(name)
    width = round(photo.width * _SHORTER / photo.height)
    small: Any = np.asarray(photo.resize((width, _SHORTER), Image.Resampling.BOX))
    return Image.fromarray((small * DIMMED).round().astype(np.uint8))
