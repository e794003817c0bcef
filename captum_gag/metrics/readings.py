"""Readings, the results of metrics for N images: scores, the numbers behind them, curves, and causes of NaN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from torch import Tensor

from captum_gag.errors import InputError, warn
from captum_gag.tensors import finite_rows

MAX_POINTS = 21
"""Number of points that are kept of a curve at most."""


class Curve(NamedTuple):
    """A curve to draw: at most ``MAX_POINTS`` numbers x, as many y, and the labels of the axes."""

    x: list[float]
    y: list[float]
    x_label: str
    y_label: str


def thin_curve(x: Tensor, y: Tensor, x_label: str, y_label: str) -> Curve:
    """Return the curve of x and y, both (S,), at ``MAX_POINTS`` evenly spaced points or fewer, both ends included."""
    index = np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(int)
    at_x, at_y = ([round(value, 6) for value in side[index].tolist()] for side in (x.cpu(), y.cpu()))
    return Curve(at_x, at_y, x_label, y_label)


@dataclass(frozen=True, eq=False)
class Reading(ABC):
    """The reading of a metric for N images: a dataclass of tensors (N, ...) from which the scores follow.

    Attributes:
        causes: Per image the reason why its score is NaN, "" for a number; empty where the metric gives none.
    """

    causes: Sequence[str] = field(default=(), kw_only=True)

    @property
    @abstractmethod
    def score(self) -> Tensor:
        """Scores of shape (N,)."""

    def curve(self, row: int) -> Curve | None:
        """Return the curve behind one image's score, or None if there is none."""
        return None

    def at(self, steps: int) -> Tensor:
        """Return the scores at a number of steps, (N,).

        Raises:
            InputError: If the metric has one score for all steps.
        """
        raise InputError(f"{type(self).__name__} has no score at {steps} steps; only AOPC has one for each number.")


@dataclass(frozen=True, eq=False)
class Scores(Reading):
    """A reading that is its scores alone, (N,)."""

    scores: Tensor

    @property
    def score(self) -> Tensor:
        """Scores of shape (N,)."""
        return self.scores


def nan_causes(
    scores: Tensor,
    ranking: Tensor | None = None,
    images: Sequence[Tensor] = (),
    probabilities: Tensor | None = None,
) -> list[str]:
    """Return one cause per image: why its score is NaN, or "" if it is a number.

    Args:
        scores: Shape (N,).
        ranking: Values of the maps that rank the pixels, (N, *positions); None if the metric does not use them.
        images: The images and their baselines, (N, ...) each.
        probabilities: Class probabilities of the versions of each image, (N, S).
    """
    if not bool(scores.isnan().any()):
        return [""] * len(scores)
    checks = [
        ("the image, or what its hidden pixels show, has a NaN or an infinity in it", ~finite_rows(x)) for x in images
    ]
    if ranking is not None:
        checks.append(("the map has a NaN or an infinity in it", ~finite_rows(ranking)))
        checks.append(("the map is constant, so its pixels have no ranking", _constant(ranking)))
    if probabilities is not None:
        checks.append(("the model returned a NaN or an infinity", ~finite_rows(probabilities)))
        checks.append(("the output of the model does not change", _constant(probabilities)))
    checks.append(("what is compared does not vary by more than rounding", scores.isnan()))
    applies = [rows.tolist() for _, rows in checks]
    return [
        next(cause for (cause, _), rows in zip(checks, applies, strict=True) if rows[image]) if undefined else ""
        for image, undefined in enumerate(applies[-1])
    ]


def warn_of_nan(metric: str, scores: Tensor, causes: Sequence[str]) -> Tensor:
    """Return the scores, after one warning that names the images whose score is NaN, and why.

    Args:
        metric: Its name, for the warning.
        scores: Shape (N,).
        causes: One per image, as ``Reading.causes``.
    """
    undefined = {image: causes[image] for image in scores.isnan().nonzero().flatten().tolist()}
    reasons = list(dict.fromkeys(undefined.values()))
    if len(reasons) > 1:
        rows = {cause: [str(image) for image in undefined if undefined[image] == cause] for cause in reasons}
        reasons = [f"{cause} (image {', '.join(images)})" for cause, images in rows.items()]
    if undefined:
        warn(f"{metric} is NaN for image {', '.join(map(str, undefined))}: {'; '.join(reasons)}.")
    return scores


def _constant(values: Tensor) -> Tensor:
    lowest, highest = values.flatten(1).aminmax(dim=1)
    return lowest == highest
