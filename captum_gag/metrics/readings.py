"""What a metric reads for a batch of images: a score for each, what it is made of, and the curve behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from torch import Tensor

from captum_gag.errors import InputError

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
    """What a metric reads for N images: tensors (N, ...), as a dataclass, that sum up to a score."""

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
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
