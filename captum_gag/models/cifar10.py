"""The small network for CIFAR-10 that Tomsett et al. (2019) judge metrics on."""

from __future__ import annotations

from torch import nn

from captum_gag.data.cifar10 import CLASSES

WIDTHS = (32, 64, 128)
DROPOUT = (0.2, 0.3, 0.4)


class Cifar10Net(nn.Sequential):
    """Three blocks of two 3 x 3 convolutions, batch-normalised, then max pooling and dropout; a linear layer on top.

    No convolution has a bias, nor has the linear layer. Every ReLU is a module of its own, as DeepLIFT and LRP need.
    Pixels in [0, 1] come in unnormalised (the first batch normalisation sees to that), so that no value that reaches
    a convolution is negative: then LRP's z+ rule is deep Taylor decomposition's.
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
