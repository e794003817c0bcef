"""Data sets whose photographs and classes stand in a table: ISIC and Places365."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

from captum_gag.data.csv_files import by_column, read_rows, whole
from captum_gag.data.folders import SUFFIXES, Entry, FileData, folders_in, images_in
from captum_gag.data.images import shown
from captum_gag.data.isic_labels import KEYS, Labels, key_of, labels_of
from captum_gag.errors import InputError
from captum_gag.options import declared, option

MASKS = ("mask", "segmentation", "groundtruth")
"""What names of folders of segmentations have in them."""


class Table(NamedTuple):
    """A table that says which image is of which class.

    Attributes:
        path: The file.
        names: Of the images, by row.
        labels: The class of each row.
        groups: Which rows depend on each other, such as those of one patient: the column ``group``, or "" for each.
    """

    path: Path
    names: list[str]
    labels: Labels
    groups: list[str]


@declared
class ISIC(FileData):
    """ISIC's images by a CSV: a column of numbers (target) or of names (diagnosis, dx), or a column per class."""

    table: str | None = option(
        default=None,
        help="The CSV, as a path from root; None takes the only one that has classes of the images.",
        kw_only=True,
    )
    column: str | None = option(
        default=None, help="The column of the class, with numbers or names; None looks for one.", kw_only=True
    )
    classes: tuple[str, ...] | None = option(
        default=None,
        help="Names of the classes in the model's order; None takes the alphabet's, or that of the columns.",
        kw_only=True,
    )

    type: ClassVar[str] = "isic"

    def list_entries(self) -> list[Entry]:
        """List the rows of the table."""
        if not self.photos or not self.candidates():
            raise self.wrong_layout(
                "train.csv", "images/ISIC_0000000.jpg", "masks/ISIC_0000000_segmentation.png (Task 1)"
            )
        _, names, (targets, _), groups = self.found
        missing = next(iter(self.photos.values())).parent
        masks = _by_stem(_mask_files(self.directory), "segmentations")
        return [
            Entry(
                shown(name),
                self.photos.get(_stem(name), missing / f"{_stem(name)}.jpg"),
                target,
                next((masks[each] for each in (f"{_stem(name)}_segmentation", _stem(name)) if each in masks), None),
                group,
            )
            for name, target, group in zip(names, targets, groups, strict=True)
        ]

    @cached_property
    def photos(self) -> dict[str, Path]:
        """The image files by name, of the first of images, train, the root and all other folders that has some."""
        root = self.directory
        places = [[root / "images"], [root / "train"], [root]]
        others = [folder for folder in folders_in(root) if not any(word in folder.name.lower() for word in MASKS)]
        for folders in [*places, others]:
            files = [file for folder in folders if folder.is_dir() for file in images_in(folder)]
            found = [file for file in files if not file.stem.lower().endswith(("_segmentation", "_superpixels"))]
            if found:
                return _by_stem(found, "images")
        return {}

    @cached_property
    def found(self) -> Table:
        """The table that says which class each image is of.

        Raises:
            InputError: There is none, or there are several.
        """
        fitting, reasons = [], []
        for path in self.candidates():
            try:
                fitting.append(self.read_table(path))
            except InputError as error:
                reasons.append(str(error))
        if len(fitting) > 1:
            named = ", ".join(shown(each.path.relative_to(self.directory)) for each in fitting)
            raise InputError(f"{self}: {named} all have classes of the images; choose one by the option table")
        if not fitting:
            raise InputError("; ".join(reasons))
        return fitting[0]

    def read_table(self, path: Path) -> Table:
        """Read a table, if it has classes of the images that are here.

        Raises:
            InputError: It has none.
        """
        rows = read_rows(path)
        # ISIC 2016's has no header: ISIC_0000000,benign.
        if rows and len(rows[0]) == 2 and (rows[0][0].startswith("ISIC_") or _stem(rows[0][0]) in self.photos):
            rows.insert(0, ["image", "benign_malignant"])
        columns = by_column(rows, path)
        key = key_of(columns)
        if key is None:
            raise InputError(
                f"{shown(path)}: has no column {', '.join(KEYS[:-1])} or {KEYS[-1]}; found {list(columns)}"
            )
        names = columns[key]
        if "" in names:
            raise InputError(f"{shown(path)}: has {names.count('')} rows without {key}; remove them")
        if names and not any(_stem(name) in self.photos for name in names):
            raise InputError(
                f"{shown(path)}: lists none of the images that are here; its first is {shown(names[0])!r}, a file "
                f"{next(iter(self.photos.values())).name}"
            )
        try:
            groups = columns.get("group", [""] * len(names))
            return Table(path, names, labels_of(columns, self.column, self.classes), groups)
        except InputError as error:
            raise InputError(f"{shown(path)}: {error}") from error

    def candidates(self) -> list[Path]:
        """Return the tables that may have the classes: of the root, and of its folders of ground truth."""
        if self.table is not None:
            return [self.directory / self.table]
        folders = [folder for folder in folders_in(self.directory) if "groundtruth" in folder.name.lower()]
        found = sorted(file for folder in (self.directory, *folders) for file in folder.glob("*.csv"))
        # What Kaggle hands out as an example has a column of classes, all of them 0.
        return [file for file in found if not file.name.startswith(".") and "submission" not in file.name.lower()]

    @property
    def numbered_by_order(self) -> int | None:
        """How many classes were numbered by the order of their names or columns; None if the table has numbers."""
        return None if self.classes is not None else len(self.found.labels.names) or None

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes: those of the option classes, or of the table."""
        return dict(enumerate(map(shown, self.classes or self.found.labels.names)))

    def listings(self) -> tuple[Path, ...]:
        """Return the table."""
        return (self.found.path,)


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
        lines = listing.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
        pairs = [_place(line, listing) for line in lines if line.strip()]
        return [Entry(shown(name), folder / name, target) for name, target in pairs]

    def listings(self) -> tuple[Path, ...]:
        """Return the listing, if it is there."""
        listing = self.directory / "places365_val.txt"
        return (listing,) if listing.is_file() else ()


def _place(line: str, listing: Path) -> tuple[str, int]:
    """Return file and class of a line of Places365's list; a slash at its beginning is the folder's."""
    name, *rest = line.strip().rsplit(maxsplit=1)
    target = whole(rest[0]) if rest else None
    if target is None or target < 0:
        raise InputError(
            f"{shown(listing)}: expected a file and its class in each line; found {shown(line.strip())!r} (the list of "
            "the test images has no classes)"
        )
    return name.lstrip("/"), target


def _stem(name: str) -> str:
    """Return the name of an image without its suffix; other dots belong to the name."""
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _mask_files(root: Path) -> list[Path]:
    """List the images that may be segmentations."""
    folders = [folder for folder in folders_in(root) if any(word in folder.name.lower() for word in MASKS)]
    return [file for folder in folders for file in images_in(folder)]


def _by_stem(files: Iterable[Path], what: str) -> dict[str, Path]:
    """Return files by name, without suffix, ``_Segmentation`` being ``_segmentation``.

    Raises:
        InputError: Two have the same.
    """
    found: dict[str, Path] = {}
    for file in files:
        stem = file.stem[: -len("_segmentation")] + "_segmentation" if _is_segmentation(file) else file.stem
        if stem in found:
            raise InputError(f"{shown(file)} and {shown(found[stem])} are two {what} of one name; leave one of them")
        found[stem] = file
    return found


def _is_segmentation(file: Path) -> bool:
    return file.stem.lower().endswith("_segmentation")
