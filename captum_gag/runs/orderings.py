"""Random orderings of the pixels, kept as one method: what each of them scores, their mean and their band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from captum_gag.attr.catalogue import method
from captum_gag.attr.methods import Method
from captum_gag.metrics.aopc import AOPCMetric
from captum_gag.metrics.base import Metric
from captum_gag.metrics.readings import Curve, Reading
from captum_gag.options import declared, option, options_of


@declared
class RandomOrderings(Method):
    """Control: n seeded random orderings of the pixels, the same for every image; number i is the map of Random:i."""

    control = "random"
    n: int = option(help="How many.", ge=1)

    def ordering(self, number: int) -> Method:
        """Return one of them as a method by itself."""
        return method("Random", seed=number)

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return the map of the first ordering, (N, 1, *positions), of tables (N, F)."""
        return self.ordering(0).explain(model, inputs, targets, seed)

    def maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the map of each ordering, (N, *positions), one memory for all N images."""
        # A value per position does not depend on the model or on what is in the image.
        targets = torch.zeros(len(inputs), dtype=torch.long)
        found = (self.ordering(each).explain(nn.Identity(), inputs, targets, None) for each in range(self.n))
        return [each if inputs.ndim == 2 else each[:, 0] for each in found]


@dataclass(frozen=True, eq=False)
class OverOrderings(Reading):
    """What a metric reads of every ordering.

    Attributes:
        readings: One for each ordering.
    """

    readings: Sequence[Reading]

    def of_each(self, steps: int | None) -> Tensor:
        """Return the score of every ordering, at a number of steps where there is one, (N, n) in double precision."""
        found = (each.score if steps is None else each.at(steps) for each in self.readings)
        return torch.stack([each.double() for each in found], 1)

    @property
    def score(self) -> Tensor:
        """Mean over the orderings, (N,)."""
        return self.of_each(None).mean(1)

    def at(self, steps: int) -> Tensor:
        """Return the mean over the orderings at a number of steps, (N,)."""
        return self.of_each(steps).mean(1)

    def bands(self, steps: int | None) -> list[Curve]:
        """Return of each image the scores of all orderings, over their numbers."""
        numbers = [float(each) for each in range(len(self.readings))]
        return [Curve(numbers, scores, "random ordering", "score") for scores in self.of_each(steps).tolist()]


def judging_orderings(metrics: Sequence[Metric]) -> tuple[list[Metric], list[int]]:
    """Return the metrics that judge random orderings, and which of them stands for each of the given ones.

    The reverse of a uniformly random ordering is a uniformly random ordering, so that AOPC's MoRF and LeRF of one have
    the same distribution: each ordering is evaluated once, from its first pixel to its last, for both. MoRF of
    ordering i is that of the method Random:i; LeRF is the same number.
    """
    found: dict[object, Metric] = {}
    places = []
    for metric in metrics:
        key: object = id(metric)
        if type(metric) is AOPCMetric and metric.order in ("morf", "lerf"):
            metric = replace(metric, order="morf")
            values = (getattr(metric, each.name) for each in options_of(AOPCMetric))
            # Baselines may be tensors or functions, which are the same if they are the same object.
            key = tuple(each if isinstance(each, str | int | float | tuple) else id(each) for each in values)
        found.setdefault(key, metric)
        places.append(list(found).index(key))
    return list(found.values()), places
