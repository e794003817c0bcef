"""Images whose class is carried by a part that is known: an object, a watermark, two objects, or the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, ClassVar, Literal

import numpy as np

from captum_gag.data.datasets import Example, ImageData
from captum_gag.data.images import DEMO
from captum_gag.data.scenes import COLOURS, PATTERNS, SHAPES, SIDE, Backdrop, Part, Scene, Thing, backdrop_photo
from captum_gag.options import declared, option

PARTS: tuple[Part, ...] = ("object", "distractor", "background")

N_CLASSES = 4
"""Of every kind."""

VALUES: dict[str, tuple[str, ...]] = {
    "shape": tuple(SHAPES),
    "pattern": tuple(PATTERNS),
    "colour": tuple(each for each in COLOURS if each != "white"),
}
"""What each property of a thing may be. Where it carries the class, the first four are the classes', and never those of
a distractor."""

RADII = (8, 12)
"""Of things, in pixels, both included."""

MARK = Thing("square", "plain", "white", SIDE - 7, SIDE - 7, 5)
"""The watermark: as large as this, in this corner."""


@dataclass(frozen=True)
class Kind:
    """What carries the class.

    Attributes:
        reason: The part of a scene.
        labels: The name of each class.
        carrier: Which property of the objects; None where none does.
    """

    reason: Part
    labels: tuple[str, ...]
    carrier: Literal["shape", "pattern", "colour"] | None = None


_SHAPES = VALUES["shape"][:N_CLASSES]

KINDS = {
    "object": Kind("object", _SHAPES, "shape"),
    "texture": Kind("object", VALUES["pattern"][:N_CLASSES], "pattern"),
    "colour": Kind("object", VALUES["colour"][:N_CLASSES], "colour"),
    "watermark": Kind("object", tuple(f"{each} in the corner" for each in _SHAPES), "shape"),
    "both": Kind(
        "object", tuple(f"{a} and {b}" for a, b in zip(_SHAPES, _SHAPES[1:] + _SHAPES[:1], strict=True)), "shape"
    ),
    "background": Kind("background", DEMO[:N_CLASSES]),
}


@declared
class Planted(ImageData):
    """Images made by the package, whose class is carried by one part that is known, and by no other.

    Each shows two things (of kind both three) at random places before a piece of one of the demo's photographs. The
    class is the object's shape, pattern (texture) or colour, the shape of a mark in the corner (watermark), which two
    shapes there are (both), or which photograph is behind (background). The distractor carries no class, nor does the
    background, nor, where the background does, the object.
    """

    kind: Literal["object", "texture", "colour", "watermark", "both", "background"] = option(
        help="What carries the class."
    )
    mask: Literal["reason", "object", "distractor", "background"] = option(
        default="reason",
        help="Where the segmentation lies: on what carries the class, or on a part. The watermark is the object, and "
        "so are both objects together.",
        kw_only=True,
    )
    split: Literal["test", "train"] = option(
        default="test", help="Which images; the same photographs are behind both.", kw_only=True
    )
    n_images: int = option(default=1000, help="How many there are, of each class in turn.", ge=1, kw_only=True)
    seed: int = option(default=0, help="Draws the images.", ge=0, kw_only=True)

    type: ClassVar[str] = "planted"

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class."""
        return KINDS[self.kind].labels

    @property
    def reason(self) -> Part:
        """The part that carries the class."""
        return KINDS[self.kind].reason

    def list_names(self) -> Sequence[str]:
        """List the images by number, and the name of the class of each."""
        return [f"{index:05d} {self.labels[index % N_CLASSES]}" for index in range(self.n_images)]

    def __getitem__(self, index: int) -> Example:
        """Return an image, which is drawn when asked for."""
        name, part = self.names[index], self.reason if self.mask == "reason" else self.mask
        return Example(
            name,
            lambda: self.scene(index).photo(),
            self.listed_target(index),
            lambda: self.scene(index).mask(part),
            None if part == "distractor" else lambda: self.scene(index).mask("distractor"),
        )

    def listed_target(self, index: int) -> int:
        """Return the class of an image."""
        return range(self.n_images)[index] % N_CLASSES

    def scene(self, index: int) -> Scene:
        """Return what an image shows, by its seed, split and index alone."""
        return draw(self.kind, self.listed_target(index), self._generator(index))

    def replaced(self, index: int, part: Part) -> Scene:
        """Return what an image shows with a part replaced, all else as it is.

        The part that carries the class becomes that of another class, of kind both by another shape of one of the two
        objects; any other part becomes another one that says nothing of the class. Things stay in their places.

        Args:
            index: Of the image.
            part: Which to replace.

        Returns:
            A scene with a class of its own, which is the image's where the part does not carry it.
        """
        return replacement(self.kind, self.scene(index), part, self._generator(index, part))

    def train(self) -> ImageData:
        """Return the training images."""
        return Planted(**self.options() | {"split": "train"})

    def __str__(self) -> str:
        """Return what a user calls it."""
        return f"{self.type}:{self.kind}"

    def _generator(self, index: int, part: Part | None = None) -> np.random.Generator:
        """Return random numbers that no other image or replacement has."""
        use = 0 if part is None else 1 + PARTS.index(part)
        return np.random.default_rng([self.seed, range(self.n_images)[index], int(self.split == "train"), use])


def draw(kind: str, target: int, generator: np.random.Generator) -> Scene:
    """Draw a scene of a class."""
    shown = [target, (target + 1) % N_CLASSES] if kind == "both" else [target]
    fixed = (replace(MARK, shape=_SHAPES[target]),) if kind == "watermark" else ()
    values = [] if fixed else generator.permutation(shown).tolist()
    things = _placed([*values, None], kind, fixed, generator)
    photographs = DEMO[target : target + 1] if kind == "background" else DEMO
    return Scene(target, _backdrop(photographs, generator), fixed + things[:-1], things[-1:])


def replacement(kind: str, scene: Scene, part: Part, generator: np.random.Generator) -> Scene:
    """Draw a part of a scene anew; see ``Planted.replaced``."""
    carries = part == KINDS[kind].reason
    target = scene.target
    if carries:
        target = int(generator.choice([each for each in range(N_CLASSES) if each != scene.target]))
    if part == "background":
        here = scene.backdrop.photograph
        photographs = DEMO[target : target + 1] if carries else tuple(each for each in DEMO if each != here)
        return replace(scene, target=target, backdrop=_backdrop(photographs, generator))
    if kind == "both" and carries:
        return _half_replaced(scene, int(generator.integers(2)))
    if carries:
        carrier = str(KINDS[kind].carrier)
        new: dict[str, Any] = {carrier: VALUES[carrier][target]}
        return replace(scene, target=target, objects=tuple(replace(each, **new) for each in scene.objects))
    if part == "object":
        return replace(scene, objects=tuple(_another(kind, each, generator) for each in scene.objects))
    return replace(scene, distractors=tuple(_another(kind, each, generator) for each in scene.distractors))


def _half_replaced(scene: Scene, which: int) -> Scene:
    """Replace one of two objects by the shape that makes a class with the other: of c and c + 1, c - 1 or c + 2."""
    first = scene.objects[which].shape == _SHAPES[scene.target]
    step = 2 if first else -1
    shape = _SHAPES[(scene.target + step) % N_CLASSES]
    things = tuple(replace(each, shape=shape) if at == which else each for at, each in enumerate(scene.objects))
    return replace(scene, target=(scene.target + (1 if first else -1)) % N_CLASSES, objects=things)


def _another(kind: str, thing: Thing, generator: np.random.Generator) -> Thing:
    """Draw another thing in the place of one that carries no class."""
    while (found := replace(thing, **_properties(kind, None, generator))) == thing:
        pass
    return found


def _properties(kind: str, value: int | None, generator: np.random.Generator) -> dict[str, Any]:
    """Draw shape, pattern and colour of a thing.

    Args:
        kind: Of the scene.
        value: Which of its values the property that carries the class has; None if the thing does not carry it.
        generator: Of the random numbers.
    """
    found = {}
    for name, values in VALUES.items():
        # The mark alone carries the class: whatever else is there may look like it.
        if name == KINDS[kind].carrier and kind != "watermark":
            values = values[N_CLASSES:] if value is None else values[value : value + 1]
        found[name] = str(generator.choice(values))
    return found


def _placed(
    values: Sequence[int | None], kind: str, fixed: tuple[Thing, ...], generator: np.random.Generator
) -> tuple[Thing, ...]:
    """Draw things, all apart from each other and from those that are there."""
    drawn = [_properties(kind, value, generator) for value in values]
    while True:
        radii = generator.integers(*RADII, size=len(drawn), endpoint=True).tolist()
        centres = [generator.integers(radius, SIDE - radius, size=2).tolist() for radius in radii]
        things = tuple(
            Thing(**each, x=x, y=y, radius=radius) for each, (x, y), radius in zip(drawn, centres, radii, strict=True)
        )
        if all(a.apart(b) for a, b in combinations(fixed + things, 2)):
            return things


def _backdrop(photographs: Sequence[str], generator: np.random.Generator) -> Backdrop:
    """Draw a piece of one of the photographs."""
    name = str(generator.choice(photographs))
    width, height = backdrop_photo(name).size
    side = int(generator.integers(SIDE, height, endpoint=True))
    x, y = (int(generator.integers(0, length - side, endpoint=True)) for length in (width, height))
    return Backdrop(name, x, y, side)
