"""One example, every method, every metric: the work item of a run, which never fails as a whole."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from quantus.helpers.enums import ScoreDirection
from torch import Tensor

from captum_gag.attr import saliency_map
from captum_gag.attr.together import attribute_together
from captum_gag.batching import with_less_memory
from captum_gag.data.datasets import Example
from captum_gag.errors import InputError
from captum_gag.metrics import evaluate_readings
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.masking import Reading
from captum_gag.metrics.perturbation import AOPCCurve
from captum_gag.models.loading import Classifier
from captum_gag.runs.spec import MethodSpec, MetricSpec, Suite, digest, is_curve, needs_segmentation

Row = dict[str, Any]

DETAILS = 21
"""Points that are kept of a curve."""


class Cell(NamedTuple):
    """One method by one metric, of one image.

    Attributes:
        method: Which method.
        metric: Which metric.
        scores: By label; more than one for AOPC at several L.
        seconds: What it cost: the map, and its part of the metric.
        error: Why it failed, if it did.
        details: What the score was read off, if it is a curve: lists of numbers by name, as JSON.
    """

    method: MethodSpec
    metric: MetricSpec
    scores: dict[str, float]
    seconds: float
    error: BaseException | None = None
    details: str = ""


class Scorer:
    """A model and a suite, ready to score examples one by one."""

    def __init__(self, classifier: Classifier, suite: Suite, seed: int, dtype: torch.dtype = torch.float32) -> None:
        """Build all metrics of the suite.

        Args:
            classifier: The model with its preprocessing.
            suite: Methods and metrics.
            seed: Of all noise; the same for every image, so that no score depends on which images came before.
            dtype: In which the model computes.
        """
        self.classifier, self.suite, self.seed, self.dtype = classifier, suite, seed, dtype
        self.model = classifier.model.to(dtype)
        self.metrics = {spec: spec.build(classifier.normalization) for spec in suite.metrics}

    def score(self, example: Example, target: int | None = None) -> tuple[list[Row], dict[str, Tensor]]:
        """Score one example.

        Args:
            example: Its photograph is read here.
            target: The class explained; None takes the example's own, or the predicted one.

        Returns:
            A row per method and metric (image, method, metric, score, higher_is_better, target, probability,
            parameters, duration, error, details), and the maps (H, W) by method. A cell that fails has the score NaN
            and says in ``error`` why; it costs no other cell.
        """
        try:
            x = self.classifier.preprocess(example.photo())[None].to(self.classifier.device, self.dtype)
            mask = self._mask(example)
            target = example.target if target is None else target
            target, probability = self._predict(example.name, x, target)
        # A broken file, a class that the model does not have, a model that fails: whatever it is, it is this image's.
        except Exception as error:
            known = {"image": example.name, "target": example.target, "probability": float("nan")}
            cells = [
                Cell(method, spec, _undefined(spec), 0.0, error)
                for method in self.suite.methods
                for spec in self.metrics
            ]
            return self._rows(cells, known), {}
        maps: dict[MethodSpec, Tensor] = {}
        cells, durations = [], dict.fromkeys(self.suite.methods, 0.0)
        metrics = [spec for spec, metric in self.metrics.items() if mask is not None or not needs_segmentation(metric)]
        failed: set[MethodSpec] = set()
        for method in self.suite.methods:
            if method in maps or method in failed:
                continue
            started = time.perf_counter()
            together = [each for each in self._together(method) if each not in maps]
            try:
                found = self._attribute(together, maps, x, target)
            except Exception as error:
                found = {}
                failed.update(together)
                cells += [Cell(each, spec, _undefined(spec), 0.0, error) for each in together for spec in metrics]
            maps |= found
            durations |= dict.fromkeys(found, (time.perf_counter() - started) / max(1, len(found)))
        cells += [
            cell._replace(seconds=cell.seconds + durations[cell.method])
            for cell in self._evaluate(x, maps, target, mask, metrics)
        ]
        rows = self._rows(cells, {"image": example.name, "target": target, "probability": probability})
        return rows, {method.label: saliency_map(each)[0].float().cpu() for method, each in maps.items()}

    def confidence(self, example: Example) -> float:
        """Give the probability of an example's own class; 0 if it has none or cannot be read."""
        if example.target is None:
            return 0.0
        try:
            x = self.classifier.preprocess(example.photo())[None].to(self.classifier.device, self.dtype)
        # A data set of the user's can fail in any way; its other images are none the worse.
        except Exception:
            return 0.0
        return self._predict(example.name, x, example.target)[1]

    def _predict(self, name: str, x: Tensor, target: int | None) -> tuple[int, float]:
        """Give a class, the predicted one if none is given, and its probability."""
        with torch.no_grad():
            probabilities = self.model(x).softmax(1)[0]
        target = int(probabilities.argmax()) if target is None else target
        if not 0 <= target < len(probabilities):
            raise InputError(
                f"{name} is of class {target}, {self.classifier.name} has 0 to {len(probabilities) - 1}; "
                "put a classes.csv (class_index, wnid) beside the folders to say which class each is"
            )
        return target, float(probabilities[target])

    def _rows(self, cells: list[Cell], known: Row) -> list[Row]:
        methods = {method: place for place, method in enumerate(self.suite.methods)}
        metrics = {spec: place for place, spec in enumerate(self.suite.metrics)}
        return [
            {
                **known,
                "method": cell.method.label,
                "metric": label,
                "score": score,
                "higher_is_better": _higher_is_better(self.metrics[cell.metric]),
                "seed": self.seed,
                "parameters": digest({**cell.method.parameters, **cell.metric.parameters}),
                "duration": cell.seconds,
                "error": "" if cell.error is None else _one_line(cell.error),
                "details": cell.details,
            }
            for cell in sorted(cells, key=lambda cell: (methods[cell.method], metrics[cell.metric]))
            for label, score in cell.scores.items()
        ]

    def _together(self, spec: MethodSpec) -> list[MethodSpec]:
        """Give the methods that come out of the same gradients as one, itself among them."""
        if spec.method.recipe is None:
            return [spec]
        family = (spec.method.recipe.family, spec.n_samples)
        recipes = ((each, each.method.recipe) for each in self.suite.methods)
        return [each for each, recipe in recipes if recipe is not None and (recipe.family, each.n_samples) == family]

    def _attribute(
        self, together: list[MethodSpec], maps: dict[MethodSpec, Tensor], x: Tensor, target: int
    ) -> dict[MethodSpec, Tensor]:
        """Give the maps of methods that come out of the same gradients."""
        first, *others = together
        original, n = first.method.original, first.n_samples
        base = next(
            (each for each in maps if original and (each.method.name, each.n_samples) == (original.name, n)), None
        )
        if base is not None and first.method.make_over is not None:
            return {first: first.method.make_over(maps[base], self.seed)}
        if not others:
            return {first: with_less_memory(lambda: first.method.attribute(self.model, x, target, n, self.seed))}
        methods = [each.method for each in together]
        found = with_less_memory(lambda: attribute_together(methods, self.model, x, target, n, self.seed))
        return dict(zip(together, found, strict=True))

    def _evaluate(
        self,
        x: Tensor,
        maps: dict[MethodSpec, Tensor],
        target: int,
        mask: Tensor | None,
        metrics: list[MetricSpec],
    ) -> Iterator[Cell]:
        """Give every cell; those of curves all in one pass if it succeeds."""
        curves = {spec: self.metrics[spec] for spec in metrics if is_curve(self.metrics[spec])}
        try:
            yield from self._curves(x, maps, target, curves)
        except Exception:
            # One by one, to find out whose fault it is.
            for method, spec in ((method, spec) for method in maps for spec in curves):
                try:
                    yield from self._curves(x, {method: maps[method]}, target, {spec: curves[spec]})
                except Exception as error:
                    yield Cell(method, spec, _undefined(spec), 0.0, error)
        for spec in (spec for spec in metrics if spec not in curves):
            for method, attribution in maps.items():
                started = time.perf_counter()
                scores, failure = _undefined(spec), None
                try:
                    scores = {spec.label: self._call(self.metrics[spec], x, attribution, target, mask)}
                except Exception as error:
                    failure = error
                yield Cell(method, spec, scores, time.perf_counter() - started, failure)

    def _curves(
        self, x: Tensor, maps: dict[MethodSpec, Tensor], target: int, curves: dict[MetricSpec, Any]
    ) -> list[Cell]:
        if not maps or not curves:
            return []
        started = time.perf_counter()
        by_label = {spec.label: metric for spec, metric in curves.items()}
        labelled = {method.label: each for method, each in maps.items()}
        readings = with_less_memory(lambda: evaluate_readings(self.model, x, labelled, target, by_label))
        seconds = (time.perf_counter() - started) / (len(maps) * len(curves))
        return [
            Cell(method, spec, _scores(spec, reading), seconds, details=_details(spec, reading))
            for method in maps
            for spec in curves
            for reading in [readings[method.label][spec.label]]
        ]

    def _call(self, metric: Any, x: Tensor, attribution: Tensor, target: int, mask: Tensor | None) -> float:
        """Call a Quantus metric as Quantus's users do: its own take one value per pixel, as ``explain`` gives it."""
        given = attribution if isinstance(metric, TorchMetric) else attribution.sum(1, keepdim=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = metric(
                model=self.model,
                x_batch=x.float().cpu().numpy(),
                y_batch=np.array([target]),
                a_batch=given.float().cpu().numpy(),
                s_batch=None if mask is None else mask.numpy(),
                channel_first=True,
                softmax=True,
                device=self.classifier.device,
                batch_size=1,
            )
        return float(np.mean(found[0]))

    def _mask(self, example: Example) -> Tensor | None:
        if example.mask is None:
            return None
        return self.classifier.preprocess_mask(example.mask())[None]


def _scores(spec: MetricSpec, reading: Reading) -> dict[str, float]:
    if isinstance(reading, AOPCCurve) and spec.lengths:
        at_lengths = (float(reading.aopc[0, length - 1]) for length in spec.lengths)
        return dict(zip(spec.labels, at_lengths, strict=True))
    return {spec.label: float(reading.score[0])}


def _details(spec: MetricSpec, reading: Reading) -> str:
    """Give what the reading of one image consists of, thinned out; the scores at several L are their own curve."""
    if spec.lengths:
        return ""
    kept = {name: values[0].tolist() for name, values in reading._asdict().items()}
    length = len(next(iter(kept.values())))
    places = np.linspace(0, length - 1, min(length, DETAILS)).round().astype(int)
    return json.dumps({name: [round(values[place], 6) for place in places] for name, values in kept.items()})


def _undefined(spec: MetricSpec) -> dict[str, float]:
    return dict.fromkeys(spec.labels, float("nan"))


def _higher_is_better(metric: Any) -> bool | None:
    known = {ScoreDirection.HIGHER: True, ScoreDirection.LOWER: False}
    return known.get(getattr(metric, "score_direction", None))  # type: ignore[arg-type]


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, InputError | ValueError) else f"{type(error).__name__}: {text}"
