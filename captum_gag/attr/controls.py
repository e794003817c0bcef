"""Controls: maps that ignore the model, which any explanation has to beat, and maps made of the segmentation."""

from __future__ import annotations

from typing import Literal

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from captum_gag.attr.contract import Seed
from captum_gag.attr.methods import Method
from captum_gag.errors import InputError
from captum_gag.options import declared, option
from captum_gag.tensors import over_channels, positions, seeded_generator

FLOOR = 0.001
"""Highest value of the noise that is added to truth maps everywhere: equal values would be ranked in reading order."""


@declared
class Random(Method):
    """Control: uniform random values, the same for every image."""

    control = "random"
    batch_dependent = False
    seed: Seed | None = option(default=None, help="A seed of its own; without any each image has its own values.")

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return random values (N, 1, *positions), of tables (N, F)."""
        seed = seed if self.seed is None else self.seed
        generator = seeded_generator(seed, inputs.device)
        shape = (len(inputs) if seed is None else 1, *positions(inputs))
        values = torch.rand(shape, generator=generator, dtype=torch.float32, device=inputs.device)
        return over_channels(values.expand(len(inputs), *shape[1:]), inputs)


@declared
class Sobel(Method):
    """Control: Sobel edge strength of the channel mean of an image, or of a volume."""

    control = "edges"
    batch_dependent = False

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return edge strengths (N, 1, H, W), or (N, 1, D, H, W)."""
        if inputs.ndim not in (4, 5):
            raise InputError(
                f"Sobel got inputs {tuple(inputs.shape)}, expected images (N, C, H, W) or volumes (N, C, D, H, W): "
                "signals and tables have no edges; take Random or Constant as a control."
            )
        # Imported here, because few who explain need edges.
        from skimage.filters import sobel

        grey = inputs.detach().float().mean(1).cpu().numpy()
        return torch.stack([torch.from_numpy(sobel(image)) for image in grey]).unsqueeze(1).to(inputs.device)


@declared
class Constant(Method):
    """Control: 1 everywhere, a map without ranking."""

    control = "constant"
    batch_dependent = False

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return ones (N, 1, *positions), of tables (N, F)."""
        return torch.ones_like(inputs if inputs.ndim == 2 else inputs[:, :1])


@declared
class Truth(Method):
    """Control: the segmentation itself, or with a fault; a run makes it."""

    control = "truth"
    batch_dependent = False
    transform: Literal["", "noisy", "misplaced", "diffuse", "incomplete", "distracted"] = option(
        default="",
        help="Fault: noisy (mixed with uniform noise), misplaced (moved sideways, at strength 1 by half the width), "
        "diffuse (grown on all sides, at 1 by a quarter of the shorter one), incomplete (part of the object is "
        "missing), distracted (mixed with the mask of a distractor); none by default.",
    )
    strength: float = option(default=0.0, help="How much of the fault, from 0, none, to 1.", ge=0, le=1)
    seed: Seed | None = option(default=None, help="Of the noise.")

    def __post_init__(self) -> None:
        if bool(self.transform) != (self.strength > 0):
            raise InputError(
                f"transform is {self.transform!r} and strength {self.strength:g}; expected a fault with a strength "
                "above 0, or neither"
            )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Raise InputError: the model does not know the truth."""
        raise InputError("Truth is a map of the segmentation; judge it in a run, on data with segmentations")

    def of_segmentation(self, segmentation: Tensor, distractor: Tensor | None, seed: int | None) -> Tensor:
        """Return the map (1, 1, H, W), in [0, 1.001], of the parts that carry the class, 1 there and 0 elsewhere.

        Raises:
            InputError: There is no distractor, a part that does not, for the fault "distracted".
        """
        generator = seeded_generator(seed if self.seed is None else self.seed)
        truth = segmentation.float()
        noise, floor = torch.rand((2, *truth.shape), generator=generator, dtype=torch.float32).to(truth.device)
        result: Tensor = _with_fault(truth, noise, distractor, self.transform, self.strength) + FLOOR * floor
        return result


def _with_fault(truth: Tensor, noise: Tensor, distractor: Tensor | None, fault: str, strength: float) -> Tensor:
    if fault == "misplaced":
        return truth.roll(round(strength * truth.shape[-1] / 2), -1)
    if fault == "diffuse":
        distance = distance_transform_edt(truth[0, 0].cpu().numpy() == 0)
        return torch.from_numpy(distance <= strength * min(truth.shape[-2:]) / 4).to(truth)[None, None]
    if fault == "incomplete":
        # The first pixels of the object, row by row, stay.
        number = truth.flatten().cumsum(0).reshape(truth.shape)
        return truth * (number <= round((1 - strength) * float(truth.sum())))
    if fault == "distracted" and distractor is None:
        raise InputError("the data set has no distractor; planted images and mosaics do")
    other = distractor.float() if fault == "distracted" and distractor is not None else noise
    return (1 - strength) * truth + strength * other if fault else truth
