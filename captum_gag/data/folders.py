"""Photographs in files: a folder of them, with or without classes, and ImageNet-S."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import Image

from captum_gag.data.class_files import class_file, class_indices
from captum_gag.data.datasets import Example, ImageData, StoredData
from captum_gag.data.images import read_image, shown
from captum_gag.errors import InputError, in_one_line
from captum_gag.specs import declared, option

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


class Entry(NamedTuple):
    """What is known of an example in files before any of them is read.

    Attributes:
        name: Its own within the data set.
        photo: File of the photograph.
        target: Its class.
        mask: File of the segmentation.
    """

    name: str
    photo: Path
    target: int | None = None
    mask: Path | None = None


@declared
class FileData(StoredData):
    """A photograph per file, perhaps with a segmentation in another; a subclass says with ``list_entries`` which."""

    training: str | Path | None = option(
        default=None, help="A folder of training images, for methods that take references."
    )

    paths: ClassVar[tuple[str, ...]] = ("root", "training")

    def list_entries(self) -> list[Entry]:
        """List the files, without reading one."""
        raise NotImplementedError

    def read_mask(self, mask: Path) -> Image.Image:
        """Read a segmentation, white on the object: mode L, 0 or 255."""
        return read_image(mask).convert("L").point(lambda value: 255 * (value > 127))

    @cached_property
    def entries(self) -> list[Entry]:
        """What is known of each example."""
        return self.list_entries()

    def list_names(self) -> Sequence[str]:
        """List the names of all examples, in their order."""
        return [entry.name for entry in self.entries]

    def __getitem__(self, index: int) -> Example:
        """Return an example, whose files are read when asked for."""
        entry = self.entries[index]
        mask = None if entry.mask is None else partial(self.read_mask, entry.mask)
        return Example(entry.name, partial(read_image, entry.photo), entry.target, mask)

    def listed_target(self, index: int) -> int | None:
        """Return the class of an example, as its folder or the list says."""
        return self.entries[index].target

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the file of the photograph, and that of its segmentation if it is there."""
        entry = self.entries[index]
        return (entry.photo, entry.mask) if entry.mask and entry.mask.is_file() else (entry.photo,)

    def train(self) -> ImageData:
        """Return the folder of training images.

        Raises:
            InputError: None was named.
        """
        if self.training is None:
            raise InputError(f"{self}: has no training images; name a folder of them with the option training")
        return ImageFolder(self.training)


def images_in(folder: Path) -> list[Path]:
    """List the image files of a folder by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder by name; none if it is not there."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def beside(masks: Path, file: str | Path) -> Path | None:
    """Return the mask of the same name in a folder of masks, or the same with .png; None if there is none."""
    return next((path for path in (masks / file, (masks / file).with_suffix(".png")) if path.is_file()), None)


@declared
class ImageFolder(FileData):
    """A folder of images, or of a folder per class; see ``class_indices`` for which class a folder is."""

    masks: str | Path | None = option(
        default=None,
        help="Folder of segmentations, white on the object, of the images' names; None for NAME-masks beside root.",
    )

    type: ClassVar[str] = "folder"
    paths: ClassVar[tuple[str, ...]] = ("root", "training", "masks")

    def list_entries(self) -> list[Entry]:
        """List the images of every class, or those without classes."""
        root = self.directory
        if not root.is_dir():
            raise InputError(f"{shown(root)}: no such folder")
        folders = folders_in(root)
        targets = class_indices(root, [folder.name for folder in folders])
        listed: list[tuple[Path, int | None]] = [
            (file, targets[folder.name]) for folder in folders for file in images_in(folder)
        ]
        listed = listed or [(file, None) for file in images_in(root)]
        if not listed:
            raise self.wrong_layout("class-a/*.jpg", "class-b/*.jpg", "or *.jpg without classes")
        masks = Path(f"{os.path.abspath(root)}-masks" if self.masks is None else self.masks)
        has_masks = masks.is_dir()
        inside = [(file, file.relative_to(root), target) for file, target in listed]
        return [
            Entry(shown(name.as_posix()), file, target, beside(masks, name) if has_masks else None)
            for file, name, target in inside
        ]

    def listings(self) -> tuple[Path, ...]:
        """Return the file that says which class each folder is, if there is one."""
        return class_file(self.directory) if folders_in(self.directory) else ()

    def __str__(self) -> str:
        """Return its path."""
        return shown(self.root)


@declared
class ImageNetS(FileData):
    """The validation images of ImageNet-S (50, 300 or 919 classes) with their segmentations."""

    type: ClassVar[str] = "imagenet-s"

    def list_entries(self) -> list[Entry]:
        """List the images of every class, and where the segmentation of each is."""
        images, masks = self.directory / "validation", self.directory / "validation-segmentation"
        folders = folders_in(images)
        if not folders or not masks.is_dir():
            raise self.wrong_layout("validation/n01440764/*.JPEG", "validation-segmentation/n01440764/*.png")
        targets = class_indices(self.directory, [folder.name for folder in folders])
        return [
            Entry(
                shown(f"{folder.name}/{file.name}"),
                file,
                targets[folder.name],
                masks / folder.name / f"{file.stem}.png",
            )
            for folder in folders
            for file in images_in(folder)
        ]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """What segmentations call the class of each folder: 1 to the number of classes, in the folders' order."""
        return {folder.name: number for number, folder in enumerate(folders_in(self.directory / "validation"), start=1)}

    def read_mask(self, mask: Path) -> Image.Image:
        """Read a segmentation that holds the class in 16 bits, red + 256 green; 0 is other, 1000 is ignored."""
        try:
            with Image.open(mask) as image:
                pixels = np.asarray(image.convert("RGB")).astype(int)
        except OSError as error:
            raise InputError(f"{shown(mask)}: cannot be read as a segmentation: {in_one_line(error)}") from error
        classes = pixels[..., 0] + 256 * pixels[..., 1]
        return Image.fromarray(np.where(classes == self.numbers[mask.parent.name], 255, 0).astype(np.uint8))

    def listings(self) -> tuple[Path, ...]:
        """Return the file that says which class each folder is, if there is one."""
        return class_file(self.directory)

    def train(self) -> ImageData:
        """Return the folder of training images, root/train if no other was named."""
        place = self.directory / "train"
        return ImageFolder(place) if self.training is None and place.is_dir() else super().train()
