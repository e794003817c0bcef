"""When an example has samples enough: all of them, or as soon as its map has settled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from captum_gag.attr.aggregations import Aggregation, GradientMoments
from captum_gag.attr.interpretations import Interpretation
from captum_gag.attr.saliency import saliency_map

Tolerance = Annotated[float, Gt(0), Lt(1)]

FIRST_LOOK = 4
"""Samples before the first look at a map: fewer leave no variance to one of its halves."""


class EverySample:
    """The moments of N examples, each of all samples.

    Attributes:
        rows: The examples that take the next samples, in their order.
    """

    def __init__(self, interpretation: Interpretation, n_inputs: int, n_examples: int) -> None:
        """Start with no samples.

        Args:
            interpretation: How each gradient is read.
            n_inputs: Tensors of which an example consists.
            n_examples: N.
        """
        self.rows = list(range(n_examples))
        self._moments = [GradientMoments(interpretation) for _ in range(n_inputs)]

    def at_once(self, most: int) -> int:
        """Return how many samples of an example may come at once, of the ``most`` that may go through the model."""
        return most

    def update(self, gradients: Sequence[Tensor]) -> None:
        """Take in the gradients (k, len(rows), ...) of each input."""
        for each, gradient in zip(self._moments, gradients, strict=True):
            each.update(gradient)

    def moments(self) -> list[GradientMoments]:
        """Return the moments of all N examples, for each input."""
        return self._moments


class UntilStable(EverySample):
    r"""The moments of N examples, each of as many samples as its map needs to settle.

    The samples are divided into odd and even ones. Of the maps of both halves (``saliency_map``) the rank correlation r
    (Spearman) is taken. The formula of Spearman and Brown estimates from it how the map of all samples correlates with
    another one of as many, and the root of that how it does with the map of infinitely many:

    .. math:: R = \sqrt{\frac{2 r}{1 + r}}

    After the fourth sample, and after every second one from there, an example stops if R is at least
    :math:`1 - \text{tolerance}`, for each of its inputs. R is an estimate: right for the linear correlation of means
    of independent samples, near that for ranks, an approximation for a guided mean, and a little too high because the
    first look at which it is high enough is the last. An example whose map has no ranking takes all samples.
    """

    def __init__(
        self,
        interpretation: Interpretation,
        n_inputs: int,
        n_examples: int,
        aggregation: Aggregation,
        tolerance: float,
    ) -> None:
        """Start with no samples.

        Args:
            interpretation: How each gradient is read.
            n_inputs: Tensors of which an example consists.
            n_examples: N.
            aggregation: How gradients become the map that is looked at.
            tolerance: How far R may be below 1, in (0, 1).
        """
        super().__init__(interpretation, n_inputs, n_examples)
        self.aggregation, self.tolerance = aggregation, tolerance
        self._halves = [[GradientMoments(interpretation) for _ in range(n_inputs)] for _ in range(2)]
        self._stopped: list[tuple[list[int], list[GradientMoments]]] = []

    def at_once(self, most: int) -> int:
        """Return 2 at most: looks must not depend on how samples come."""
        return min(most, 2)

    def update(self, gradients: Sequence[Tensor]) -> None:
        """Take in the gradients (k, len(rows), ...) of each input, and let go of the examples that are stable."""
        for sample in range(len(gradients[0])):
            half = self._halves[self._count % 2]
            for whole, part, gradient in zip(self._moments, half, gradients, strict=True):
                whole.update(gradient[sample : sample + 1])
                part.update(gradient[sample : sample + 1])
        if self._count >= FIRST_LOOK and self._count % 2 == 0:
            self._let_go(self._stability() >= 1 - self.tolerance)

    def moments(self) -> list[GradientMoments]:
        """Return the moments of all N examples, for each input; their counts are those of each example, (N, 1, ...)."""
        parts = [*self._stopped, (self.rows, self._moments)]
        return [
            GradientMoments.joined([(rows, moments[place]) for rows, moments in parts])
            for place in range(len(self._moments))
        ]

    @property
    def _count(self) -> int:
        return int(self._moments[0].signed.count)

    def _stability(self) -> NDArray[np.float64]:
        """Return R of each example, the lowest of its inputs; NaN where a map has no ranking."""
        with warnings.catch_warnings():
            # Of a guide that amplifies, and of maps without ranking, the attribution itself warns.
            warnings.simplefilter("ignore")
            found = [
                [correlation_with_infinitely_many(*maps) for maps in zip(*map(self._maps, halves), strict=True)]
                for halves in zip(*self._halves, strict=True)
            ]
        lowest: NDArray[np.float64] = np.min(found, axis=0)
        return lowest

    def _maps(self, moments: GradientMoments) -> NDArray[np.float64]:
        maps: NDArray[np.float64] = saliency_map(self.aggregation(moments)).flatten(1).cpu().numpy()
        return maps

    def _let_go(self, stable: NDArray[np.bool_]) -> None:
        if not stable.any():
            return
        leave, stay = ([int(place) for place in np.flatnonzero(some)] for some in (stable, ~stable))
        self._stopped.append(
            ([self.rows[place] for place in leave], [each.of_examples(leave) for each in self._moments])
        )
        self.rows = [self.rows[place] for place in stay]
        self._moments = [each.of_examples(stay) for each in self._moments]
        self._halves = [[each.of_examples(stay) for each in half] for half in self._halves]


def correlation_with_infinitely_many(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return R of ``UntilStable``, in [0, 1], out of the values of two half maps; NaN where one has no ranking."""
    r = float(spearmanr(one, other).statistic)
    # Two halves that contradict one another tell as little as two that have nothing in common.
    return math.sqrt(2 * max(r, 0.0) / (1 + max(r, 0.0))) if r == r else math.nan
