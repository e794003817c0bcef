"""A run on disk: what was asked for, which images were chosen, and one Parquet file of records for each image done."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from captum_gag.errors import InputError, warn
from captum_gag.files import remove_abandoned, replace_file, without_directories
from captum_gag.runs.arrays import holds_arrays, read_arrays, save_arrays
from captum_gag.runs.collecting import state_of, together
from captum_gag.runs.columns import RECORD, SELECTION, records_in_pandas
from captum_gag.runs.config import Config
from captum_gag.runs.description import Description
from captum_gag.runs.identity import file_name
from captum_gag.runs.photographs import Photograph, decoded
from captum_gag.runs.tables import DamagedError, read_table, write_table

if TYPE_CHECKING:
    from torch import Tensor

ARRAYS = ("maps", "parts", "photographs")
"""What is kept of an image beside its records, if maps are: a directory each, with a file of arrays per image."""


class Run:
    """A directory: ``run.json``, ``selection.parquet``, ``scores``, perhaps ``maps``, ``parts`` and ``photographs``.

    An image is done when its file of scores is there, whole, and of the photograph and the run that are asked for now.
    Files come by renaming, so that whatever ends a run leaves none half written.
    """

    def __init__(self, directory: Path) -> None:
        """Open a run; see ``create`` and ``load``."""
        self.directory = directory
        self._path, self._selection = directory / "run.json", directory / "selection.parquet"
        self._collected = directory / ".scores.arrow"
        self._left_out = directory / "left_out.csv"

    @classmethod
    def create(cls, directory: Path, config: Config, identity: Mapping[str, str]) -> Run:
        """Begin a run, or open the one that is there, to go on with it.

        Nothing is written of a run that begins before its images are chosen: what fails till then leaves no directory.

        Args:
            directory: Made if missing.
            config: What is asked for. A run that is there may differ in what changes no number.
            identity: What the numbers depend on beside it; see ``identity.identity``.

        Raises:
            InputError: The directory holds a run of another config, or other files.
        """
        run = cls(directory)
        if run._path.exists():
            before = run._description
            run.go_on_with(config)
            if run._description != before:
                run._write(run._description)
        else:
            run._require_free()
            run._description = Description.of(config, identity)
        return run

    @classmethod
    def load(cls, directory: Path) -> Run:
        """Open a run that is there.

        Raises:
            InputError: There is none, or it cannot be read.
        """
        run = cls(directory)
        if not run._path.is_file():
            raise InputError(f"{directory}: holds no run; expected a directory that captum-gag run made, with run.json")
        _ = run.config
        return run

    def describe(self, config: Config, identity: Mapping[str, str]) -> None:
        """Write ``run.json``: the config, and what the numbers depend on beside it; records of another are no more."""
        self._write(Description.of(config, identity))

    def go_on_with(self, config: Config) -> None:
        """Take over what a config says that changes no number, this time.

        Raises:
            InputError: It would change one.
        """
        self._description = self._description.going_on(Description.of(config, self.identity), self.directory)

    def _write(self, description: Description) -> None:
        description.write(self._path)
        self._description = description

    def _claim(self) -> None:
        """Make the directory of a run that begins, unless another shard has meanwhile made it for the same run."""
        if not self._is_there():
            self._require_free()
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write(self._description)

    def _is_there(self) -> bool:
        """Tell whether the directory holds this run by now; refuse what it holds if that is another."""
        there = self._path.exists()
        if there:
            Description.read(self._path).going_on(self._description, self.directory)
        return there

    def _require_free(self) -> None:
        """Refuse a directory that holds something else."""
        there = self.directory.iterdir() if self.directory.exists() else ()
        # Another shard may be beginning the same run: its files, half written or just renamed, are no others.
        if any(not each.name.startswith(".") and each != self._path for each in there):
            raise InputError(f"{self.directory} is not empty and holds no run; give --out a new directory")

    @cached_property
    def _description(self) -> Description:
        """What ``run.json`` says, read once."""
        return Description.read(self._path)

    @property
    def config(self) -> Config:
        """What was asked for."""
        try:
            return Config(**self._description.config)
        except InputError as error:
            raise InputError(f"{self._path}: {error}") from error

    @property
    def identity(self) -> dict[str, str]:
        """What the numbers depend on beside the config and the photographs."""
        return dict(self._description.identity)

    @property
    def digest(self) -> str:
        """What marks the records of this run: they are of its config and of what that stood for."""
        return self._description.digest

    def select(self, chosen: pd.DataFrame) -> None:
        """Store which images were chosen, columns as in ``columns.SELECTION``; a run that begins gets its directory."""
        self._claim()
        write_table(self._selection, pa.Table.from_pandas(chosen, SELECTION, preserve_index=False))

    def chosen(self) -> pd.DataFrame:
        """Read which images were chosen: image, target, probability of the target, photo, stamp.

        Raises:
            InputError: None were chosen yet, or the file is damaged.
        """
        chosen = read_table(self._selection, SELECTION)
        if chosen is None:
            raise InputError(
                f"{self.directory}: no image is chosen yet; go on with: captum-gag resume {self.directory}"
            )
        return chosen.to_pandas()

    def has_selection(self) -> bool:
        """Tell whether images were chosen.

        Raises:
            InputError: The directory has become that of another run.
        """
        return self._is_there() and self._selection.exists()

    def tidy(self) -> None:
        """Remove what a process that was killed has left half written."""
        for each in (self.directory, *(self.directory / name for name in ("scores", *ARRAYS))):
            remove_abandoned(each)

    def leave_out(self, images: list[tuple[str, str, bool]]) -> None:
        """Store what is not among the images chosen: name, reason, and whether reading or judging it failed."""
        table = pd.DataFrame(images, columns=["image", "reason", "failed"])
        replace_file(self._left_out, lambda place: table.to_csv(place, index=False))

    def left_out(self) -> pd.DataFrame:
        """Read what is not among the images chosen: image, reason, failed; runs of earlier versions have none."""
        there = self._left_out.is_file()
        return pd.read_csv(self._left_out) if there else pd.DataFrame(columns=["image", "reason", "failed"])

    def forget_selection(self) -> None:
        """Let the images be chosen again; what is done of those that are chosen again stays."""
        self._selection.unlink(missing_ok=True)

    def is_done(self, image: str, photo: str, *, without_errors: bool = False) -> bool:
        """Tell whether an image has its records, whole, of this photograph and of this run, and any of them a score.

        Where every one failed, the image could not be read, or the model did not run: that may have been for a time.

        Args:
            image: Its name.
            photo: The digest of its files.
            without_errors: Whether no record may have failed.

        Raises:
            InputError: Its file cannot be read, or is damaged.
        """
        records = self._read(image, photo)
        failed = [] if records is None else [bool(error) for error in records["error"].to_pylist()]
        return bool(failed) and not (any(failed) if without_errors else all(failed))

    def _read(self, image: str, photo: str) -> pa.Table | None:
        return read_table(self._scores_of(image), RECORD, self._marks(photo))

    def _marks(self, photo: str | None = None) -> dict[str, str]:
        """Return what marks the files of an image: they are of this run, and of this photograph."""
        return {"run": self.digest} | ({} if photo is None else {"photo": photo})

    def progress(self) -> tuple[int, int]:
        """Return how many images are done, and how many were chosen.

        Raises:
            InputError: None were chosen yet, or what says which is damaged.
        """
        chosen = self.chosen()
        images = zip(chosen["image"], chosen["photo"], strict=True)
        return sum(self.records(*each) is not None for each in images), len(chosen)

    def keep(
        self,
        image: str,
        photo: str,
        rows: list[dict[str, Any]],
        arrays: Mapping[str, Mapping[str, NDArray[Any]]] = {},
    ) -> None:
        """Store the records of an image, after its arrays, so that an image that is done has them.

        Args:
            image: Its name.
            photo: The digest of its files.
            rows: Its records.
            arrays: By the names of ``ARRAYS``; maps, which may be none, say that the run keeps them.
        """
        marks = self._marks(photo)
        for what, by_name in arrays.items():
            if by_name or what == "maps":
                save_arrays(self._kept(what, image), by_name, marks)
        # Records are passed on, and where the files of an image lay says who had them.
        passed_on = [{**row, **marks, "error": without_directories(row.get("error"))} for row in rows]
        (self.directory / "scores").mkdir(exist_ok=True)
        write_table(self._scores_of(image), pa.Table.from_pylist(passed_on, RECORD), marks)

    def keeps(self, what: str) -> bool:
        """Tell whether there may be arrays of this kind, one of ``ARRAYS``, of any image."""
        return (self.directory / what).is_dir()

    def has_maps(self, image: str, photo: str | None = None) -> bool:
        """Tell whether maps of an image were kept by this run, in a file of its full length; of this photograph."""
        return holds_arrays(self._kept("maps", image), self._marks(photo))

    def maps(self, image: str) -> dict[str, Tensor]:
        """Read the maps (H, W) of an image by method; none if none were kept, or they are damaged, with a warning."""
        import torch

        return {name: torch.from_numpy(each) for name, each in self._arrays("maps", image).items()}

    def parts(self, image: str) -> dict[str, NDArray[Any]]:
        """Read what GAG's map of an image is made of; see ``guide_parts.quantised``. None is there of older runs."""
        return self._arrays("parts", image)

    def photograph(self, image: str) -> Photograph | None:
        """Read an image as the model saw it, with its mask; None if none was kept, as by older runs."""
        return decoded(self._arrays("photographs", image))

    def _arrays(self, what: str, image: str) -> dict[str, NDArray[Any]]:
        return read_arrays(self._kept(what, image), self._marks())

    def records(self, image: str, photo: str) -> pa.Table | None:
        """Read the records of an image, with the columns of ``columns.RECORD``; None while it is not done.

        Nor is it where they are damaged or of something else, until resume has computed them again.
        """
        try:
            return self._read(image, photo)
        except DamagedError:
            return None

    def scores(self, without: Collection[str] = ()) -> pd.DataFrame:
        """Read the records of all images done, in the order of the selection; columns as in ``columns.RECORD``.

        Curves are in one piece of memory (``pandas.ArrowDtype``); each is a list, or missing.

        Args:
            without: Columns that are left out.

        Raises:
            InputError: There are none.
        """
        chosen = self.chosen()
        images = list(zip(chosen["image"], chosen["photo"], strict=True))
        state = state_of([self.digest, *RECORD.names], ((photo, self._scores_of(image)) for image, photo in images))
        damaged: list[DamagedError] = []
        records = together(self._collected, state, self._whole(images, damaged), damaged, without)
        if damaged:
            more = f", and {len(damaged) - 1} more files" * (len(damaged) > 1)
            warn(f"{damaged[0]}{more}; left out until scored again by: captum-gag resume {self.directory}")
        if records is None:
            raise InputError(f"{self.directory}: no image is done yet; go on with: captum-gag resume {self.directory}")
        return records_in_pandas(records)

    def _whole(self, images: list[tuple[str, str]], damaged: list[DamagedError]) -> Iterator[pa.Table]:
        """Yield the records of those images that are done, and put down what is damaged of the others."""
        for image, photo in images:
            try:
                records = self._read(image, photo)
            except DamagedError as error:
                damaged.append(error)
            else:
                if records is not None:
                    yield records

    def _scores_of(self, image: str) -> Path:
        return self.directory / "scores" / f"{file_name(image)}.parquet"

    def _kept(self, what: str, image: str) -> Path:
        return self.directory / what / f"{file_name(image)}.safetensors"
