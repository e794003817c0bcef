"""The maps of every method for a chunk of examples; what fails costs its own example and method."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from captum_gag.attr.methods import Method, shared_gradients
from captum_gag.attr.transforms import Transform
from captum_gag.batching import with_less_memory
from captum_gag.data.datasets import Example
from captum_gag.errors import InputError, in_one_line
from captum_gag.models import Classifier
from captum_gag.modules import computing_in
from captum_gag.outputs import Output
from captum_gag.runs.guide_parts import guided, parts_of
from captum_gag.runs.orderings import RandomOrderings
from captum_gag.runs.spec import Suite
from captum_gag.tensors import Target


@dataclass
class Attributions:
    """What the methods of a suite say of one example, by label.

    Attributes:
        found: Attributions (1, C, H, W), or (1, 1, H, W).
        seconds: What each cost.
        errors: Why there are none.
        parts: What GAG's attribution is made of, by name, likewise, if that was asked for.
    """

    found: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Tensor] = field(default_factory=dict)


class Segmentation(NamedTuple):
    """Masks of the parts of an example.

    Attributes:
        reason: 1 on the part that carries the class, 0 elsewhere, (1, 1, H, W).
        distractor: The same of a part that does not; None where there is none.
    """

    reason: Tensor
    distractor: Tensor | None = None


def segmentation_of(classifier: Classifier, example: Example | None) -> tuple[Segmentation | None, str]:
    """Return where the parts of an example lie as the model sees it, if that is known, and why not, if it fails."""
    if example is None or example.mask is None:
        return None, ""
    try:
        reason = classifier.preprocess_mask(example.mask())[None]
        elsewhere = example.distractor and classifier.preprocess_mask(example.distractor())[None]
        return Segmentation(reason, elsewhere), ""
    # It is missing, broken, or does not fit; what does not need it is none the worse.
    except Exception as error:
        return None, in_one_line(error)


class Explainer:
    """The methods of a suite, which explain chunks of examples."""

    def __init__(
        self, model: nn.Module, suite: Suite, seed: int, output: Output, autocast: torch.dtype | None = None
    ) -> None:
        """Take a model, the methods, the seed of all noise, what the model returns, and in what it may compute."""
        self.model, self.suite, self.seed, self.output, self.autocast = model, suite, seed, output, autocast
        self.parts: dict[str, Method] = {}

    def keep_parts(self) -> None:
        """Give what GAG's attribution is made of too, if a method is GAG: from the same gradients."""
        gag = guided(self.suite.methods)
        self.parts = {} if gag is None else parts_of(gag)

    def explain(
        self, inputs: Tensor, targets: Sequence[int], known: Sequence[Segmentation | None]
    ) -> list[Attributions]:
        """Explain every example with every method; methods that take the same gradients take them once.

        Args:
            inputs: The examples, (N, C, H, W).
            targets: Their classes.
            known: Their segmentations, where there are any.

        Returns:
            N of what was found, each the same as if its example were alone, up to how the model rounds in a batch.
        """
        examples = [Attributions() for _ in targets]
        seen: set[str] = set()
        for label, method in self.suite.methods.items():
            # They cost no attribution.
            if label in seen or isinstance(method, RandomOrderings):
                continue
            if method.control == "truth":
                for example, segmentation in zip(examples, known, strict=True):
                    self._known(label, method, segmentation, example, inputs.device)
                continue
            group = {label: method}
            if method.shared is not None:
                group = {name: each for name, each in self.suite.methods.items() if each.shared == method.shared}
            seen |= group.keys()
            group |= {name: each for name, each in self.parts.items() if each.shared == method.shared}
            alone = any(each.batch_dependent for each in group.values())
            for rows in [[row] for row in range(len(targets))] if alone else [list(range(len(targets)))]:
                self._explain(group, inputs, targets, rows, examples)
        return examples

    def _known(
        self, label: str, method: Any, known: Segmentation | None, example: Attributions, device: torch.device
    ) -> None:
        """Make the map of a segmentation."""
        started = time.perf_counter()
        try:
            if known is None:
                raise InputError("there is no segmentation to make the map of")
            example.found[label] = method.of_segmentation(*known, self.seed).to(device)
        except Exception as error:
            example.errors[label] = in_one_line(error)
        example.seconds[label] = time.perf_counter() - started

    def _explain(
        self,
        group: Mapping[str, Method],
        inputs: Tensor,
        targets: Sequence[int],
        rows: list[int],
        examples: list[Attributions],
    ) -> None:
        """Explain some of the examples with one group of methods: together, and where that fails one by one."""
        some = inputs if len(rows) == len(inputs) else inputs[rows]
        classes = torch.tensor([targets[row] for row in rows])
        started, maps, error = time.perf_counter(), {}, ""
        try:
            maps = self._attribute(group, examples[rows[0]].found, some, classes)
        except Exception as failure:
            if len(rows) > 1:
                for row in rows:
                    self._explain(group, inputs, targets, [row], examples)
                return
            error = in_one_line(failure)
        seconds = (time.perf_counter() - started) / (len(group) * len(rows))
        for label in group:
            for place, row in enumerate(rows):
                examples[row].seconds[label] = seconds
                if label in self.parts:
                    examples[row].parts |= {label: maps[label][place : place + 1]} if maps else {}
                elif label in maps:
                    examples[row].found[label] = maps[label][place : place + 1]
                else:
                    examples[row].errors[label] = error

    def _attribute(
        self, group: Mapping[str, Method], found: Mapping[str, Tensor], inputs: Tensor, targets: Target
    ) -> dict[str, Tensor]:
        [(label, method), *others] = group.items()
        base = self.suite.bases.get(label, "")
        if base in found and isinstance(method, Transform):
            return {label: method.transformed(found[base], self.seed)}
        if not others:
            return {label: with_less_memory(lambda: self.attributed(method, self.model, inputs, targets))}
        methods = list(group.values())
        with computing_in(self.autocast, self.model, inputs.device):
            shared = with_less_memory(
                lambda: shared_gradients(methods, self.model, inputs, targets, self.seed, output=self.output)
            )
        return dict(zip(group, shared, strict=True))

    def attributed(self, method: Method, model: nn.Module, images: Tensor, targets: Target) -> Tensor:
        """Return what a method says of images, with the run's seed."""
        with computing_in(self.autocast, model, images.device):
            return method.attribute(model, images, targets, self.seed, output=self.output)
