"""A run on disk: what was asked for, which images were chosen, and one Parquet file of scores for each image done."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from torch import Tensor

from captum_gag.data.datasets import Example, load_dataset
from captum_gag.errors import InputError
from captum_gag.models.loading import Classifier, load_classifier
from captum_gag.runs.files import replace_file
from captum_gag.runs.scorer import Row, Scorer
from captum_gag.runs.spec import Suite, make_suite

PACKAGES = ("captum-gag", "captum", "quantus", "torch", "torchvision", "numpy")
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Config:
    """What decides every number of a run, and nothing else.

    Attributes:
        suite (dict): As its TOML file says.
        model (str): See `load_classifier`.
        data (str): See `load_dataset`.
        weights (str, optional): Of the model.
        limit (int, optional): How many images at most, counted after the choice by confidence.
        confidence (float): Images with less than that in their true class are left out.
        seed (int): Of all noise.
        device (str): Where to compute.
        dtype (str): One of ``DTYPES``.
        threads (int): CPU threads of each worker: sums are rounded by how they are split.
        save_maps (bool): Keep the maps too.
    """

    suite: dict[str, Any]
    model: str
    data: str
    weights: str | None = None
    limit: int | None = None
    confidence: float = 0.0
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    threads: int = 1
    save_maps: bool = False

    def scorer(self) -> Scorer:
        """Loads the model and builds the metrics, on this process's own."""
        torch.set_num_threads(self.threads)
        return Scorer(self.classifier(self.device), self.made_suite(), self.seed, DTYPES[self.dtype])

    def classifier(self, device: str) -> Classifier:
        """Loads the model."""
        return load_classifier(self.model, None if self.weights is None else Path(self.weights), device)

    def made_suite(self) -> Suite:
        """Makes the suite."""
        return make_suite(self.suite)


class Run:
    """A directory with ``run.json``, ``selection.parquet``, ``scores/NNNNNN.parquet`` and perhaps ``maps/``.

    An image is done when its file of scores is there. Files come by renaming, so that whatever ends a run leaves none
    half written, and no image is ever scored twice into one table.
    """

    def __init__(self, directory: Path) -> None:
        """Open a run; see ``create`` and ``load``."""
        self.directory = directory

    @classmethod
    def create(cls, directory: Path, config: Config) -> Run:
        """Begin a run, or open the one that is there if it was begun with the same config.

        Raises:
            InputError: The directory holds a run of another config, or other files.
        """
        run = cls(directory)
        if run._description.exists():
            different = [name for name, value in asdict(run.config).items() if value != asdict(config)[name]]
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
        run._write_text(run._description, json.dumps({**asdict(config), "versions": versions()}, indent=1))
        return run

    @classmethod
    def load(cls, directory: Path) -> Run:
        """Open a run that is there.

        Raises:
            InputError: There is none.
        """
        run = cls(directory)
        if not run._description.is_file():
            raise InputError(f"{directory}: holds no run; expected a directory that captum-gag run made, with run.json")
        return run

    @property
    def config(self) -> Config:
        """What was asked for."""
        stored = json.loads(self._description.read_text(encoding="utf-8"))
        stored.pop("versions")
        return Config(**stored)

    def selection(self, scorer: Scorer, say: Callable[[str], None]) -> list[tuple[int, Example]]:
        """Choose the images by confidence and limit, or read what was chosen before; store it."""
        path = self.directory / "selection.parquet"
        if not path.exists():
            say("choosing images")
            examples = load_dataset(self.config.data)
            chosen = choose(examples, scorer, self.config)
            if not chosen:
                raise InputError(f"no image of {self.config.data} has a confidence above {self.config.confidence:g}")
            table = pd.DataFrame(
                [{"index": index, "image": examples[index].name, "probability": found} for index, found in chosen]
            )
            replace_file(path, lambda place: table.to_parquet(place, index=False))
        return self.selected()

    def chosen(self) -> pd.DataFrame:
        """Read which images were chosen: index in the data set, image, probability of the true class.

        Raises:
            InputError: None were chosen yet.
        """
        path = self.directory / "selection.parquet"
        if not path.exists():
            raise InputError(
                f"{self.directory}: no image is chosen yet; go on with: captum-gag resume {self.directory}"
            )
        return pd.read_parquet(path)

    def selected(self) -> list[tuple[int, Example]]:
        """Give the images that were chosen, by their index in the data set.

        Raises:
            InputError: None were chosen yet, or the data set cannot be read or is another one than it was.
        """
        stored, examples = self.chosen(), load_dataset(self.config.data)
        here = {index: example.name for index, example in enumerate(examples)}
        gone = [name for index, name in zip(stored["index"], stored["image"], strict=True) if here.get(index) != name]
        if gone:
            raise InputError(f"{self.config.data}: has changed since the run began; {gone[0]} is not where it was")
        return [(int(index), examples[index]) for index in stored["index"]]

    def is_done(self, index: int) -> bool:
        """Tell whether the image of this index has its scores."""
        return self._scores_of(index).exists()

    def keep(self, index: int, rows: list[Row], maps: dict[str, Tensor]) -> None:
        """Store the scores of an image, and its maps if so configured."""
        if self.config.save_maps and maps:
            (self.directory / "maps").mkdir(exist_ok=True)
            whole = {name: each.contiguous() for name, each in maps.items()}
            replace_file(self._maps_of(index), lambda place: safetensors.torch.save_file(whole, place))
        used = ", ".join(f"{name} {number}" for name, number in versions().items())
        table = pd.DataFrame(rows).assign(versions=used)
        (self.directory / "scores").mkdir(exist_ok=True)
        replace_file(self._scores_of(index), lambda place: table.to_parquet(place, index=False))

    def maps(self, index: int) -> dict[str, Tensor]:
        """Read the maps (H, W) of an image by method; none if none were kept."""
        path = self._maps_of(index)
        return safetensors.torch.load_file(path) if path.exists() else {}

    def scores(self) -> pd.DataFrame:
        """Read the scores of all images done, in the order of the data set.

        Raises:
            InputError: There are none.
        """
        files = sorted((self.directory / "scores").glob("*.parquet"))
        if not files:
            raise InputError(f"{self.directory}: no image is done yet; go on with: captum-gag resume {self.directory}")
        return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)

    @property
    def _description(self) -> Path:
        return self.directory / "run.json"

    def _scores_of(self, index: int) -> Path:
        return self.directory / "scores" / f"{index:06d}.parquet"

    def _maps_of(self, index: int) -> Path:
        return self.directory / "maps" / f"{index:06d}.safetensors"

    def _write_text(self, path: Path, text: str) -> None:
        replace_file(path, lambda place: place.write_text(text, encoding="utf-8"))


def choose(examples: Sequence[Example], scorer: Scorer, config: Config) -> list[tuple[int, float]]:
    """Gives (index, probability of the true class) of the images that are confident enough, ``limit`` at most.

    Without a threshold every image is taken, unread, and its probability is NaN. A file that cannot be read, or has no
    known class, is not confident.
    """
    limit = len(examples) if config.limit is None else config.limit
    if config.confidence <= 0:
        return [(index, float("nan")) for index in range(min(limit, len(examples)))]
    chosen: list[tuple[int, float]] = []
    for index, example in enumerate(examples):
        if len(chosen) >= limit:
            break
        probability = scorer.confidence(example)
        if probability > config.confidence:
            chosen.append((index, probability))
    return chosen


@cache
def versions() -> dict[str, str]:
    """Tells the versions of all packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
