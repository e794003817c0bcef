"""How a photograph becomes a network's input; needs no weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LONGEST = 16
"""How many times as long as its shorter side a photograph is at most, before it is resized."""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """What is done to a photograph before a network sees it, and what the classes are called.

    Attributes:
        mean, std: The normalisation of the input, for pixels in [0, 1], a number per channel.
        resize: Length in pixels that the shorter side is resized to, before the crop.
        crop: Side in pixels of the central square that the network sees.
        labels: The name of each class; None if they are not known.
        interpolation: How the photograph is resized.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: int = 256
    crop: int = 224
    labels: list[str] | None = None
    interpolation: InterpolationMode = InterpolationMode.BILINEAR

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The pair (mean, std) that the metrics take."""
        return self.mean, self.std

    def preprocess(self, image: Image.Image) -> Tensor:
        """Resize, crop and normalise a photograph.

        Args:
            image: Mode RGB, of any size.

        Returns:
            (3, crop, crop), float32, on the CPU.
        """
        pixels = transforms.to_tensor(self._cut(image, self.interpolation))
        normalised: Tensor = transforms.normalize(pixels, list(self.mean), list(self.std))
        return normalised

    def preprocess_mask(self, mask: Image.Image) -> Tensor:
        """Resize and crop a segmentation as ``preprocess`` does the photograph.

        Args:
            mask: Mode L, 255 on the object and 0 elsewhere, of the photograph's size.

        Returns:
            (1, crop, crop), 0 or 1, float32, on the CPU.
        """
        pixels: Tensor = transforms.to_tensor(self._cut(mask, InterpolationMode.NEAREST))
        return pixels.round()

    def to_pixels(self, x: Tensor) -> Tensor:
        """Undo the normalisation, for display.

        Args:
            x: (..., 3, H, W), normalised.

        Returns:
            Like x, in [0, 1].
        """
        mean, std = (torch.tensor(value).to(x)[:, None, None] for value in self.normalization)
        return (x * std + mean).clamp(0, 1)

    def label(self, target: int) -> str:
        """Return the name of a class, or ``class N`` where the names are not known."""
        labels = self.labels or []
        return labels[target] if target < len(labels) else f"class {target}"

    def _cut(self, image: Image.Image, interpolation: InterpolationMode) -> Image.Image:
        """Resize by the shorter side, and crop the centre."""
        longest = LONGEST * min(image.size)
        if max(image.size) > longest:
            # Resizing a 1 x 100000 strip by its shorter side would need gigabytes for what the crop cuts off.
            image = transforms.center_crop(image, [min(side, longest) for side in image.size[::-1]])
        cut: Image.Image = transforms.center_crop(transforms.resize(image, [self.resize], interpolation), [self.crop])
        return cut
