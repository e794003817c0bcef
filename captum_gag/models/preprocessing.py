"""Preprocessing of photographs and segmentations into a network's input; needs no weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from captum_gag.errors import InputError
from captum_gag.tensors import as_tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel by which pixels in [0, 1] became the input."""

PIXELS: Statistics = ((0.0,) * 3, (1.0,) * 3)
"""Those of pixels that come in as they are, in [0, 1]."""

LONGEST = 16
"""How many times as long as its shorter side a photograph is at most, before it is resized."""

Size = int | tuple[int, int]
"""One number for both sides, or (height, width)."""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Preprocessing of photographs, and the names of the classes.

    Attributes:
        mean, std: The normalisation of the input, for pixels in [0, 1], a number per channel.
        resize: Length in pixels that the shorter side is resized to, before the crop; or (height, width) that the
            photograph is resized to, whatever its own proportions.
        crop: Size in pixels of the centre that the network sees: the side of a square, or (height, width).
        labels: The name of each class; None if they are not known.
        interpolation: How the photograph is resized.
        channels: 3, or 1 for a photograph in grey.
        transform: Instead of all that: from a PIL image of mode RGB to a tensor (C, H, W). ``mean`` and ``std`` then
            say how it normalises.

    Raises:
        InputError: A number has no meaning, such as a std of 0.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: Size = 256
    crop: Size = 224
    labels: list[str] | None = None
    interpolation: InterpolationMode = InterpolationMode.BILINEAR
    channels: int = 3
    transform: Callable[[Image.Image], Any] | None = None

    def __post_init__(self) -> None:
        """Take lists and arrays of numbers for tuples, and refuse what has no meaning."""
        mean, std = (tuple(map(float, value)) for value in self.normalization)
        for name, value in (("mean", mean), ("std", std), ("resize", self.resize), ("crop", self.crop)):
            object.__setattr__(self, name, value if isinstance(value, int) else tuple(value))
        if len(mean) != len(std) or not all(map(math.isfinite, [*mean, *std])) or min(std, default=0.0) <= 0:
            raise InputError(f"mean is {mean} and std {std}; expected as many finite numbers of each, std above 0")
        if self.transform is not None:
            return
        if self.channels not in (1, 3) or len(mean) not in (1, self.channels):
            raise InputError(
                f"there are {self.channels} channels, and mean and std of {len(mean)} numbers; expected 1 or 3 "
                "channels, with a number for each"
            )
        fits = min(self.seen) >= 1 and (
            max(self.seen) <= self.resize
            if isinstance(self.resize, int)
            else all(side <= length for side, length in zip(self.seen, self.resize, strict=True))
        )
        if not fits:
            raise InputError(
                f"crop is {self.crop}, resize {self.resize}; expected a crop of at least 1 pixel that lies within what "
                "the photograph is resized to: set both, or image_size"
            )

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else (self.crop[0], self.crop[1])

    @property
    def normalization(self) -> Statistics:
        """The pair (mean, std) that the metrics take."""
        return self.mean, self.std

    def preprocess(self, image: Image.Image) -> Tensor:
        """Resize, crop and normalise a photograph.

        Args:
            image: Mode RGB, of any size.

        Returns:
            (channels, height, width), float32, on the CPU.

        Raises:
            InputError: A transform returns something else.
        """
        if self.transform is not None:
            return _image_of(self.transform(image))
        grey = image.convert("L") if self.channels == 1 else image
        pixels = _pixels(self._cut(grey, self.interpolation))
        normalised: Tensor = transforms.normalize(pixels, list(self.mean), list(self.std))
        return normalised

    def box(self, width: int, height: int) -> tuple[float, float, float, float] | None:
        """Return the part of a photograph that the network sees: left, top, right and bottom, in its pixels.

        None where a transform of the user's decides that.
        """
        if self.transform is not None:
            return None
        size = (height, width)
        if isinstance(self.resize, int):
            inner = (min(height, LONGEST * width), min(width, LONGEST * height))
            # As torchvision has it: the longer side is cut off to whole pixels.
            high, wide = (int(self.resize * side / min(inner)) for side in inner)
        else:
            inner, (high, wide) = size, self.resize
        edges = []
        for side, inside, scaled, seen in zip(size, inner, (high, wide), self.seen, strict=True):
            start = round((side - inside) / 2) + round((scaled - seen) / 2) * inside / scaled
            edges.append((start, start + seen * inside / scaled))
        (top, bottom), (left, right) = edges
        return left, top, right, bottom

    def preprocess_mask(self, mask: Image.Image) -> Tensor:
        """Resize and crop a segmentation as ``preprocess`` does the photograph.

        Args:
            mask: Mode L, 255 on the object and 0 elsewhere, of the photograph's size.

        Returns:
            (1, height, width), 0 or 1, float32, on the CPU.

        Raises:
            InputError: The transform does something to white and black that tells nothing of where they are.
        """
        if self.transform is not None:
            return self._transformed(mask)
        return _pixels(self._cut(mask, InterpolationMode.NEAREST)).round()

    def to_pixels(self, x: Tensor) -> Tensor:
        """Undo the normalisation, for display.

        Args:
            x: (..., C, H, W), normalised.

        Returns:
            Like x, in [0, 1].
        """
        mean, std = (torch.tensor(value, dtype=torch.float32).to(x)[:, None, None] for value in self.normalization)
        return (x * std + mean).clamp(0, 1)

    def to_rgb(self, x: Tensor) -> Tensor:
        """Undo the normalisation, and show any number of channels in colour or grey.

        Args:
            x: (..., C, H, W), normalised.

        Returns:
            (..., 3, H, W) in [0, 1]; of other than three channels their mean, in grey.
        """
        pixels = self.to_pixels(x)
        if pixels.shape[-3] == 3:
            return pixels
        return pixels.mean(-3, keepdim=True).expand(*pixels.shape[:-3], 3, *pixels.shape[-2:])

    def label(self, target: int) -> str:
        """Return the name of a class, or ``class N`` where the names are not known."""
        labels = self.labels or []
        return labels[target] if target < len(labels) else f"class {target}"

    def _cut(self, image: Image.Image, interpolation: InterpolationMode) -> Image.Image:
        """Resize, by the shorter side if there is one length, and crop the centre."""
        longest = LONGEST * min(image.size)
        if max(image.size) > longest and isinstance(self.resize, int):
            # Resizing a 1 x 100000 strip by its shorter side would need gigabytes for what the crop cuts off.
            image = transforms.center_crop(image, [min(side, longest) for side in image.size[::-1]])
        size = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        cut: Image.Image = transforms.center_crop(transforms.resize(image, size, interpolation), list(self.seen))
        return cut

    def _transformed(self, mask: Image.Image) -> Tensor:
        """Return the mask after the transform: 1 where its output is nearer to that of white than to that of black."""
        output, white, black = (
            self.preprocess(image.convert("RGB"))
            for image in (mask, Image.new("L", mask.size, 255), Image.new("L", mask.size, 0))
        )
        span = white - black
        if output.shape != span.shape or not bool((span != 0).any() & span.isfinite().all() & output.isfinite().all()):
            raise InputError(
                "preprocess makes the same, or no numbers, of a white and a black image, so masks cannot follow it; "
                "resize, crop and normalise by fixed numbers, or leave out the metrics that need masks"
            )
        # Where both are alike, the transform has put a border of its own.
        share = torch.where(span != 0, (output - black) / span, 0.0)
        return (share.mean(0, keepdim=True) >= 0.5).float()


def _pixels(image: Image.Image) -> Tensor:
    """Return an image of 8 bits in single precision, (C, H, W) in [0, 1], whatever torch's default dtype is."""
    levels: Tensor = transforms.pil_to_tensor(image)
    return levels.contiguous().to(torch.float32).div(255)


def _image_of(output: Any) -> Tensor:
    """Return the output of a transform as a tensor (C, H, W)."""
    image = as_tensor("what preprocess returns", output) if isinstance(output, np.ndarray) else output
    if not isinstance(image, Tensor) or image.ndim != 3 or not image.is_floating_point():
        got = f"{tuple(image.shape)} of {image.dtype}" if isinstance(image, Tensor) else type(output).__name__
        raise InputError(f"preprocess returned {got}; expected a floating-point tensor (C, H, W)")
    return image.detach().float()
