"""A run on disk: what was asked for, which images were chosen, and one Parquet file of records for each image done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
import torch
from numpy.typing import NDArray

from captum_gag.errors import InputError, first_line
from captum_gag.files import replace_file
from captum_gag.runs.collecting import state_of, together
from captum_gag.runs.config import Config
from captum_gag.runs.identity import digest

SCHEMA_VERSION = 2

RECORD = pa.schema(
    [
        ("image", pa.string()),
        ("target", pa.int64()),
        ("probability", pa.float64()),
        ("method", pa.string()),
        ("base", pa.string()),
        ("transform", pa.string()),
        ("strength", pa.float64()),
        ("control", pa.string()),
        ("metric", pa.string()),
        ("variant", pa.string()),
        ("steps", pa.int64()),
        ("higher_is_better", pa.bool_()),
        ("uses_segmentation", pa.bool_()),
        ("score", pa.float64()),
        ("error", pa.string()),
        ("seconds", pa.float64()),
        ("seed", pa.int64()),
        ("curve_x", pa.list_(pa.float64())),
        ("curve_y", pa.list_(pa.float64())),
        ("curve_x_label", pa.string()),
        ("curve_y_label", pa.string()),
        ("photo", pa.string()),
        ("run", pa.string()),
    ]
)
"""The columns of every file of records, whether a column has values or not."""

SELECTION = pa.schema(
    [
        ("image", pa.string()),
        ("target", pa.int64()),
        ("probability", pa.float64()),
        ("photo", pa.string()),
        ("stamp", pa.string()),
    ]
)
"""The images of a run: ``photo`` is the digest of its files, ``stamp`` tells cheaply that they may have changed."""


class Run:
    """A directory with ``run.json``, ``selection.parquet``, ``scores/*.parquet`` and perhaps ``maps/*.safetensors``.

    An image is done when its file of scores is there, whole, and of the photograph and the run that are asked for now.
    Files come by renaming, so that whatever ends a run leaves none half written.
    """

    def __init__(self, directory: Path) -> None:
        """Open a run; see ``create`` and ``load``."""
        self.directory = directory

    @classmethod
    def create(cls, directory: Path, config: Config, identity: Mapping[str, str]) -> Run:
        """Begin a run, or open the one that is there if it was begun with the same config.

        Args:
            directory: Made if missing.
            config: What is asked for.
            identity: What the numbers depend on beside it; see ``identity.identity``.

        Raises:
            InputError: The directory holds a run of another config, or other files.
        """
        run = cls(directory)
        if run._description.exists():
            before, now = (json.loads(json.dumps(asdict(each), default=str)) for each in (run.config, config))
            different = [name for name, value in before.items() if value != now[name]]
            if different:
                raise InputError(
                    f"{directory} holds a run with another {', '.join(different)}; give --out another directory, "
                    "or go on with the old one: captum-gag resume"
                )
            return run
        directory.mkdir(parents=True, exist_ok=True)
        # Another shard may be beginning the same run: its files, half written or just renamed, are no others.
        if any(not each.name.startswith(".") and each != run._description for each in directory.iterdir()):
            raise InputError(f"{directory} is not empty and holds no run; give --out a new directory")
        run.describe(config, identity)
        return run

    @classmethod
    def load(cls, directory: Path) -> Run:
        """Open a run that is there.

        Raises:
            InputError: There is none, or it cannot be read.
        """
        run = cls(directory)
        if not run._description.is_file():
            raise InputError(f"{directory}: holds no run; expected a directory that captum-gag run made, with run.json")
        _ = run.config
        return run

    def describe(self, config: Config, identity: Mapping[str, str]) -> None:
        """Write ``run.json``: the config, and what the numbers depend on beside it."""
        said = {"schema": SCHEMA_VERSION, "config": asdict(config), "identity": dict(identity)}
        # A date in a suite is text here.
        text = json.dumps(said, indent=1, default=str)
        replace_file(self._description, lambda place: place.write_text(text, encoding="utf-8"))
        for known in ("_stored", "digest"):
            self.__dict__.pop(known, None)

    @cached_property
    def _stored(self) -> dict[str, Any]:
        """What ``run.json`` says, read once."""
        path = self._description
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: is damaged ({first_line(error)}); run it again with another --out") from error
        found = stored.get("schema", 1) if isinstance(stored, dict) else None
        if found != SCHEMA_VERSION:
            raise InputError(
                f"{path}: was written with schema {found}, this version of captum-gag reads {SCHEMA_VERSION}; "
                "read it with the version that wrote it, or run it again with another --out"
            )
        if not isinstance(stored.get("config"), dict) or not isinstance(stored.get("identity"), dict):
            raise InputError(f"{path}: is damaged (no config, no identity); run it again with another --out")
        return dict(stored)

    @property
    def config(self) -> Config:
        """What was asked for."""
        stored = self._stored["config"]
        try:
            return Config(**stored)
        except InputError as error:
            raise InputError(f"{self._description}: {error}") from error

    @property
    def identity(self) -> dict[str, str]:
        """What the numbers depend on beside the config and the photographs."""
        return dict(self._stored["identity"])

    @cached_property
    def digest(self) -> str:
        """What marks the records of this run: they are of its config and of what that stood for."""
        return digest([self._stored["config"], self._stored["identity"]])[:16]

    def select(self, chosen: pd.DataFrame) -> None:
        """Store which images were chosen; columns as in ``SELECTION``."""
        table = pa.Table.from_pandas(chosen, SELECTION, preserve_index=False)
        replace_file(self._selection, lambda place: pq.write_table(table, place))

    def chosen(self) -> pd.DataFrame:
        """Read which images were chosen: image, target, probability of the target, photo, stamp.

        Raises:
            InputError: None were chosen yet, or the file is damaged.
        """
        if not self._selection.exists():
            raise InputError(
                f"{self.directory}: no image is chosen yet; go on with: captum-gag resume {self.directory}"
            )
        try:
            return pq.read_table(self._selection, schema=SELECTION).to_pandas()
        # pyarrow meets broken bytes with many exceptions.
        except Exception as error:
            raise DamagedError(f"{self._selection}: is damaged ({first_line(error)})") from error

    def has_selection(self) -> bool:
        """Tell whether images were chosen."""
        return self._selection.exists()

    def forget_selection(self) -> None:
        """Let the images be chosen again; what is done of those that are chosen again stays."""
        self._selection.unlink(missing_ok=True)

    def is_done(self, image: str, photo: str) -> bool:
        """Tell whether an image has its records, whole, of this photograph and of this run.

        Raises:
            DamagedError: Its file cannot be read.
        """
        path = self._scores_of(image)
        if not path.exists():
            return False
        try:
            found = pq.read_metadata(path)
        except Exception as error:
            raise DamagedError(f"{path}: is damaged ({first_line(error)})") from error
        return self._is_of(found, photo)

    def _is_of(self, found: pq.FileMetaData, photo: str) -> bool:
        """Tell whether a file of records, by what is said in it, is of this photograph and of this run."""
        marks = found.metadata or {}
        return (marks.get(b"run"), marks.get(b"photo")) == (self.digest.encode(), photo.encode())

    def keep(self, image: str, photo: str, rows: list[dict[str, Any]], maps: Mapping[str, NDArray[Any]]) -> None:
        """Store the records of an image, and its maps (H, W) if there are any."""
        if maps:
            (self.directory / "maps").mkdir(exist_ok=True)
            whole = {name: np.ascontiguousarray(each) for name, each in maps.items()}
            replace_file(self._maps_of(image), lambda place: safetensors.numpy.save_file(whole, place))
        marks = {"photo": photo, "run": self.digest}
        table = pa.Table.from_pylist([{**row, **marks} for row in rows], RECORD.with_metadata(marks))
        (self.directory / "scores").mkdir(exist_ok=True)
        replace_file(self._scores_of(image), lambda place: pq.write_table(table, place))

    def maps(self, image: str) -> dict[str, torch.Tensor]:
        """Read the maps (H, W) of an image by method; none if none were kept, or they are damaged."""
        path = self._maps_of(image)
        try:
            found = safetensors.numpy.load_file(path) if path.exists() else {}
        except Exception:
            return {}
        return {name: torch.from_numpy(each) for name, each in found.items()}

    def records(self, image: str, photo: str) -> pa.Table | None:
        """Read the records of an image, with the columns of ``RECORD``; None while it is not done.

        Nor is it where they are damaged or of something else, until resume has computed them again.
        """
        try:
            # A run may have ten thousand of them: each is opened once, and is too small to be worth several threads.
            with pq.ParquetFile(self._scores_of(image)) as file:
                if not self._is_of(file.metadata, photo):
                    return None
                table = file.read(use_threads=False).replace_schema_metadata()
                if table.schema == RECORD:
                    return table
                # Other versions write fewer columns, or more.
                whole = pa.concat_tables([RECORD.empty_table(), table], promote_options="permissive")
                return whole.select(RECORD.names).cast(RECORD)
        except (pa.ArrowException, OSError):
            return None

    def scores(self) -> pd.DataFrame:
        """Read the records of all images done, in the order of the selection; columns as in ``RECORD``.

        Raises:
            InputError: There are none.
        """
        chosen = self.chosen()
        images = list(zip(chosen["image"], chosen["photo"], strict=True))
        state = state_of([self.digest, *RECORD.names], ((photo, self._scores_of(image)) for image, photo in images))
        records = together(self._collected, state, (self.records(*each) for each in images))
        if records is None:
            raise InputError(f"{self.directory}: no image is done yet; go on with: captum-gag resume {self.directory}")
        scores = records.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        return scores.astype({"target": "Int64", "steps": "Int64"})

    @property
    def _description(self) -> Path:
        return self.directory / "run.json"

    @property
    def _selection(self) -> Path:
        return self.directory / "selection.parquet"

    @property
    def _collected(self) -> Path:
        return self.directory / ".scores.arrow"

    def _scores_of(self, image: str) -> Path:
        return self.directory / "scores" / f"{_file_name(image)}.parquet"

    def _maps_of(self, image: str) -> Path:
        return self.directory / "maps" / f"{_file_name(image)}.safetensors"


class DamagedError(InputError):
    """A file of a run is there but cannot be read."""


def _file_name(image: str) -> str:
    """Return a file name for an image: names may hold slashes, or be longer than a file system takes."""
    return hashlib.sha256(image.encode()).hexdigest()[:20]
