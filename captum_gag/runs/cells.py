"""What comes out for one image: a cell for each method and metric, and the records that they are written as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from captum_gag.attr import saliency_map
from captum_gag.metrics.readings import Reading
from captum_gag.runs.spec import MetricEntry

Row = dict[str, Any]


class Cell(NamedTuple):
    """One method by one metric, of one image.

    Attributes:
        method: The method's label.
        entry: The metric.
        reading: What the metric read; None where it failed.
        seconds: What it cost: the map, and its part of the metric.
        error: Why it failed; "" if it did not.
    """

    method: str
    entry: MetricEntry
    reading: Reading | None
    seconds: float
    error: str = ""


@dataclass
class Outcome:
    """What came out for one example.

    Attributes:
        rows: The records, one per method, metric, variant and number of steps.
        attributions: By the method's label, as the methods gave them, (1, C, H, W); without those that failed.
        inputs: What the model saw, (1, C, H, W); None for an image that could not be read.
    """

    rows: list[Row]
    attributions: dict[str, Tensor] = field(default_factory=dict)
    inputs: Tensor | None = None

    def maps(self) -> dict[str, Tensor]:
        """Return the maps, (H, W) in [0, 1] on the CPU, by the method's label."""
        return {label: saliency_map(each)[0].float().cpu() for label, each in self.attributions.items()}


def scores_of(cell: Cell) -> Iterator[Row]:
    """Yield score and curve of a cell, once for each number of steps; these are a curve by themselves."""
    for steps in cell.entry.steps:
        score = float("nan") if cell.reading is None else float(cell.reading.at(steps)[0])
        yield {"steps": steps, "score": score}
    if not cell.entry.steps:
        score = float("nan") if cell.reading is None else float(cell.reading.score[0])
        curve = None if cell.reading is None else cell.reading.curve(0)
        drawn = {} if curve is None else {f"curve_{name}": value for name, value in curve._asdict().items()}
        yield {"steps": None, "score": score, **drawn}
