"""The small network for CIFAR-10 that Tomsett et al. (2019) judge metrics on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import safetensors.torch
import torch
from torch import Tensor, nn

from captum_gag.data.cifar10 import CLASSES
from captum_gag.errors import InputError
from captum_gag.models.base import ModelSpec
from captum_gag.models.loading import Classifier
from captum_gag.models.preprocessing import PIXELS, Preprocessing, Statistics
from captum_gag.models.weights import load_state, read_metadata
from captum_gag.options import declared

WIDTHS = (32, 64, 128)
DROPOUT = (0.2, 0.3, 0.4)


class Cifar10Net(nn.Sequential):
    """Three blocks of two 3 x 3 convolutions, batch-normalised, then max pooling and dropout; a linear layer on top.

    No convolution has a bias, nor has the linear layer. Every ReLU is a module of its own, as DeepLIFT and LRP need.
    Pixels come in as they are, in [0, 1] (the first batch normalisation sees to their scale), or standardised per
    channel, as the weights were trained. No later layer gets anything negative, so that LRP's z+ rule is deep Taylor
    decomposition's; standardised, the first one needs the z-box rule.
    """

    def __init__(self) -> None:
        """Build the network with random weights."""
        layers: list[nn.Module] = []
        channels = 3
        for width, dropout in zip(WIDTHS, DROPOUT, strict=True):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers += [nn.MaxPool2d(2), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels * 4 * 4, len(CLASSES), bias=False))


@declared
class Cifar10(ModelSpec):
    """The small network for CIFAR-10 of Tomsett et al. (2019), which needs weights; their file says how it is fed."""

    type: ClassVar[str] = "cifar10"

    def own_preprocessing(self) -> Preprocessing:
        """Return the pixels 32 x 32, standardised if the weights were trained so; as they are if these are gone.

        Raises:
            InputError: The options mean and std say something else than the weights.
        """
        statistics = None if self.weights is None else read_statistics(Path(self.weights))
        for name, own, option in zip(("mean", "std"), statistics or (), (self.mean, self.std), strict=False):
            if option is not None and tuple(option) != own:
                raise InputError(
                    f"{self.weights} was trained with {name} {list(own)}, {name} = {list(option)} is asked for; leave "
                    "mean and std out, the weights say how they are fed"
                )
        return Preprocessing(*(statistics or PIXELS), resize=32, crop=32, labels=list(CLASSES))

    def build(self, state: Mapping[str, Tensor] | None) -> Classifier:
        """Build the network."""
        if state is None:
            raise InputError("the cifar10 network needs weights; train them with: captum-gag train cifar10 DATA")
        net = Cifar10Net()
        load_state(net, state, self.type)
        # Convolutions of so few channels are 1.7 times as fast on a CPU.
        net = net.to(memory_format=torch.channels_last)
        return Classifier(self.type, net, **vars(self.own_preprocessing()))


def write_weights(path: Path, state: Mapping[str, Tensor], statistics: Statistics) -> None:
    """Write weights together with how their network is fed, as metadata."""
    metadata = {name: json.dumps(numbers) for name, numbers in zip(("mean", "std"), statistics, strict=True)}
    safetensors.torch.save_file(dict(state), path, metadata)


def read_statistics(path: Path) -> Statistics | None:
    """Return mean and std of the input of these weights' network; None if their file has none, or is not there.

    Raises:
        InputError: They are no lists of numbers.
    """
    metadata = read_metadata(path)
    if not {"mean", "std"} <= set(metadata):
        return None
    try:
        mean, std = (tuple(float(number) for number in json.loads(metadata[name])) for name in ("mean", "std"))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its metadata has mean {metadata['mean']} and std {metadata['std']}; expected lists"
        ) from error
    return mean, std
