"""Maps whose quality is known, made of a segmentation: the truth itself, and with a fault of some strength."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from captum_gag.attr.methods import Method, named
from captum_gag.errors import InputError
from captum_gag.options import declared, option

FLOOR = 0.001
"""Highest value of the noise that is added everywhere: equal values would be ranked in reading order."""


class Segmentation(NamedTuple):
    """Where the parts of an example lie.

    Attributes:
        reason: 1 on what the class is told by, 0 elsewhere, (1, 1, H, W).
        distractor: The same of something that says nothing of the class; None where none is known.
    """

    reason: Tensor
    distractor: Tensor | None = None


@named("Truth")
@declared
class KnownMap(Method):
    """Control: the segmentation itself, or with a fault: noisy, misplaced, diffuse, incomplete or distracted."""

    transform: Literal["", "noisy", "misplaced", "diffuse", "incomplete", "distracted"] = option(
        default="",
        help="What is wrong with the map: noisy (mixed with uniform noise), misplaced (moved sideways, by half the "
        "width at strength 1), diffuse (grown on all sides, by a quarter of the shorter side at 1), incomplete (part "
        "of the object is missing), distracted (mixed with the mask of a distractor); nothing by default.",
    )
    strength: float = option(default=0.0, help="How much of the fault, from 0, none, to 1.", ge=0, le=1)

    control = "truth"

    def __post_init__(self) -> None:
        """Refuse a fault without strength, and a strength without fault."""
        if bool(self.transform) != (self.strength > 0):
            raise InputError(
                f"transform is {self.transform!r} and strength {self.strength:g}; expected a fault with a strength "
                "above 0, or neither"
            )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Refuse: a model does not know the truth.

        Raises:
            InputError: Always.
        """
        raise InputError("Truth is a map of the segmentation; judge it in a run, on data with segmentations")

    def of_segmentation(self, known: Segmentation, seed: int | None) -> Tensor:
        """Return the map of an example, (1, 1, H, W), in [0, 1.001].

        Raises:
            InputError: It has no distractor, and the map is to be distracted.
        """
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        reason = known.reason.float()
        noise, floor = torch.rand((2, *reason.shape), generator=generator).to(reason.device)
        other = noise
        if self.transform == "distracted":
            if known.distractor is None:
                raise InputError("the data set knows of no distractor; planted images and mosaics do")
            other = known.distractor.float()
        made = _FAULTS[self.transform](reason, other, self.strength) if self.transform else reason
        found: Tensor = made + FLOOR * floor
        return found


def _mixed(reason: Tensor, other: Tensor, strength: float) -> Tensor:
    return (1 - strength) * reason + strength * other


def _moved(reason: Tensor, _: Tensor, strength: float) -> Tensor:
    return reason.roll(round(strength * reason.shape[-1] / 2), -1)


def _grown(reason: Tensor, _: Tensor, strength: float) -> Tensor:
    distance = distance_transform_edt(reason[0, 0].cpu().numpy() == 0)
    return torch.from_numpy(distance <= strength * min(reason.shape[-2:]) / 4).to(reason)[None, None]


def _cut(reason: Tensor, _: Tensor, strength: float) -> Tensor:
    """Leave the first pixels of the object, row by row."""
    place = reason.flatten().cumsum(0).reshape(reason.shape)
    kept: Tensor = reason * (place <= round((1 - strength) * float(reason.sum())))
    return kept


_FAULTS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "noisy": _mixed,
    "misplaced": _moved,
    "diffuse": _grown,
    "incomplete": _cut,
    "distracted": _mixed,
}
"""From the mask, what it may be mixed with, and the strength."""
