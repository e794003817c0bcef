"""Every metric of every map of a chunk of examples, in filled passes; what fails costs its own cell."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from captum_gag.attr.captum_calls import seeded
from captum_gag.batching import with_less_memory
from captum_gag.errors import in_one_line
from captum_gag.metrics.base import MaskingMetric, Metric
from captum_gag.metrics.evaluation import readings_of
from captum_gag.metrics.external_metric import ExternalMetric
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Context, MaskedInputs, class_probabilities
from captum_gag.metrics.readings import Reading
from captum_gag.modules import computing_in
from captum_gag.runs.attributing import Explainer
from captum_gag.runs.cells import Cell, failed, scores_of
from captum_gag.runs.identity import tensor_digest
from captum_gag.runs.orderings import OverOrderings, RandomOrderings, judging_orderings
from captum_gag.runs.spec import MetricEntry
from captum_gag.runs.undefined import watched
from captum_gag.tensors import positions


class Judged(NamedTuple):
    """An example with the maps that are to be judged.

    Attributes:
        inputs: What the model sees, (1, C, H, W).
        target: Its class.
        maps: Attributions by method, (1, C, H, W); without those of random orderings.
        mask: Its segmentation, (1, 1, H, W), if it has one.
        entries: The metrics that can judge it.
    """

    inputs: Tensor
    target: int
    maps: dict[str, Tensor]
    mask: Tensor | None
    entries: list[MetricEntry]


class Evaluator:
    """The metrics of a suite, which judge the maps of chunks of examples."""

    def __init__(self, explainer: Explainer, autocast: torch.dtype | None = None) -> None:
        """Take the model, the suite and the seed of what explains, which Quantus's metrics may ask again."""
        self.explainer, self.autocast = explainer, autocast
        self.model, self.output = explainer.model, explainer.output
        self._on_baselines: dict[tuple[str, int], float] = {}
        self.orderings = {
            label: each for label, each in explainer.suite.methods.items() if isinstance(each, RandomOrderings)
        }

    def evaluate(self, examples: Sequence[Judged]) -> list[list[Cell]]:
        """Return the cells of every example.

        Metrics that mask images share forward passes across examples, methods, steps and random orderings.
        """
        with computing_in(self.autocast, self.model, examples[0].inputs.device):
            return self._evaluate(examples)

    def _evaluate(self, examples: Sequence[Judged]) -> list[list[Cell]]:
        cells: list[list[Cell]] = [[] for _ in examples]
        alike: dict[object, list[int]] = {}
        for row, each in enumerate(examples):
            alike.setdefault((tuple(each.maps), tuple(map(id, each.entries))), []).append(row)
        for rows in alike.values():
            group = [examples[row] for row in rows]
            metrics = [entry.metric for entry in group[0].entries if isinstance(entry.metric, MaskingMetric)]
            on_baselines = {id(metric): self._on_baseline(group, metric) for metric in metrics}
            for place, of_image in enumerate(self._masked(group)):
                for cell in of_image:
                    probability = on_baselines[id(cell.entry.metric)][place]
                    cells[rows[place]].append(cell._replace(baseline_probability=probability))
        for row, example in enumerate(examples):
            cells[row] += self._others(example)
        return cells

    def _on_baseline(self, examples: Sequence[Judged], metric: MaskingMetric) -> list[float]:
        """Return what the model gives the class of each image where all of it shows a metric's baseline.

        NaN where it fails. A baseline is known by its content: one that does not depend on the image, such as black, is
        predicted once for each class, whatever the number of images.
        """
        inputs = _joined([each.inputs for each in examples])
        try:
            # Of any map: it does not change the baseline.
            images = metric.plan(MapBatch(inputs, inputs)).masked.baseline
            keys = [(tensor_digest({"": row}), each.target) for row, each in zip(images, examples, strict=True)]
            rows = {key: row for row, key in enumerate(keys) if key not in self._on_baselines}
            if rows:
                unseen = images[list(rows.values())]
                order = torch.zeros(len(unseen), *positions(unseen), device=unseen.device)
                versions = MaskedInputs(unseen, unseen, order, order.flatten(1)[:, :1])
                context = Context(self.model, torch.tensor([target for _, target in rows]), self.output)
                [probabilities] = with_less_memory(lambda: class_probabilities([versions], context))
                self._on_baselines |= zip(rows, probabilities.flatten().tolist(), strict=True)
            return [self._on_baselines[key] for key in keys]
        except Exception:
            if len(examples) > 1:
                return [self._on_baseline([each], metric)[0] for each in examples]
        return [float("nan")]

    def _masked(self, examples: Sequence[Judged]) -> list[list[Cell]]:
        """Return the cells of metrics that mask images, all in one go if that succeeds."""
        entries = [each for each in examples[0].entries if isinstance(each.metric, MaskingMetric)]
        labels = [*examples[0].maps, *self.orderings]
        if not labels or not entries:
            return [[] for _ in examples]
        try:
            return self._together(examples, labels, entries)
        except Exception:
            # One by one, to find out whose fault it is.
            if len(examples) > 1:
                return [cells for each in examples for cells in self._masked([each])]
        found = []
        for label, entry in ((label, entry) for label in labels for entry in entries):
            try:
                [[cell]] = self._together(examples, [label], [entry])
            except Exception as error:
                cell = failed(label, entry, in_one_line(error))
            found.append(cell)
        return [found]

    def _together(
        self, examples: Sequence[Judged], labels: Sequence[str], entries: Sequence[MetricEntry]
    ) -> list[list[Cell]]:
        """Return the cells of some methods by some metrics.

        Raises:
            Exception: Something fails, or the model returned a NaN for one of several examples.
        """
        started = time.perf_counter()
        inputs = _joined([each.inputs for each in examples])
        targets = torch.tensor([each.target for each in examples])
        metrics = [entry.metric for entry in entries]
        for_orderings, places = judging_orderings(metrics)
        maps = {
            label: _joined([each.maps[label] for each in examples]) for label in labels if label in examples[0].maps
        }
        judged: list[tuple[Tensor, Sequence[Metric]]] = []
        for label in labels:
            if label in self.orderings:
                judged += [(each, for_orderings) for each in self.orderings[label].maps(inputs)]
            else:
                judged.append((maps[label], metrics))
        with watched(self.model) as watch:
            context = Context(self.model, targets, self.output)
            readings = iter(with_less_memory(lambda: readings_of(inputs, judged, context)))
        if watch.met and len(examples) > 1:
            raise FloatingPointError("the model returned a NaN or an infinity")
        cells: list[list[Cell]] = [[] for _ in examples]
        seconds = (time.perf_counter() - started) / (len(labels) * len(entries) * len(examples))
        for label in labels:
            found: list[Reading]
            if label in self.orderings:
                # They are whole, whatever the image.
                whole = inputs
                of_each = [next(readings) for _ in range(self.orderings[label].n)]
                found = [OverOrderings([each[place] for each in of_each]) for place in places]
            else:
                whole, found = maps[label], next(readings)
            for entry, reading in zip(entries, found, strict=True):
                reasons = watch.reasons(reading, whole)
                for row, scores in enumerate(scores_of(entry, reading)):
                    cells[row].append(Cell(label, entry, scores, seconds, reasons[row]))
        return cells

    def _others(self, example: Judged) -> Iterator[Cell]:
        """Yield the cells of one example by the metrics that do not mask images by our engine."""
        for entry in (each for each in example.entries if not isinstance(each.metric, MaskingMetric)):
            for label, attribution in example.maps.items():
                if self.explainer.suite.judges(label, entry.metric):
                    yield self._cell(example, label, entry, [attribution])
            for label, orderings in self.orderings.items():
                yield self._cell(example, label, entry, orderings.maps(example.inputs))

    def _cell(self, example: Judged, label: str, entry: MetricEntry, maps: Sequence[Tensor]) -> Cell:
        started = time.perf_counter()
        try:
            with watched(self.model) as watch:
                readings = [self._evaluated(example, label, entry.metric, *each) for each in enumerate(maps)]
            reading = OverOrderings(readings) if label in self.orderings else readings[0]
            [scores], [reason] = scores_of(entry, reading), watch.reasons(reading, maps[0])
        except Exception as error:
            return failed(label, entry, in_one_line(error), time.perf_counter() - started)
        return Cell(label, entry, scores, time.perf_counter() - started, reason)

    def _evaluated(self, example: Judged, label: str, metric: Metric, number: int, attribution: Tensor) -> Reading:
        """Return what a metric reads; Quantus's own draw random numbers, and may explain again."""
        method = self.explainer.suite.methods[label]
        if label in self.orderings:
            method = self.orderings[label].ordering(number)
        options: dict[str, Any] = {}
        if isinstance(metric, ExternalMetric):
            options["explain"] = partial(self.explainer.attributed, method)

        def evaluate() -> Reading:
            with seeded(example.inputs.device, self.explainer.seed):
                return metric.evaluate(
                    self.model, example.inputs, attribution, example.target, example.mask, output=self.output, **options
                )

        return with_less_memory(evaluate)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
