"""A data set that a CSV lists: an image a row, with its class or classes, and perhaps a segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

from PIL import Image

from captum_gag.data.csv_files import by_column, read_rows, whole
from captum_gag.data.folders import Entry, FileData, images_below, is_image
from captum_gag.data.images import shown
from captum_gag.data.isic_labels import labels_of
from captum_gag.data.masks import MASK_VALUE_HELP, read_mask
from captum_gag.errors import InputError
from captum_gag.options import declared, option


class _Labels(NamedTuple):
    targets: list[list[int | None]]
    """By row; none of a row that has none of the classes."""
    names: Sequence[str] = ()


@declared
class CsvData(FileData):
    """Images that a CSV lists, such as NIH's, CheXpert's, PAD-UFES's, Fitzpatrick17k's or a ``metadata.csv``.

    An image with several labels is an example for each of them, called ``NAME:LABEL``; these count as one image where
    certainty is concerned.
    """

    root: str | Path = option(help="The CSV, separated by commas, semicolons or tabs; its first row names the columns.")
    images: str | Path | None = option(
        default=None,
        help="Folder of the images, also in folders within it; None for the folder of the CSV.",
        kw_only=True,
    )
    image_column: str = option(
        default="file_name", help="Column of the image's file; its suffix may be missing.", kw_only=True
    )
    label_column: str | tuple[str, ...] | None = option(
        default="label",
        help="Column of the class, a number or a name; or several, in the model's order, that are 1 where the image is "
        "of that class; None explains the predicted class.",
        kw_only=True,
    )
    separator: str | None = option(
        default=None, help="What stands between several labels in one cell, such as |.", kw_only=True
    )
    classes: tuple[str, ...] | None = option(
        default=None, help="Names of the classes in the model's order; None takes the alphabet's.", kw_only=True
    )
    mask_column: str | None = option(
        default=None, help="Column of the segmentation's file, relative to the folder of the images.", kw_only=True
    )
    mask_value: int | None = option(default=None, help=MASK_VALUE_HELP, kw_only=True)
    group_column: str | None = option(
        default=None, help="Column that is the same for images that depend on each other, as a patient's.", kw_only=True
    )

    type: ClassVar[str] = "csv"
    paths: ClassVar[tuple[str, ...]] = ("root", "training", "images")

    @property
    def folder(self) -> Path:
        """The folder of the images."""
        return Path(self.root).parent if self.images is None else Path(self.images)

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """The cells by column.

        Raises:
            InputError: The CSV cannot be read, or has not the columns that are named.
        """
        path = Path(self.root)
        columns = by_column(read_rows(path), path)
        labels = (self.label_column,) if isinstance(self.label_column, str) else self.label_column or ()
        for name in (self.image_column, *labels, self.mask_column, self.group_column):
            if name is not None and name not in columns:
                raise InputError(
                    f"{shown(path)}: has no column {shown(name)}; found {', '.join(map(shown, columns))}: name the "
                    "right one by the options image_column, label_column, mask_column and group_column"
                )
        if "" in columns[self.image_column]:
            count = columns[self.image_column].count("")
            raise InputError(f"{shown(path)}: has {count} rows without {self.image_column}; remove them")
        return columns

    @cached_property
    def row_labels(self) -> _Labels:
        """The classes of each row.

        Raises:
            InputError: A cell has no meaning.
        """
        columns, column = self.columns, self.label_column
        try:
            if column is None:
                return _Labels([[None] for _ in columns[self.image_column]])
            if isinstance(column, tuple):
                return self._of_columns(column)
            if self.separator is None:
                targets, names = labels_of(columns, column, self.classes)
                return _Labels([[target] for target in targets], names)
        except InputError as error:
            raise InputError(f"{shown(self.root)}: {error}") from error
        cells = [[each.strip() for each in cell.split(self.separator) if each.strip()] for cell in columns[column]]
        names = self.classes or sorted({each for cell in cells for each in cell})
        return _Labels([[names.index(each) for each in dict.fromkeys(cell) if each in names] for cell in cells], names)

    def _of_columns(self, labels: tuple[str, ...]) -> _Labels:
        """Return the classes of each row out of a column for each; uncertain (-1) and empty cells are not 1."""
        if self.classes is not None or self.separator is not None:
            raise InputError("label_column names the classes; leave out the options classes and separator")
        for name in labels:
            strange = next((cell for cell in self.columns[name] if cell and whole(cell) not in (-1, 0, 1)), None)
            if strange is not None:
                raise InputError(f"has {shown(strange)!r} in {shown(name)}; expected 1, 0, -1 (uncertain) or nothing")
        rows = zip(*(self.columns[name] for name in labels), strict=True)
        return _Labels([[place for place, cell in enumerate(row) if whole(cell) == 1] for row in rows], labels)

    def list_entries(self) -> list[Entry]:
        """List the rows, those of several labels once for each."""
        columns, (targets, names) = self.columns, self.row_labels
        images = columns[self.image_column]
        masks = [""] * len(images) if self.mask_column is None else columns[self.mask_column]
        groups = [""] * len(images) if self.group_column is None else columns[self.group_column]
        is_several = self.separator is not None or isinstance(self.label_column, tuple)
        return [
            Entry(
                shown(f"{image}:{names[target]}" if is_several and target is not None else image),
                self.file_of(image),
                target,
                self.folder / mask if mask else None,
                group or (image if is_several else ""),
            )
            for image, of_row, mask, group in zip(images, targets, masks, groups, strict=True)
            for target in of_row
        ]

    def file_of(self, image: str) -> Path:
        """Return the file of a row: in the folder, with a suffix if it has none, or in a folder within it.

        Raises:
            InputError: Folders within hold several of that name.
        """
        direct = self.folder / image
        if is_image(direct) and direct.is_file():
            return direct
        found = self.files_by_name.get(Path(image).name, [])
        found = [each for each in found if each.parent == direct.parent] or found
        if len(found) > 1:
            raise InputError(f"{shown(self.root)}: {shown(found[0])} and {shown(found[1])} both may be {shown(image)}")
        return found[0] if found else direct

    @cached_property
    def files_by_name(self) -> dict[str, list[Path]]:
        """The image files of the folder and of those within it, by name and by name without suffix."""
        found: dict[str, list[Path]] = {}
        for file in images_below(self.folder):
            for key in {file.name, file.stem}:
                found.setdefault(key, []).append(file)
        return found

    def read_mask(self, mask: Path) -> Image.Image:
        """Read a segmentation: mode L, 255 on the object and 0 elsewhere."""
        return read_mask(mask, self.mask_value)

    def left_out(self) -> list[tuple[str, str]]:
        """List the images that have none of the classes, and TIFFs of several pages."""
        rows = zip(self.columns[self.image_column], self.row_labels.targets, strict=True)
        without = [(shown(image), "has none of the classes") for image, targets in rows if not targets]
        return [*super().left_out(), *without]

    @property
    def numbered_by_order(self) -> int | None:
        """How many classes were numbered by the order of their names; None if the user says the order."""
        is_said = self.classes is not None or isinstance(self.label_column, tuple)
        return None if is_said else len(self.row_labels.names) or None

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes, where the CSV or the options have them."""
        return dict(enumerate(map(shown, self.row_labels.names)))

    def listings(self) -> tuple[Path, ...]:
        """Return the CSV."""
        return (Path(self.root),)
