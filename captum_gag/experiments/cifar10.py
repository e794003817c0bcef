"""CIFAR-10 and the small network that Tomsett et al. (2019) judge metrics on."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from captum_gag.experiments.images import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
WIDTHS = (32, 64, 128)
DROPOUT = (0.2, 0.3, 0.4)

LAYOUT = """{root}: no CIFAR-10 {split} images found; expected one of
  {root}/cifar-10-batches-py/          as torchvision keeps it
  {root}/{split}/airplane/*.png        a folder per class (png, jpg, ...)
  {root}/{split}.zip                   the same, zipped
  {root}                               a zip file with {split}/airplane/... in it"""


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


def read_cifar10(root: Path, split: str) -> tuple[Tensor, Tensor]:
    """Reads all images of a split into memory.

    Args:
        root (Path): A directory in torchvision's layout, or with a folder or a zip per split; or a zip file.
        split (str): ``train`` or ``test``.

    Returns:
        (Tensor, Tensor): Images (N, 3, 32, 32), uint8, and classes (N,), sorted by class and name, or in
        torchvision's order.

    Raises:
        InputError: There is no such layout (the message shows them), or an image is not 32 x 32.
    """
    if (root / "cifar-10-batches-py").is_dir():
        try:
            stored: Any = torchvision.datasets.CIFAR10(root, train=split == "train")
        except RuntimeError as error:
            raise InputError(f"{root}/cifar-10-batches-py: {error}") from error
        return torch.from_numpy(stored.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(stored.targets)
    files = split_files(root, split)
    pixels = np.stack([_read_pixels(file) for file, _ in files])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.tensor([target for _, target in files])


def split_files(root: Path, split: str) -> list[tuple[Path | zipfile.Path, int]]:
    """Finds the image files of a split, sorted by class and name, each with its class.

    Raises:
        InputError: There are none; the message shows the layouts that are understood.
    """
    tree = _find(root, split)
    files: list[tuple[Path | zipfile.Path, int]] = []
    for target, label in enumerate(CLASSES):
        if (tree / label).is_dir():
            inside: list[Path | zipfile.Path] = list((tree / label).iterdir())
            files += [(file, target) for file in sorted(inside, key=lambda file: file.name)]
    if not files:
        raise InputError(LAYOUT.format(root=root, split=split))
    return files


def _find(root: Path, split: str) -> Path | zipfile.Path:
    if root.is_file() and zipfile.is_zipfile(root):
        return zipfile.Path(root) / split
    if (root / f"{split}.zip").is_file():
        return zipfile.Path(root / f"{split}.zip") / split
    return root / split


def _read_pixels(file: Path | zipfile.Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        with file.open("rb") as stream, Image.open(stream) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read as an image: {error}") from error
    if pixels.shape != (32, 32, 3):
        raise InputError(f"{file}: is {pixels.shape[1]} x {pixels.shape[0]}; a CIFAR-10 image is 32 x 32")
    return pixels
