"""ImageNet-S: validation images with segmentations that hold the number of a class in 16 bits."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from captum_gag.data.class_files import class_file, class_indices
from captum_gag.data.class_names import folder_names
from captum_gag.data.datasets import ImageData
from captum_gag.data.folders import Entry, FileData, ImageFolder, folders_in, images_in
from captum_gag.data.images import refuse_bomb, shown
from captum_gag.errors import InputError, in_one_line
from captum_gag.options import declared, option

SIZES = (50, 300, 919)

IGNORED = 1000
"""What segmentations say where it is not known what is there."""


@declared
class ImageNetS(FileData):
    """The validation images of ImageNet-S (50, 300 or 919 classes) with their segmentations."""

    classes: Literal[50, 300, 919] | None = option(
        default=None,
        help="Which ImageNet-S it is, which says what segmentations call a class; None for what the "
        "directory's name (ImageNetS50), the authors' list in it, or all of its folders say.",
        kw_only=True,
    )

    type: ClassVar[str] = "imagenet-s"

    def list_entries(self) -> list[Entry]:
        """List the images of every class, and where the segmentation of each is."""
        masks, folders = self.directory / "validation-segmentation", self.folders
        if not folders or not masks.is_dir():
            raise self.wrong_layout("validation/n01440764/*.JPEG", "validation-segmentation/n01440764/*.png")
        # Without a file they have the numbers of a model of these classes, whichever of the folders are here.
        targets = {name: number - 1 for name, number in self.numbers.items()}
        if class_file(self.directory):
            targets = class_indices(self.directory, [folder.name for folder in folders])
        return [
            Entry(
                shown(f"{folder.name}/{file.name}"),
                file,
                targets[folder.name],
                masks / folder.name / f"{file.stem}.png",
            )
            for folder, images in folders.items()
            for file in images
        ]

    @cached_property
    def folders(self) -> dict[Path, list[Path]]:
        """The images of each class's folder."""
        return {folder: images_in(folder) for folder in folders_in(self.directory / "validation")}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """What segmentations call each class: 1 to 50, 300 or 919, the published classes being sorted by wnid.

        Raises:
            InputError: It cannot be told which of the three it is, or a folder is of none of its classes.
        """
        names = {folder.name for folder in self.folders}
        published = _published(self.size(names))
        strange = sorted(names - set(published))
        if strange:
            raise InputError(
                f"{self}: the folder {shown(strange[0])} is no class of ImageNet-S-{len(published)}; expected a wnid "
                "of its list, or the option classes (50, 300 or 919)"
            )
        return {wnid: number for number, wnid in enumerate(published, start=1)}

    def size(self, names: set[str]) -> int:
        """Return which ImageNet-S it is: 50, 300 or 919.

        Raises:
            InputError: It cannot be told.
        """
        if self.classes is not None:
            return self.classes
        lists = [size for size in SIZES if (self.directory / f"ImageNetS_categories_im{size}.txt").is_file()]
        called = self.directory.resolve().name.lower().replace("-", "").replace("_", "")
        named = [size for size in SIZES if called == f"imagenets{size}"]
        whole = [size for size in SIZES if names == set(_published(size))]
        # Of the three, only the largest has some classes.
        fitting = [size for size in SIZES if names <= set(_published(size))]
        found = named or next((each for each in (lists, whole, fitting) if len(each) == 1), [])
        if not found:
            raise InputError(
                f"{self}: which ImageNet-S has these {len(names)} classes, and which numbers have they in its "
                "segmentations? Say so by the option classes: 50, 300 or 919"
            )
        return found[0]

    @property
    def numbered_by_order(self) -> int | None:
        """How many classes this ImageNet-S has; None if a file says which number each folder's is."""
        return None if class_file(self.directory) else len(self.numbers)

    def read_mask(self, mask: Path) -> Image.Image:
        """Read a segmentation that holds the class in 16 bits, red + 256 green; 0 is other, 1000 is ignored.

        Raises:
            InputError: It cannot be read, is in another form, or holds a number that is none of these.
        """
        try:
            with Image.open(mask) as image:
                refuse_bomb(image, mask.stat().st_size)
                mode, pixels = image.mode, np.asarray(image).astype(int)
        # Pillow's decoders meet broken bytes with almost any exception.
        except Exception as error:
            raise InputError(f"{shown(mask)}: cannot be read as a segmentation: {in_one_line(error)}") from error
        if mode not in ("RGB", "RGBA"):
            raise InputError(f"{shown(mask)}: has pixels of mode {mode}; a segmentation of ImageNet-S is RGB")
        classes = pixels[..., 0] + 256 * pixels[..., 1]
        strange = np.setdiff1d(classes, [*range(len(self.numbers) + 1), IGNORED])
        if strange.size:
            raise InputError(
                f"{shown(mask)}: holds the class {strange[0]}; expected 1 to {len(self.numbers)}, 0 or {IGNORED}: it "
                "is of another ImageNet-S, or was saved with other colours"
            )
        return Image.fromarray(np.where(classes == self.numbers[mask.parent.name], 255, 0).astype(np.uint8))

    def listings(self) -> tuple[Path, ...]:
        """Return the file that says which class each folder is, if there is one."""
        return class_file(self.directory)

    @cached_property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes, as a file beside the folders has them, or else as the folders are called."""
        return folder_names(self.directory, {each.photo.parent.name: each.target for each in self.entries})

    def train(self) -> ImageData:
        """Return the folder of training images, root/train if no other was named."""
        place = self.directory / "train"
        return ImageFolder(place) if self.training is None and place.is_dir() else super().train()


def _published(size: int) -> list[str]:
    """Return the classes of an ImageNet-S, sorted by wnid; each is also in those that are larger.

    The list is that of https://github.com/LUSSeg/ImageNet-S (data/categories), by Gao et al.
    """
    text = files("captum_gag.data").joinpath("imagenet_s_classes.csv").read_text(encoding="utf-8")
    return [row["wnid"] for row in csv.DictReader(text.splitlines()) if int(row["smallest"]) <= size]
