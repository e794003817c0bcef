"""Mosaics of photographs of different classes: where the explained one lies is its segmentation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from typing_extensions import Self

from captum_gag.data.csv_files import by_column, read_rows
from captum_gag.data.datasets import Example, ImageData, StoredData
from captum_gag.data.folders import FileData, ImageFolder
from captum_gag.data.imagenet_s import ImageNetS
from captum_gag.data.images import shown
from captum_gag.data.tables import ISIC, Places365
from captum_gag.errors import InputError, first_line
from captum_gag.options import declared, option, unknown

PHOTOGRAPHS: dict[str, type[FileData]] = {each.type: each for each in (ImageFolder, ImageNetS, ISIC, Places365)}
"""The data sets that mosaics are made of: they know each photograph's class without reading it."""


class Tiles(NamedTuple):
    """What a mosaic is made of.

    Attributes:
        photographs: The index of each photograph in the data set of photographs, row by row.
        explained: Which of them is explained: its place in ``photographs``.
        target: The class of that one.
    """

    photographs: tuple[int, ...]
    explained: int
    target: int


@declared
class Mosaic(StoredData):
    """Mosaics of 2 x 2 photographs of different classes, for maps to point at the one whose class is explained.

    The segmentation of the explained class is its quadrant: the grid pointing game of Böhle et al. (2021), on
    photographs of which no more is known than their class. Each photograph is explained once: example i is photograph
    i, in a place that the seed draws by the photograph's name, among photographs of other classes, each class as
    likely as any other and in it each photograph. The next one in reading order is the distractor.
    """

    of: str | dict[str, Any] = option(
        default=ImageFolder.type,
        help="What root holds: folder, imagenet-s, isic or places365, or a table of that as type and its options.",
        kw_only=True,
    )
    chosen: str | Path | None = option(
        default=None,
        help="The photographs to take: a CSV or a Parquet file with their names in the column image, such as the "
        "selection.parquet of a run, which holds those of its confidence; None takes all.",
        kw_only=True,
    )
    seed: int = option(default=0, help="Draws the places and the other photographs.", ge=0, kw_only=True)
    side: int = option(default=2, help="Photographs per row and per column.", ge=2, le=8, kw_only=True)
    tile: int = option(
        default=224,
        help="Side in pixels of each photograph in the mosaic: it is resized and its centre is cropped.",
        ge=1,
        kw_only=True,
    )

    type: ClassVar[str] = "mosaic"
    paths: ClassVar[tuple[str, ...]] = ("root", "chosen")

    @cached_property
    def source(self) -> FileData:
        """The data set of the photographs."""
        spec: Mapping[str, Any] = {"type": self.of} if isinstance(self.of, str) else self.of
        type = str(spec.get("type", ""))
        if type not in PHOTOGRAPHS:
            raise unknown("type of photographs", type, PHOTOGRAPHS)
        return PHOTOGRAPHS[type](**{name: value for name, value in spec.items() if name != "type"}, root=self.root)

    @cached_property
    def targets(self) -> dict[int, int]:
        """The class of each photograph that is taken, by its index in the data set of photographs.

        Raises:
            InputError: One that is chosen is not there, or its class is not known.
        """
        source = self.source
        chosen = set(source.names) if self.chosen is None else set(read_chosen(Path(self.chosen)))
        missing = sorted(chosen - set(source.names))
        if missing:
            raise InputError(
                f"{shown(self.chosen or '')}: lists {missing[0]!r}, which is not among the photographs of {source}; "
                f"expected names such as {source.names[0]!r}"
            )
        found = {}
        for index, name in enumerate(source.names):
            target = source.listed_target(index)
            if name in chosen and target is None:
                raise InputError(
                    f"{self}: the class of {name} is not known; mosaics need photographs of known classes, such as a "
                    "folder per class"
                )
            if name in chosen and target is not None:
                found[index] = target
        return found

    @cached_property
    def by_class(self) -> dict[int, list[int]]:
        """The photographs of each class, both sorted: nothing depends on the order in which files are found.

        Raises:
            InputError: There are fewer classes than photographs in a mosaic.
        """
        found: dict[int, list[int]] = {}
        for index, target in sorted(self.targets.items(), key=lambda each: self.source.names[each[0]]):
            found.setdefault(target, []).append(index)
        if len(found) < self.side**2:
            raise InputError(
                f"{self}: the photographs are of {len(found)} classes; a mosaic of {self.side} x {self.side} needs "
                f"photographs of {self.side**2}"
            )
        return {target: found[target] for target in sorted(found)}

    @cached_property
    def mosaics(self) -> list[Tiles]:
        """What each mosaic is made of."""
        return [self._draw(index, target) for index, target in self.targets.items()]

    def list_names(self) -> Sequence[str]:
        """Name each mosaic by the photograph that is explained, its place, and the others."""
        return [self._name(tiles) for tiles in self.mosaics]

    def __getitem__(self, index: int) -> Example:
        """Return a mosaic, whose photographs are read when asked for."""
        tiles = self.mosaics[index]
        beside = tiles._replace(explained=(tiles.explained + 1) % self.side**2)
        return Example(
            self.names[index],
            partial(self._photo, tiles),
            tiles.target,
            partial(self._mask, tiles),
            partial(self._mask, beside),
        )

    def listed_target(self, index: int) -> int | None:
        """Return the class of the explained photograph."""
        return self.mosaics[index].target

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files of all photographs of a mosaic, row by row."""
        return tuple(self.source.entries[each].photo for each in self.mosaics[index].photographs)

    def listings(self) -> tuple[Path, ...]:
        """Return what says which class is which, and the table of the chosen photographs."""
        return (*self.source.listings(), *([] if self.chosen is None else [Path(self.chosen)]))

    @property
    def numbered_by_order(self) -> int | None:
        """How many classes the photographs' data set numbered by the order of their names."""
        return self.source.numbered_by_order

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes of the photographs' data set."""
        return self.source.class_names

    def train(self) -> ImageData:
        """Return the training images of the photographs' data set."""
        return self.source.train()

    def absolute(self) -> Self:
        """Return the same data set by absolute paths, those of the photographs' data set too."""
        found = super().absolute()
        if isinstance(self.of, str):
            return found
        of = {name: value for name, value in self.source.absolute().spec().items() if name != "root"}
        return type(self)(**found.options() | {"of": of})

    def _draw(self, index: int, target: int) -> Tiles:
        """Draw where a photograph lies, and what lies around it."""
        key = np.frombuffer(hashlib.sha256(self.source.names[index].encode()).digest(), np.uint32)
        generator = np.random.default_rng([self.seed, *key.tolist()])
        classes = [each for each in self.by_class if each != target]
        place = int(generator.integers(self.side**2))
        drawn = generator.choice(classes, self.side**2 - 1, replace=False)
        around = [int(generator.choice(self.by_class[int(each)])) for each in drawn]
        return Tiles((*around[:place], index, *around[place:]), place, target)

    def _name(self, tiles: Tiles) -> str:
        names = [self.source.names[each] for each in tiles.photographs]
        row, column = divmod(tiles.explained, self.side)
        others = [name for place, name in enumerate(names) if place != tiles.explained]
        return f"{names[tiles.explained]} in row {row + 1}, column {column + 1}, with {', '.join(others)}"

    def _photo(self, tiles: Tiles) -> Image.Image:
        """Put the photographs together: mode RGB, ``side`` times ``tile`` pixels high and wide."""
        whole = Image.new("RGB", (self.side * self.tile,) * 2)
        for place, index in enumerate(tiles.photographs):
            photo = self.source[index].photo()
            whole.paste(ImageOps.fit(photo, (self.tile,) * 2, Image.Resampling.BILINEAR), self._corner(place))
        return whole

    def _mask(self, tiles: Tiles) -> Image.Image:
        """Draw where the explained photograph lies: mode L, 255 there and 0 elsewhere."""
        mask = Image.new("L", (self.side * self.tile,) * 2)
        x, y = self._corner(tiles.explained)
        mask.paste(255, (x, y, x + self.tile, y + self.tile))
        return mask

    def _corner(self, place: int) -> tuple[int, int]:
        """Return x and y of the upper left corner of a place."""
        row, column = divmod(place, self.side)
        return column * self.tile, row * self.tile


def read_chosen(path: Path) -> list[str]:
    """Return the names that a table has in its column image.

    Args:
        path: A ``.parquet`` file, or a CSV separated by commas, semicolons or tabs.

    Raises:
        InputError: It cannot be read, or has no such column.
    """
    if path.suffix.lower() == ".parquet":
        import pandas as pd

        try:
            columns = pd.read_parquet(path).to_dict("list")
        # pyarrow meets broken bytes with many exceptions.
        except Exception as error:
            raise InputError(f"{shown(path)}: cannot be read as a table: {first_line(error)}") from error
    else:
        columns = by_column(read_rows(path), path)
    if "image" not in columns:
        raise InputError(f"{shown(path)}: has the columns {', '.join(map(str, columns))}; expected image among them")
    return [str(name) for name in columns["image"]]
