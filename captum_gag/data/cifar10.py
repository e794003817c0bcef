"""CIFAR-10, in any of the layouts that it comes in."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from captum_gag.data.datasets import Example, ImageData, StoredData
from captum_gag.data.folders import folders_in, images_in, is_image
from captum_gag.data.images import refuse_bomb, shown, to_rgb
from captum_gag.errors import InputError, in_one_line
from captum_gag.options import declared, option

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

PICKLED, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"

BATCHES = {"test": "test_batch", "train": "data_batch_*"}

LAYOUT = """{root}: no CIFAR-10 {split} images found; expected one of
  {root}/cifar-10-batches-py/          as torchvision keeps it (unpack cifar-10-python.tar.gz)
  {root}/cifar-10-batches-bin/         the binary version
  {root}/{split}/airplane/*.png        a folder per class (png, jpg, ...)
  {root}/{split}.zip                   the same, zipped
  {root}                               a zip file with {split}/airplane/... in it"""


def read_cifar10(root: Path, split: str) -> tuple[Tensor, Tensor]:
    """Read all images of a split into memory.

    Args:
        root: A directory in torchvision's layout, or with a folder or a zip per split; or a zip file.
        split: ``train`` or ``test``.

    Returns:
        Images (N, 3, 32, 32), uint8, and classes (N,), sorted by class and name, or in torchvision's order.

    Raises:
        InputError: There is no such layout (the message shows them), or an image is not 32 x 32.
    """
    batches = _batches(root)
    if batches is not None and batches.name == BINARY:
        return _read_binary(batches, split)
    if batches is not None:
        try:
            stored: Any = torchvision.datasets.CIFAR10(batches.parent, train=split == "train")
        # A batch that is missing, changed or broken: torchvision's and pickle's errors are of any kind.
        except Exception as error:
            raise InputError(f"{shown(batches)}: cannot be read as CIFAR-10's batches: {in_one_line(error)}") from error
        return torch.from_numpy(stored.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(stored.targets)
    files = split_files(root, split)
    pixels = np.stack([_read_pixels(file) for file, _ in files])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.tensor([target for _, target in files])


@dataclass(frozen=True)
class ImageFile:
    """A file of CIFAR-10: on disk, or inside an archive.

    Attributes:
        name: Of its class and itself, ``airplane/0001.png``.
        path: The file, or the archive that it is in.
        member: Its name in the archive.
    """

    name: str
    path: Path
    member: str | None = None

    def open(self) -> Image.Image:
        """Read it as RGB.

        Raises:
            InputError: It cannot be read.
        """
        try:
            content = self.path.read_bytes() if self.member is None else _archive(self.path).read(self.member)
            with Image.open(io.BytesIO(content)) as image:
                refuse_bomb(image, len(content))
                image.load()
                return to_rgb(image)
        # Pillow's decoders, and zipfile, meet broken bytes with almost any exception.
        except Exception as error:
            reason = in_one_line(error)
            raise InputError(f"{shown(self.path)}: {self.name} cannot be read as an image: {reason}") from error


def split_files(root: Path, split: str) -> list[tuple[ImageFile, int]]:
    """List the image files of a split, sorted by class and name, each with its class.

    Raises:
        InputError: There are none; the message shows the layouts that are understood.
    """
    archive = next(
        (path for path in (root, root / f"{split}.zip") if path.is_file() and zipfile.is_zipfile(path)), None
    )
    if archive is not None:
        strange: list[str] = []
        inside = [name for name in _archive(archive).namelist() if name.startswith(f"{split}/")]
        files = [ImageFile(name.removeprefix(f"{split}/"), archive, name) for name in inside if not name.endswith("/")]
    else:
        folders = folders_in(root / split)
        strange = [folder.name for folder in folders if folder.name not in CLASSES and images_in(folder)]
        paths = [path for folder in folders if folder.name in CLASSES for path in images_in(folder)]
        files = [ImageFile(shown(f"{path.parent.name}/{path.name}"), path) for path in paths]
    targets = {label: target for target, label in enumerate(CLASSES)}
    images = [file for file in files if is_image(Path(file.name))]
    found = [(file, targets[label]) for file in images if (label := file.name.partition("/")[0]) in targets]
    strange += [label for file in images if (label := file.name.partition("/")[0]) not in targets]
    if not found:
        raise InputError(LAYOUT.format(root=root, split=split))
    if strange:
        raise InputError(
            f"{shown(root)}: {split}/{shown(strange[0])} is no class of CIFAR-10; expected {', '.join(CLASSES)}"
        )
    return sorted(found, key=lambda each: each[0].name)


@declared
class Cifar10(StoredData):
    """The images of CIFAR-10, in torchvision's layout or a folder per class, zipped or not."""

    split: Literal["test", "train"] = option(default="test", help="Which images: the test split or the training split.")

    type: ClassVar[str] = "cifar10"

    @cached_property
    def pixels(self) -> tuple[Tensor, Tensor]:
        """All images and classes, of torchvision's layout, which has many in a file."""
        return read_cifar10(self.directory, self.split)

    @cached_property
    def images(self) -> list[tuple[ImageFile, int]]:
        """The files of the other layouts: one of every class in turn, so that a limit takes some of each."""
        found = split_files(self.directory, self.split)
        return sorted(found, key=lambda each: (each[0].name.partition("/")[2], each[1]))

    @cached_property
    def has_batches(self) -> bool:
        """Whether many images are in one file, as torchvision keeps them."""
        return _batches(self.directory) is not None

    def list_names(self) -> Sequence[str]:
        """List the files, or number the images that have none of their own."""
        if self.has_batches:
            return [f"{index:05d}" for index in range(len(self.pixels[1]))]
        return [file.name for file, _ in self.images]

    def __getitem__(self, index: int) -> Example:
        """Return an image, whose file is read when asked for."""
        if self.has_batches:
            images, targets = self.pixels
            return Example(self.names[index], partial(to_pil_image, images[index]), int(targets[index]))
        file, target = self.images[index]
        return Example(file.name, file.open, target)

    def listed_target(self, index: int) -> int | None:
        """Return the class of an image."""
        return int(self.pixels[1][index]) if self.has_batches else self.images[index][1]

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the ten classes."""
        return dict(enumerate(CLASSES))

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the file of an image, or the archive or the batches that it is in."""
        batches = _batches(self.directory)
        if batches is not None:
            suffix = ".bin" if batches.name == BINARY else ""
            return tuple(sorted(batches.glob(BATCHES[self.split] + suffix)))
        return (self.images[index][0].path,)

    def train(self) -> ImageData:
        """Return the training split."""
        return Cifar10(self.root, split="train")


def _batches(root: Path) -> Path | None:
    """Return the folder of batches, in or at the root; None if there is none."""
    places = [place for name in (PICKLED, BINARY) for place in (root / name, root) if place.name == name]
    return next((place for place in places if place.is_dir()), None)


def _read_binary(batches: Path, split: str) -> tuple[Tensor, Tensor]:
    """Read the binary version: of each image a byte of its class, and 3072 of its pixels, channel by channel."""
    files = sorted(batches.glob(f"{BATCHES[split]}.bin"))
    contents = b"".join(file.read_bytes() for file in files)
    records = np.frombuffer(contents, np.uint8)
    if not files or len(records) % 3073 or (records[::3073] >= len(CLASSES)).any():
        raise InputError(
            f"{shown(batches)}: expected {BATCHES[split]}.bin, records of 3073 bytes that begin with a class"
        )
    rows = torch.from_numpy(records.reshape(-1, 3073).copy())
    return rows[:, 1:].reshape(-1, 3, 32, 32).contiguous(), rows[:, 0].long()


@cache
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _read_pixels(file: ImageFile) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pixels = np.asarray(file.open())
    if pixels.shape != (32, 32, 3):
        raise InputError(f"{file.name}: is {pixels.shape[1]} x {pixels.shape[0]}; a CIFAR-10 image is 32 x 32")
    return pixels
