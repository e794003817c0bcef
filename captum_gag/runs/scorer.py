"""A chunk of examples, every method, every metric: the work item of a run, which never fails as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import index
from typing import NamedTuple

import torch
from torch import Tensor

from captum_gag.data import dataset
from captum_gag.data.datasets import Example, ImageData
from captum_gag.data.images import shown
from captum_gag.errors import InputError, in_one_line
from captum_gag.models import Classifier
from captum_gag.modules import hookable
from captum_gag.outputs import OutputReader
from captum_gag.runs.attributing import Attributions, Explainer, segmentation_of
from captum_gag.runs.cells import Cell, Outcome, Row, failed
from captum_gag.runs.evaluating import Evaluator, Judged
from captum_gag.runs.identity import tensor_digest
from captum_gag.runs.probing import classes_of, probed, require_own_numbers
from captum_gag.runs.spec import MetricEntry, Suite
from captum_gag.runs.undefined import has_nan


class Item(NamedTuple):
    """An example to score.

    Attributes:
        name: Of the example.
        load: Reads it.
        target: The class explained; None takes the example's own, or the predicted one.
    """

    name: str
    load: Callable[[], Example]
    target: int | None = None


@dataclass
class Opened:
    """An example on its way: what is known of it, what the model sees, and why it cannot be scored, if so."""

    name: str
    known: Row
    example: Example | None = None
    inputs: Tensor | None = None
    error: str = ""

    @property
    def seen(self) -> Tensor:
        """What the model sees of an example without error, (1, C, H, W)."""
        assert self.inputs is not None
        return self.inputs


class Scorer:
    """A model and a suite, ready to score examples, alone or many at a time.

    Attributes:
        digests: Of the model's weights, how it is fed, the packages of its modules, what it returns, and of the
            reference images that methods asked for.
        output: What the model returns, as declared, or as decided before any photograph is read.
        classes: How many there are; None where that is not known before.
    """

    def __init__(
        self,
        classifier: Classifier,
        suite: Suite,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        data: ImageData | None = None,
        attribution_autocast: torch.dtype | None = None,
        metrics_autocast: torch.dtype | None = None,
    ) -> None:
        """Bring the model to its precision, and the methods to their references.

        Args:
            classifier: The model with its preprocessing.
            suite: Methods and metrics.
            seed: Of all noise; the same for every image, so that no score depends on which images came before.
            dtype: In which the model computes.
            data: The data set, whose training images methods may ask for as references.
            attribution_autocast: In which the model may compute what stands it, while methods explain.
            metrics_autocast: Likewise, while metrics judge.

        Raises:
            InputError: What the model returns has no meaning or several, the data set's numbers of classes are not
                the model's, or there are no references for a method that asks for them.
        """
        self.classifier, self.suite, self.seed, self.dtype, self.data = classifier, suite, seed, dtype, data
        self.model = hookable(classifier.model.to(dtype))
        found = probed(classifier, self.model, dtype)
        self.output, self.classes = found.output, found.classes
        self.digests = {"weights": tensor_digest(classifier.model.state_dict()), "output": found.said}
        self.digests |= classifier.identity()
        if data is not None and found.classes is not None:
            require_own_numbers(data, classifier, found.classes)
        for label, method in suite.methods.items():
            try:
                method.prepare(self.references)
            except InputError as error:
                raise InputError(f"method {label!r}: {error}") from error
        # A metric that explains again does so as the methods did.
        explaining_in = attribution_autocast or (metrics_autocast and torch.float32)
        self.explainer = Explainer(self.model, suite, seed, self.output, explaining_in)
        self.evaluator = Evaluator(self.explainer, metrics_autocast)

    def references(self, source: str, count: int) -> Tensor:
        """Return preprocessed images of the training split, or of a folder.

        Args:
            source: "train", or the path of a folder of images.
            count: How many, picked by the seed.

        Raises:
            InputError: There are none.
        """
        if source == "train" and self.data is None:
            raise InputError("baselines = 'train' needs a data set with a training split; name a folder instead")
        images = self.data.train() if source == "train" and self.data else dataset({"type": "folder", "root": source})
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.seed))[:count]
        found = torch.stack([self.classifier.preprocess(images[each].photo()) for each in order.tolist()])
        self.digests[f"references {source} ({count})"] = tensor_digest({"": found})
        return found.to(self.classifier.device, self.dtype)

    def label(self, target: int) -> str:
        """Name of a class: the model's own, or as the data set calls it, or "class N"."""
        names = {} if self.classifier.labels or self.data is None else self.data.class_names
        return shown(names.get(target, self.classifier.label(target)))

    def score(self, name: str, load: Callable[[], Example], target: int | None = None) -> Outcome:
        """Score one example; see ``score_many``."""
        [outcome] = self.score_many([Item(name, load, target)])
        return outcome

    def score_many(self, items: Sequence[Item]) -> list[Outcome]:
        """Score a chunk of examples: forward passes are filled across examples, methods, steps and random orderings.

        Args:
            items: The examples, in the order that decides how they share passes.

        Returns:
            For each the records, with the columns of ``columns.RECORD`` up to the curve, the same as if it were alone,
            up to how the model rounds in a batch. A cell that fails has the score NaN and says in ``error`` why; it
            costs no other cell.
        """
        opened = [self.open(item) for item in items]
        sizes = {each.seen.shape for each in opened if not each.error}
        # Where each image decides what the model returns, or has a size of its own, it is alone.
        alone = self.output == "auto" or len(sizes) > 1
        outcomes: dict[int, Outcome] = {}
        for some in [[each] for each in opened] if alone else [opened]:
            self._predict_all([each for each in some if not each.error])
            sound = [each for each in some if not each.error]
            outcomes |= zip(map(id, sound), self._outcomes(sound), strict=True)
        return [outcomes[id(each)] if id(each) in outcomes else self._failed(each) for each in opened]

    def confidence(self, name: str, load: Callable[[], Example]) -> tuple[int | None, float, str]:
        """Return an example's own class, its probability, and why there is none; the probability is 0 then."""
        opened = self.open(Item(name, load))
        if not opened.error and opened.known["target"] is None:
            return None, 0.0, f"{name} has no class"
        if not opened.error:
            self._predict_all([opened])
        if opened.error:
            return None, 0.0, opened.error
        return opened.known["target"], opened.known["probability"], ""

    def open(self, item: Item) -> Opened:
        """Read an example and bring it to what the model sees."""
        known: Row = {"image": item.name, "target": item.target, "probability": float("nan"), "seed": self.seed}
        opened = Opened(item.name, known)
        try:
            opened.example = example = item.load()
            known["group"] = shown(example.group)
            target = example.target if item.target is None else item.target
            # What is no whole number fails here, and a record could not hold it.
            known["target"] = None
            known["target"] = None if target is None else index(target)
            photo = self.classifier.preprocess(example.photo())
            opened.inputs = photo[None].to(self.classifier.device, self.dtype)
            if not bool(opened.inputs.isfinite().all()):
                raise InputError(f"{item.name} has a NaN or an infinity in it once it is preprocessed")
        # A broken file, a preprocessing that fails: whatever it is, it is this image's.
        except Exception as error:
            opened.error = in_one_line(error)
        return opened

    def _predict_all(self, sound: Sequence[Opened]) -> None:
        """Find out the classes, predicted ones if none are given, and their probabilities: at once, or one by one."""
        try:
            self._predict(sound)
        # A class that the model does not have, a model that fails: whose it is shows where each is alone.
        except Exception as error:
            if len(sound) == 1:
                sound[0].error = in_one_line(error)
                return
            for each in sound:
                self._predict_all([each])

    def _predict(self, examples: Sequence[Opened]) -> None:
        if not examples:
            return
        with torch.no_grad():
            outputs = self.model(torch.cat([each.seen for each in examples]))
        no_number = has_nan(outputs)
        if not no_number:
            found = classes_of(self.classifier, OutputReader(self.output), outputs, len(examples))
            no_number = has_nan(found)
        if no_number:
            names = ", ".join(each.name for each in examples)
            raise InputError(f"{self.classifier.name} returned a NaN or an infinity for {names}")
        for each, probabilities in zip(examples, found, strict=True):
            given = each.known["target"]
            target = int(probabilities.argmax()) if given is None else given
            if not 0 <= target < len(probabilities):
                held = self.data is not None and self.data.in_memory
                advice = "put a classes.csv (class_index, wnid) beside the folders to say which class each is"
                raise InputError(
                    f"{each.name} is of class {target}, {self.classifier.name} has 0 to {len(probabilities) - 1}; "
                    f"{'labels must be its numbers' if held else advice}"
                )
            predicted = int(probabilities.argmax())
            each.known |= {"target": target, "label": self.label(target), "probability": float(probabilities[target])}
            each.known |= {"predicted": predicted, "predicted_label": self.label(predicted)}
            each.known["predicted_probability"] = float(probabilities[predicted])

    def _outcomes(self, sound: Sequence[Opened]) -> list[Outcome]:
        """Explain and judge examples of one shape."""
        if not sound:
            return []
        inputs = sound[0].seen if len(sound) == 1 else torch.cat([each.seen for each in sound])
        known = [segmentation_of(self.classifier, each.example) for each in sound]
        targets = [each.known["target"] for each in sound]
        explained = self.explainer.explain(inputs, targets, [each for each, _ in known])
        judged, lacking = [], []
        for each, maps, (segmentation, no_mask) in zip(sound, explained, known, strict=True):
            mask = None if segmentation is None else segmentation.reason
            masked = [entry for entry in self.suite.metrics if entry.metric.needs_segmentation]
            entries = [entry for entry in self.suite.metrics if mask is not None or entry not in masked]
            judged.append(Judged(each.seen, each.known["target"], maps.found, mask, entries))
            cells = [failed(label, entry, error) for label, error in maps.errors.items() for entry in entries]
            if no_mask:
                cells += [failed(label, entry, no_mask) for label in self.suite.methods for entry in masked]
            lacking.append(cells)
        evaluated = self.evaluator.evaluate(judged)
        return [self._outcome(*each) for each in zip(sound, explained, judged, lacking, evaluated, strict=True)]

    def _outcome(
        self, opened: Opened, maps: Attributions, judged: Judged, lacking: list[Cell], evaluated: list[Cell]
    ) -> Outcome:
        cells = [*lacking]
        for cell in evaluated:
            cells.append(cell._replace(seconds=cell.seconds + maps.seconds.get(cell.method, 0.0)))
        ordered = {label: maps.found[label] for label in self.suite.methods if label in maps.found}
        return Outcome(self._rows(cells, opened.known), ordered, opened.inputs, maps.parts, judged.mask)

    def _failed(self, opened: Opened) -> Outcome:
        return Outcome(self._rows([failed(*each, opened.error) for each in self._cells()], opened.known))

    def _cells(self) -> Iterator[tuple[str, MetricEntry]]:
        pairs = ((label, entry) for label in self.suite.methods for entry in self.suite.metrics)
        yield from ((label, entry) for label, entry in pairs if self.suite.judges(label, entry.metric))

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
                    # A method of a user's own may have an option of this name.
                    "strength": method.strength if method.transform and method.strength else None,
                    "control": method.control,
                    "metric": entry.label,
                    "variant": entry.variant,
                    "higher_is_better": entry.metric.higher_is_better,
                    "uses_segmentation": entry.metric.needs_segmentation,
                    "baseline_probability": cell.baseline_probability,
                    "error": cell.error,
                    "seconds": cell.seconds,
                }
                rows += [{**known, **about, **each} for each in cell.scores]
        return rows
