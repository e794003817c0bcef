"""What comes out for one image: a cell for each method and metric, and the records that they are written as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from captum_gag.attr import saliency_map
from captum_gag.metrics.readings import Reading
from captum_gag.runs.orderings import OverOrderings
from captum_gag.runs.spec import MetricEntry

Row = dict[str, Any]


class Cell(NamedTuple):
    """One method by one metric, of one image.

    Attributes:
        method: The method's label.
        entry: The metric.
        scores: Steps, score and curve, a row for each number of steps; see ``scores_of``.
        seconds: What it cost: the map, and its part of the metric.
        error: Why it failed; "" if it did not.
        baseline_probability: What the model gives the image's class where all of it shows the metric's baseline; NaN
            where the metric has none.
    """

    method: str
    entry: MetricEntry
    scores: list[Row]
    seconds: float
    error: str = ""
    baseline_probability: float = float("nan")


@dataclass
class Outcome:
    """What came out for one example.

    Attributes:
        rows: The records, one per method, metric, variant and number of steps.
        attributions: By the method's label, as the methods gave them, (1, C, H, W); without those that failed.
        inputs: What the model saw, (1, C, H, W); None for an image that could not be read.
        parts: What GAG's attribution is made of, if that was asked for; see ``guide_parts``.
        mask: Its segmentation, (1, 1, H, W); None where there is none.
    """

    rows: list[Row]
    attributions: dict[str, Tensor] = field(default_factory=dict)
    inputs: Tensor | None = None
    parts: dict[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None

    def maps(self) -> dict[str, Tensor]:
        """Return the maps, (H, W) in [0, 1] on the CPU, by the method's label."""
        return {label: saliency_map(each)[0].float().cpu() for label, each in self.attributions.items()}


def failed(method: str, entry: MetricEntry, error: str, seconds: float = 0.0) -> Cell:
    """Return the cell of what failed: NaN for every number of steps."""
    return Cell(
        method, entry, [{"steps": each, "score": float("nan")} for each in entry.steps or (None,)], seconds, error
    )


def scores_of(entry: MetricEntry, reading: Reading) -> list[list[Row]]:
    """Return for each image score and curve, once for each number of steps; these are a curve by themselves.

    Of random orderings the curve is what each of them scores.
    """
    columns = []
    for steps in entry.steps or (None,):
        scores = (reading.score if steps is None else reading.at(steps)).tolist()
        if isinstance(reading, OverOrderings):
            curves: list[Any] = list(reading.bands(steps))
        else:
            curves = [reading.curve(row) if steps is None else None for row in range(len(scores))]
        drawn = (
            {} if curve is None else {f"curve_{name}": value for name, value in curve._asdict().items()}
            for curve in curves
        )
        columns.append([{"steps": steps, "score": score, **curve} for score, curve in zip(scores, drawn, strict=True)])
    return [list(rows) for rows in zip(*columns, strict=True)]
