"""What a tiny run is of, which may change: photographs, weights, versions; and what an uninterrupted run says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scoring import config_of
from tiny import net, write_image

from captum_gag.runs import identity
from captum_gag.runs.config import Config
from captum_gag.runs.executors import Bench

SUITE = {"methods": ["GAG-85", "Sobel"], "metrics": {"RCAP": {}}, "n_samples": 2}
FIRST = ["a/0.png", "b/0.png", "c/0.png"]
SAID = ["image", "target", "method", "metric", "score", "error", "curve_y"]

Known = tuple[tuple[str, int], ...]
"""Images of one chunk, and the seeds of what they show."""

Rows = list[dict[str, Any]]


class Surroundings:
    """A folder of photographs, a file of weights, and a version of torch."""

    def __init__(self, place: Path) -> None:
        """Make the first photographs and weights in a directory; the run is to be beside them."""
        self.place, self.directory = place, place / "run"
        self.photos: dict[str, int] = {}
        self.weights, self.version = 0, "1"
        for number, name in enumerate(FIRST):
            self.take(name, number)
        self.train(0)

    def take(self, name: str, seed: int) -> None:
        """Put a photograph into the folder, perhaps in place of another."""
        write_image(self.place / "data" / name, seed)
        self.photos[name] = seed

    def lose(self, name: str) -> None:
        """Take one out."""
        (self.place / "data" / name).unlink(missing_ok=True)
        self.photos.pop(name, None)

    def train(self, weights: int) -> None:
        """Let the model have other weights."""
        self.weights = weights
        changed = {name: value + 0.1 * weights for name, value in net().state_dict().items()}
        torch.save(changed, self.place / "weights.pth")

    def config(self, **options: Any) -> Config:
        """Return what is asked of a run."""
        model = {"type": "tiny:model", "weights": str(self.place / "weights.pth")}
        data = {"type": "folder", "root": str(self.place / "data")}
        return config_of(
            **{"suite": SUITE, "model": model, "data": data, "batch_size": 2, "save_maps": True, **options}
        )

    def installed(self) -> Any:
        """Return a context in which torch has its version."""
        versions = {**identity.versions(), "torch": self.version}
        return patch.multiple(identity, versions=lambda: versions)


Scored = tuple[Rows, dict[str, NDArray[np.float32]]]

_SCORED: dict[tuple[int, Known], dict[str, Scored]] = {}


def scored(weights: int, chunk: Known) -> Mapping[str, Scored]:
    """Return what an uninterrupted run says of each image of a chunk: records, and maps."""
    if (weights, chunk) not in _SCORED:
        with TemporaryDirectory() as place:
            other = Surroundings(Path(place))
            other.train(weights)
            for name, seed in chunk:
                other.take(name, seed)
            found = Bench.open(other.config()).do(tuple(name for name, _ in chunk))
        _SCORED[weights, chunk] = {
            each.image: (rows_of(pd.DataFrame(each.rows)), each.arrays["maps"]) for each in found
        }
    return _SCORED[weights, chunk]


def rows_of(found: pd.DataFrame) -> Rows:
    """Return the numbers of an image, and of what they are."""
    rows = found[SAID].sort_values(["method", "metric"]).to_dict("records")
    return [{**row, "curve_y": [float(each) for each in row["curve_y"]]} for row in rows]


def chunks_of(photos: Mapping[str, int]) -> list[Known]:
    """Return what a run over photographs scores at once."""
    images = tuple(sorted(photos.items()))
    return [images[start : start + 2] for start in range(0, len(images), 2)]


def one_line(error: Exception) -> str:
    """Return what an error says, which must be one line."""
    text = str(error)
    assert text
    assert "\n" not in text
    return text
