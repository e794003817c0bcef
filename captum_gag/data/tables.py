"""Data sets whose photographs and classes stand in a table: ISIC and Places365."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np

from captum_gag.data.folders import Entry, FileData, beside, images_in
from captum_gag.data.images import shown
from captum_gag.errors import InputError
from captum_gag.specs import declared


@declared
class ISIC(FileData):
    """ISIC's images by its CSV: a column of numbers (target) or of names (diagnosis), or a column per class."""

    type: ClassVar[str] = "isic"

    def list_entries(self) -> list[Entry]:
        """List the rows of the table."""
        root = self.directory
        places = (root / "images", root / "train", root)
        folder = next((each for each in places if each.is_dir() and images_in(each)), None)
        if folder is None or not self.listings():
            raise self.wrong_layout(
                "train.csv", "images/ISIC_0000000.jpg", "masks/ISIC_0000000_segmentation.png (Task 1)"
            )
        [table] = self.listings()
        with table.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or [])
        key = next((each for each in ("image_name", "isic_id", "image", "image_id") if each in columns), None)
        if key is None:
            raise InputError(f"{shown(table)}: has no column image_name, isic_id, image or image_id; found {columns}")
        files = {file.stem: file for file in images_in(folder)}
        return [
            Entry(
                shown(row[key]),
                files.get(Path(row[key]).stem, folder / f"{row[key]}.jpg"),
                target,
                beside(root / "masks", f"{Path(row[key]).stem}_segmentation.png"),
            )
            for row, target in zip(rows, _targets(table, rows, columns, key), strict=True)
        ]

    def listings(self) -> tuple[Path, ...]:
        """Return the table, the first CSV of the root."""
        return tuple(sorted(self.directory.glob("*.csv"))[:1])


@declared
class Places365(FileData):
    """The validation images of Places365 as torchvision lays them out."""

    type: ClassVar[str] = "places365"

    def list_entries(self) -> list[Entry]:
        """List the lines of the listing."""
        root = self.directory
        folder = next((each for each in (root / "val_256", root / "val_large") if each.is_dir()), None)
        if folder is None or not self.listings():
            raise self.wrong_layout("places365_val.txt", "val_256/Places365_val_00000001.jpg")
        [listing] = self.listings()
        lines = listing.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        try:
            pairs = [
                (name, int(target)) for name, target in (line.rsplit(maxsplit=1) for line in lines if line.strip())
            ]
        except ValueError as error:
            raise InputError(f"{shown(listing)}: expected a file and its class in each line; {error}") from error
        return [Entry(shown(name), folder / name, target) for name, target in pairs]

    def listings(self) -> tuple[Path, ...]:
        """Return the listing, if it is there."""
        listing = self.directory / "places365_val.txt"
        return (listing,) if listing.is_file() else ()


def _targets(table: Path, rows: list[dict[str, str]], columns: list[str], key: str) -> list[int]:
    """Return the class of each row."""
    try:
        if "target" in columns:
            return [int(row["target"]) for row in rows]
        if "diagnosis" in columns:
            names = sorted({row["diagnosis"] for row in rows})
            return [names.index(row["diagnosis"]) for row in rows]
        classes = [column for column in columns if column != key]
        return [int(np.argmax([float(row[column]) for column in classes])) for row in rows]
    # Text that is no number, a row that is too short, or no column at all beside the image's.
    except (ValueError, TypeError) as error:
        raise InputError(f"{shown(table)}: expected a column target or diagnosis, or one per class; {error}") from error
