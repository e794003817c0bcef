"""One example, every method, every metric: the work item of a run, which never fails as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from captum_gag.attr.captum_calls import seeded
from captum_gag.attr.catalogue import Method, shared_gradients
from captum_gag.attr.map_transforms import Transform
from captum_gag.batching import with_less_memory
from captum_gag.data.catalogue import dataset
from captum_gag.data.datasets import Example, ImageData
from captum_gag.errors import InputError, in_one_line
from captum_gag.metrics.catalogue import MaskingMetric, Metric
from captum_gag.metrics.evaluate import evaluate_readings
from captum_gag.metrics.foreign import ForeignMetric
from captum_gag.metrics.readings import Reading
from captum_gag.models import Classifier
from captum_gag.modules import hookable
from captum_gag.outputs import OutputReader
from captum_gag.runs.cells import Cell, Outcome, Row, scores_of
from captum_gag.runs.identity import tensor_digest
from captum_gag.runs.probing import classes_of, probed, require_own_numbers
from captum_gag.runs.spec import MetricEntry, Suite
from captum_gag.runs.undefined import has_nan, watched
from captum_gag.tensors import Target


class Scorer:
    """A model and a suite, ready to score examples one by one.

    Attributes:
        digests: Of the model's weights, what it returns, and of the reference images that methods asked for.
        output: What the model returns, as declared, or as decided before any photograph is read.
    """

    def __init__(
        self,
        classifier: Classifier,
        suite: Suite,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        data: ImageData | None = None,
    ) -> None:
        """Bring the model to its precision, and the methods to their references.

        Args:
            classifier: The model with its preprocessing.
            suite: Methods and metrics.
            seed: Of all noise; the same for every image, so that no score depends on which images came before.
            dtype: In which the model computes.
            data: The data set, whose training images methods may ask for as references.

        Raises:
            InputError: What the model returns has no meaning or several, the data set's numbers of classes are not
                the model's, or there are no references for a method that asks for them.
        """
        self.classifier, self.suite, self.seed, self.dtype, self.data = classifier, suite, seed, dtype, data
        self.model = hookable(classifier.model.to(dtype))
        found = probed(classifier, self.model, dtype)
        self.output = found.output
        self.digests = {"weights": tensor_digest(classifier.model.state_dict()), "output": found.said}
        if data is not None and found.classes is not None:
            require_own_numbers(data, classifier.name, found.classes)
        for label, method in suite.methods.items():
            try:
                method.prepare(self.references)
            except InputError as error:
                raise InputError(f"method {label!r}: {error}") from error

    def references(self, source: str, count: int) -> Tensor:
        """Return preprocessed images of the training split, or of a folder.

        Args:
            source: "train", or the path of a folder of images.
            count: How many, picked by the seed.

        Raises:
            InputError: There are none.
        """
        if source == "train" and self.data is None:
            raise InputError("references = 'train' needs a data set with a training split; name a folder instead")
        images = self.data.train() if source == "train" and self.data else dataset({"type": "folder", "root": source})
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.seed))[:count]
        found = torch.stack([self.classifier.preprocess(images[each].photo()) for each in order.tolist()])
        self.digests[f"references {source} ({count})"] = tensor_digest({"": found})
        return found.to(self.classifier.device, self.dtype)

    def score(self, name: str, load: Callable[[], Example], target: int | None = None) -> Outcome:
        """Score one example.

        Args:
            name: Of the example.
            load: Reads it.
            target: The class explained; None takes the example's own, or the predicted one.

        Returns:
            The records, with the columns of ``store.RECORD`` up to the curve. A cell that fails has the score NaN and
            says in ``error`` why; it costs no other cell.
        """
        known: Row = {"image": name, "target": target, "probability": float("nan"), "seed": self.seed}
        try:
            example = load()
            target = example.target if target is None else target
            # What is no whole number fails here, and a record could not hold it.
            known["target"] = target = None if target is None else index(target)
            inputs = self._inputs(example)
            known["target"], known["probability"] = self._predict(name, inputs, target)
        # A broken file, a class that the model does not have, a model that fails: whatever it is, it is this image's.
        except Exception as error:
            failed = [Cell(label, entry, None, 0.0, in_one_line(error)) for label, entry in self._cells()]
            return Outcome(self._rows(failed, known))
        mask, no_mask = self._mask(example)
        masked = [entry for entry in self.suite.metrics if entry.metric.needs_segmentation]
        entries = [entry for entry in self.suite.metrics if mask is not None or entry not in masked]
        attributions, seconds, errors = self._explain(inputs, known["target"])
        cells = [Cell(label, entry, None, 0.0, error) for label, error in errors.items() for entry in entries]
        if no_mask:
            cells += [Cell(label, entry, None, 0.0, no_mask) for label in self.suite.methods for entry in masked]
        cells += [
            cell._replace(seconds=cell.seconds + seconds[cell.method])
            for cell in self._evaluate(inputs, attributions, known["target"], mask, entries)
        ]
        ordered = {label: attributions[label] for label in self.suite.methods if label in attributions}
        return Outcome(self._rows(cells, known), ordered, inputs)

    def confidence(self, name: str, load: Callable[[], Example]) -> tuple[int | None, float, str]:
        """Return an example's own class, its probability, and why there is none; the probability is 0 then."""
        try:
            example = load()
            if example.target is None:
                return None, 0.0, f"{name} has no class"
            return *self._predict(name, self._inputs(example), example.target), ""
        # A data set of the user's, or its model, can fail in any way; the other images are none the worse.
        except Exception as error:
            return None, 0.0, in_one_line(error)

    def _inputs(self, example: Example) -> Tensor:
        return self.classifier.preprocess(example.photo())[None].to(self.classifier.device, self.dtype)

    def _mask(self, example: Example) -> tuple[Tensor | None, str]:
        """Return an example's segmentation (1, 1, H, W), if it has one, and why it cannot be read, if so."""
        try:
            return (None if example.mask is None else self.classifier.preprocess_mask(example.mask())[None]), ""
        # It is missing, broken, or does not fit; what does not need it is none the worse.
        except Exception as error:
            return None, in_one_line(error)

    def _predict(self, name: str, inputs: Tensor, target: int | None) -> tuple[int, float]:
        """Return a class, the predicted one if none is given, and its probability."""
        if not bool(inputs.isfinite().all()):
            raise InputError(f"{name} has a NaN or an infinity in it once it is preprocessed")
        with torch.no_grad():
            outputs = self.model(inputs)
        no_number = has_nan(outputs)
        if not no_number:
            [probabilities] = classes_of(self.classifier, OutputReader(self.output), outputs)
            no_number = has_nan(probabilities)
        if no_number:
            raise InputError(f"{self.classifier.name} returned a NaN or an infinity for {name}")
        target = int(probabilities.argmax()) if target is None else target
        if not 0 <= target < len(probabilities):
            raise InputError(
                f"{name} is of class {target}, {self.classifier.name} has 0 to {len(probabilities) - 1}; "
                "put a classes.csv (class_index, wnid) beside the folders to say which class each is"
            )
        return target, float(probabilities[target])

    def _explain(self, inputs: Tensor, target: int) -> tuple[dict[str, Tensor], dict[str, float], dict[str, str]]:
        """Return attributions, seconds and errors by method; those that take the same gradients take them once."""
        found: dict[str, Tensor] = {}
        seconds: dict[str, float] = {}
        errors: dict[str, str] = {}
        for label, method in self.suite.methods.items():
            if label in found or label in errors:
                continue
            group = {label: method}
            if method.shared is not None:
                group = {name: each for name, each in self.suite.methods.items() if each.shared == method.shared}
            started = time.perf_counter()
            try:
                found |= self._attribute(group, found, inputs, target)
            except Exception as error:
                errors |= dict.fromkeys(group, in_one_line(error))
            seconds |= dict.fromkeys(group, (time.perf_counter() - started) / len(group))
        return found, seconds, errors

    def _attributed(self, method: Method, model: nn.Module, images: Tensor, targets: Target) -> Tensor:
        return method.attribute(model, images, targets, self.seed, output=self.output)

    def _attribute(
        self, group: Mapping[str, Method], found: Mapping[str, Tensor], inputs: Tensor, target: int
    ) -> dict[str, Tensor]:
        [(label, method), *others] = group.items()
        base = self.suite.bases.get(label, "")
        if base in found and isinstance(method, Transform):
            return {label: method.transformed(found[base], self.seed)}
        if not others:
            return {label: with_less_memory(lambda: self._attributed(method, self.model, inputs, target))}
        methods = list(group.values())
        shared = with_less_memory(
            lambda: shared_gradients(methods, self.model, inputs, target, self.seed, output=self.output)
        )
        return dict(zip(group, shared, strict=True))

    def _evaluate(
        self,
        inputs: Tensor,
        attributions: Mapping[str, Tensor],
        target: int,
        mask: Tensor | None,
        entries: list[MetricEntry],
    ) -> Iterator[Cell]:
        """Yield every cell; those of metrics that mask images all in one go if that succeeds."""
        masking = [entry for entry in entries if isinstance(entry.metric, MaskingMetric)]
        try:
            yield from self._masked(inputs, attributions, target, masking)
        except Exception:
            # One by one, to find out whose fault it is.
            for label, entry in ((label, entry) for label in attributions for entry in masking):
                try:
                    yield from self._masked(inputs, {label: attributions[label]}, target, [entry])
                except Exception as error:
                    yield Cell(label, entry, None, 0.0, in_one_line(error))
        for entry in (entry for entry in entries if entry not in masking):
            for label, attribution in attributions.items():
                started, reading, failure = time.perf_counter(), None, ""
                try:
                    with watched(self.model) as watch:
                        reading = self._evaluated(label, entry.metric, inputs, attribution, target, mask)
                    failure = watch.reason(reading, attribution)
                except Exception as error:
                    failure = in_one_line(error)
                yield Cell(label, entry, reading, time.perf_counter() - started, failure)

    def _masked(
        self, inputs: Tensor, attributions: Mapping[str, Tensor], target: int, masking: list[MetricEntry]
    ) -> list[Cell]:
        if not attributions or not masking:
            return []
        started = time.perf_counter()
        metrics: dict[str, Any] = {str(place): entry.metric for place, entry in enumerate(masking)}
        with watched(self.model) as watch:
            readings = with_less_memory(
                lambda: evaluate_readings(self.model, inputs, attributions, target, metrics, output=self.output)
            )
        seconds = (time.perf_counter() - started) / (len(attributions) * len(masking))
        found = [
            (label, entry, readings[label][str(place)]) for label in attributions for place, entry in enumerate(masking)
        ]
        return [Cell(*each, seconds, watch.reason(each[2], attributions[each[0]])) for each in found]

    def _evaluated(
        self, label: str, metric: Metric, inputs: Tensor, attribution: Tensor, target: int, mask: Tensor | None
    ) -> Reading:
        """Return what a metric reads that does not mask images by our engine; Quantus's own draw random numbers."""
        options: dict[str, Any] = {}
        if isinstance(metric, ForeignMetric):
            method = self.suite.methods[label]
            options["explain"] = partial(self._attributed, method)

        def evaluate() -> Reading:
            with seeded(inputs.device, self.seed):
                return metric.evaluate(self.model, inputs, attribution, target, mask, output=self.output, **options)

        return with_less_memory(evaluate)

    def _cells(self) -> Iterator[tuple[str, MetricEntry]]:
        yield from ((label, entry) for label in self.suite.methods for entry in self.suite.metrics)

    def _rows(self, cells: list[Cell], known: Row) -> list[Row]:
        by_place = {(cell.method, id(cell.entry.metric)): cell for cell in cells}
        rows = []
        for label, entry in self._cells():
            cell = by_place.get((label, id(entry.metric)))
            if cell is not None:
                method = self.suite.methods[label]
                about = {
                    "method": label,
                    "base": self.suite.bases.get(label, ""),
                    "transform": method.transform,
                    "control": method.control,
                    "metric": entry.label,
                    "variant": entry.variant,
                    "higher_is_better": entry.metric.higher_is_better,
                    "error": cell.error,
                    "seconds": cell.seconds,
                }
                rows += [{**known, **about, **each} for each in scores_of(cell)]
        return rows
