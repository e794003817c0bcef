"""Photographs in files: a folder of them, with or without classes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from PIL import Image

from captum_gag.data.class_files import CLASS_FILES, class_file, class_indices
from captum_gag.data.class_names import folder_names
from captum_gag.data.datasets import Example, ImageData, StoredData
from captum_gag.data.images import page_count, read_image, shown
from captum_gag.data.masks import MASK_VALUE_HELP, check_fit, read_mask
from captum_gag.errors import InputError, warn
from captum_gag.options import declared, option

SUFFIXES = {".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
SUFFIXES |= {".avif", ".jp2", ".heic", ".heif"}


JUNK = {"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Folders that operating systems leave, beside those whose name begins with a dot."""


class Entry(NamedTuple):
    """What is known of an example in files before any of them is read.

    Attributes:
        name: Its own within the data set.
        photo: File of the photograph.
        target: Its class.
        mask: File of the segmentation.
        group: See ``Example``.
    """

    name: str
    photo: Path
    target: int | None = None
    mask: Path | None = None
    group: str = ""


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
        """Read a segmentation: mode L, 255 on the object and 0 elsewhere."""
        return read_mask(mask)

    def fitting_mask(self, entry: Entry, file: Path) -> Image.Image:
        """Read a segmentation, and check that it lies on its photograph."""
        mask = self.read_mask(file)
        check_fit(mask, entry.photo, entry.name)
        return mask

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
        mask = None if entry.mask is None else partial(self.fitting_mask, entry, entry.mask)
        return Example(entry.name, partial(read_image, entry.photo), entry.target, mask, group=entry.group)

    def listed_target(self, index: int) -> int | None:
        """Return the class of an example, as its folder or the list says."""
        return self.entries[index].target

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the file of the photograph, and that of its segmentation if it is there."""
        entry = self.entries[index]
        return (entry.photo, entry.mask) if entry.mask and entry.mask.is_file() else (entry.photo,)

    def left_out(self) -> list[tuple[str, str]]:
        """List the TIFFs of several pages, of which the first is read."""
        tiffs = [entry for entry in self.entries if entry.photo.suffix.lower() in (".tif", ".tiff")]
        pages = [(entry.name, page_count(entry.photo)) for entry in tiffs]
        return [(name, f"all but the first of {count} pages") for name, count in pages if count > 1]

    def train(self) -> ImageData:
        """Return the folder of training images.

        Raises:
            InputError: None was named.
        """
        if self.training is None:
            raise InputError(f"{self}: has no training images; name a folder of them with the option training")
        return ImageFolder(self.training)


def images_in(folder: Path) -> list[Path]:
    """List the image files of a folder by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if is_image(path))


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder by name, without hidden ones; none if it is not there."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_meant(path)) if folder.is_dir() else []


def images_below(folder: Path) -> list[Path]:
    """List the image files of a folder and of all folders within it, each folder once: it may be linked into itself."""
    found, seen = list[Path](), set[Path]()

    def look(inside: Path) -> None:
        if (real := inside.resolve()) not in seen:
            seen.add(real)
            found.extend(images_in(inside))
            for each in folders_in(inside):
                look(each)

    look(folder)
    return found


def is_image(path: Path) -> bool:
    """Tell by its name whether a file is an image that someone put there."""
    return path.suffix.lower() in SUFFIXES and is_meant(path)


def is_meant(path: Path) -> bool:
    """Tell whether someone put a file or a folder there, and not a program (``._x.jpg``, ``.ipynb_checkpoints``)."""
    return not path.name.startswith(".") and path.name not in JUNK


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
    mask_value: int | None = option(default=None, help=MASK_VALUE_HELP)

    type: ClassVar[str] = "folder"
    paths: ClassVar[tuple[str, ...]] = ("root", "training", "masks")

    def list_entries(self) -> list[Entry]:
        """List the images of every class, or those without classes."""
        root = self.directory
        if not root.is_dir():
            raise InputError(f"{shown(root)}: no such folder")
        folders, loose = self.folders, images_in(root)
        if folders and loose:
            raise InputError(
                f"{shown(root)}: holds images, such as {shown(loose[0].name)}, and folders of images, such as "
                f"{shown(next(iter(folders)).name)}; expected either: move the others elsewhere"
            )
        targets = class_indices(root, [folder.name for folder in folders])
        listed: list[tuple[Path, int | None]] = [
            (file, targets[folder.name]) for folder, files in folders.items() for file in files
        ]
        listed = listed or [(file, None) for file in loose]
        if not listed:
            raise self.wrong_layout("class-a/*.jpg", "class-b/*.jpg", "or *.jpg without classes")
        mixed = next((file for file, _ in listed if _is_mask_of_another(file)), None)
        if mixed is not None:
            raise InputError(
                f"{shown(mixed)}: is named as the segmentation of an image beside it; move segmentations to "
                f"{shown(root.name)}-masks, under the images' names"
            )
        masks = Path(f"{os.path.abspath(root)}-masks" if self.masks is None else self.masks)
        has_masks = masks.is_dir()
        inside = [(file, file.relative_to(root), target) for file, target in listed]
        found = [beside(masks, name) if has_masks else None for _, name, _ in inside]
        if self.masks is not None and not any(found):
            raise InputError(
                f"{shown(masks)}: holds no segmentation; expected files of the images' names, such as "
                f"{shown(inside[0][1].with_suffix('.png').as_posix())}"
            )
        return [
            Entry(shown(name.as_posix()), file, target, mask)
            for (file, name, target), mask in zip(inside, found, strict=True)
        ]

    def read_mask(self, mask: Path) -> Image.Image:
        """Read a segmentation: mode L, 255 on the object and 0 elsewhere."""
        return read_mask(mask, self.mask_value)

    @cached_property
    def folders(self) -> dict[Path, list[Path]]:
        """The images of each class's folder; what has none is no class."""
        images = {folder: images_in(folder) for folder in folders_in(self.directory)}
        empty = [shown(folder.name) for folder, files in images.items() if not files]
        if 0 < len(empty) < len(images) and not class_file(self.directory):
            named = ", ".join(empty[:3]) + (", ..." if len(empty) > 3 else "")
            warn(
                f"{shown(self.root)}: folders without images are no classes here ({named}); if one is a class of the "
                "model, say which class each folder is by a classes.csv (class_index, name)"
            )
        return {folder: files for folder, files in images.items() if files}

    def left_out(self) -> list[tuple[str, str]]:
        """List the files that are no images by their names, and the folders within the folder of a class."""
        others = super().left_out()
        for folder in self.folders or (self.directory,):
            for path in sorted(each for each in folder.iterdir() if is_meant(each) and not is_image(each)):
                if path.name not in CLASS_FILES and not (path.is_dir() and folder == self.directory):
                    reason = "a folder within the folder of a class" if path.is_dir() else "no image by its name"
                    others.append((shown(path.relative_to(self.directory).as_posix()), reason))
        return others

    @property
    def numbered_by_order(self) -> int | None:
        """How many folders were numbered by their order; None without folders, or if a file says their classes."""
        return None if self.listings() else len(self.folders) or None

    def listings(self) -> tuple[Path, ...]:
        """Return the file that says which class each folder is, if there is one."""
        return class_file(self.directory) if self.folders else ()

    @cached_property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes, as a file beside the folders has them, or else as the folders are called."""
        return folder_names(self.directory, {each.photo.parent.name: each.target for each in self.entries})

    def __str__(self) -> str:
        """Return its path."""
        return shown(self.root)


def _is_mask_of_another(file: Path) -> bool:
    """Tell whether a file is called as an image in its folder, and ``_mask`` or ``_segmentation``."""
    stem, _, end = file.stem.rpartition("_")
    return end.lower() in ("mask", "segmentation") and any((file.with_name(stem + each)).is_file() for each in SUFFIXES)
