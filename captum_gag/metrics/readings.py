"""What a metric reads for a batch of images: a score for each, what it is made of, and the curve behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
from torch import Tensor

from captum_gag.errors import InputError
from captum_gag.tensors import finite_rows

POINTS = 21
"""Points that are kept of a curve at most."""


class Curve(NamedTuple):
    """A curve to draw.

    Attributes:
        x: Where, at most ``POINTS`` numbers.
        y: What, as many numbers.
        x_label: What x is.
        y_label: What y is.
    """

    x: list[float]
    y: list[float]
    x_label: str
    y_label: str


def thinned(x: Tensor, y: Tensor, x_label: str, y_label: str) -> Curve:
    """Return the curve of x and y, both (S,), at up to ``POINTS`` evenly chosen points that include both ends."""
    places = np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int)
    at_x, at_y = ([round(value, 6) for value in side[places].tolist()] for side in (x.cpu(), y.cpu()))
    return Curve(at_x, at_y, x_label, y_label)


@dataclass(frozen=True, eq=False)
class Reading(ABC):
    """What a metric reads for N images: tensors (N, ...), as a dataclass, that sum up to a score.

    Attributes:
        causes: For each image why its score is NaN; "" where it is a number. Empty where nothing is known.
    """

    causes: Sequence[str] = field(default=(), kw_only=True)

    @property
    @abstractmethod
    def score(self) -> Tensor:
        """Scores of shape (N,)."""

    def curve(self, row: int) -> Curve | None:
        """Return the curve that one image's score sums up, or None if there is none."""
        return None

    def at(self, steps: int) -> Tensor:
        """Return the score at a number of steps, (N,).

        Raises:
            InputError: If there is none.
        """
        raise InputError(f"{type(self).__name__} has no score at {steps} steps; only AOPC has one for each number.")

    def tensors(self) -> dict[str, Tensor]:
        """Return what the score is made of, by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}


@dataclass(frozen=True, eq=False)
class Scores(Reading):
    """Scores that are made of nothing else.

    Attributes:
        scores: Shape (N,).
    """

    scores: Tensor

    @property
    def score(self) -> Tensor:
        """Scores of shape (N,)."""
        return self.scores


def causes(
    scores: Tensor,
    ranked: Tensor | None = None,
    images: Sequence[Tensor] = (),
    probabilities: Tensor | None = None,
) -> list[str]:
    """Return why scores are NaN.

    Args:
        scores: Shape (N,).
        ranked: What of the maps ranks the pixels, (N, *positions); None where they do not count.
        images: The images and what their hidden pixels show, (N, ...) each.
        probabilities: What the model says of the versions of each image, (N, S).

    Returns:
        For each image the first of these that is true; "" where the score is a number.
    """
    checks = [
        ("the image, or what its hidden pixels show, has a NaN or an infinity in it", ~finite_rows(x)) for x in images
    ]
    if ranked is not None:
        checks.append(("the map has a NaN or an infinity in it", ~finite_rows(ranked)))
        checks.append(("the map is constant, so its pixels have no ranking", _constant(ranked)))
    if probabilities is not None:
        checks.append(("the model returned a NaN or an infinity", ~finite_rows(probabilities)))
        checks.append(("the output of the model does not change", _constant(probabilities)))
    found = [
        "what is compared does not vary by more than rounding" if score != score else "" for score in scores.tolist()
    ]
    for cause, rows in reversed(checks):
        found = [cause if text and true else text for text, true in zip(found, rows.tolist(), strict=True)]
    return found


def _constant(values: Tensor) -> Tensor:
    lowest, highest = values.flatten(1).aminmax(dim=1)
    return lowest == highest
