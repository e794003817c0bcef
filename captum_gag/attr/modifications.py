"""Points gamma_i(x) around or towards an input at which gradients are sampled (step 1 of the paper's section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import BeforeValidator
from torch import Tensor

from captum_gag.attr.contract import Count, Level, Seed
from captum_gag.errors import InputError, warn
from captum_gag.options import checked
from captum_gag.tensors import at_least_single, seeded_generator

Gradients = tuple[Tensor, ...]


class Samples(NamedTuple):
    """Points at which gradients are taken.

    Attributes:
        points: One tensor of shape (k, N, ...) per input: k modified versions of each example.
        weigh: From the gradients at the points, shaped like these, to their contributions: for a path, the gradient
            times the step. None takes the gradients as they are.
    """

    points: tuple[Tensor, ...]
    weigh: Callable[[Gradients], Gradients] | None = None


@runtime_checkable
class Modification(Protocol):
    """A way to choose sample points."""

    @property
    def n_samples(self) -> int:
        """Number of sample points of each example."""
        ...

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield all sample points, at most ``chunk`` per example at a time.

        The gradients at the points yielded are weighed before the next points are asked for, so that a path may
        depend on the gradients that it met.

        Args:
            inputs: Tensors of shape (N, ...), floating point, without gradient history.
            chunk: Most points per example to yield at once.
        """
        ...


def lowest_and_highest(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of each example, in at least single precision, (N, 1, ...)."""
    rows = tensor.reshape(len(tensor), -1).to(at_least_single(tensor.dtype))
    lowest, highest = rows.aminmax(dim=1)
    shape = (-1, *[1] * (tensor.ndim - 1))
    return lowest.reshape(shape), highest.reshape(shape)


def _deviations(value: Any) -> Any:
    value = value.tolist() if isinstance(value, Tensor | np.ndarray) else value
    value = tuple(value) if isinstance(value, list) else value
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(stdev, int | float) and type(stdev) is not bool and 0 <= stdev < inf for stdev in numbers):
        raise ValueError("a finite number >= 0, or a tuple of them, one for each input")
    return value


Deviations = Annotated[float | tuple[float, ...], BeforeValidator(_deviations)]
"""Standard deviations in units of the inputs: one number, or one for each input."""


@checked
@dataclass(frozen=True)
class GaussianNoise:
    """Independent Gaussian noise around the input, as in SmoothGrad.

    Args:
        n_samples: Number of noisy versions of each example.
        stdevs: Standard deviation of the noise in units of the input, one number or one per input; None takes
            ``noise_level`` times the range (max - min) of each example.
        noise_level: Standard deviation of the noise, as a share of the example's range, where ``stdevs`` is None.
        seed: Seed of the noise; None draws from torch's global random state. With a seed sample i has the same noise
            for every example: a map depends neither on the batch that the example came in nor on the chunks, and the
            global random state is left alone.
    """

    n_samples: Count = 20
    stdevs: Deviations | None = None
    noise_level: Level = 0.15
    seed: Seed | None = None

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield noisy versions of the inputs; see ``Modification.samples``."""
        deviations = self._deviations(inputs)
        noises = [
            # Not like the tensor, whose strides would change the order of the numbers.
            tensor.new_empty(tensor.shape if self.seed is None else tensor.shape[1:], dtype=deviation.dtype)
            for tensor, deviation in zip(inputs, deviations, strict=True)
        ]
        generators = {tensor.device: seeded_generator(self.seed, tensor.device) for tensor in inputs}

        for start in range(0, self.n_samples, chunk):
            count = min(chunk, self.n_samples - start)
            # The copies of an example are side by side in memory, as the model takes them.
            points = [tensor.new_empty((len(tensor), count, *tensor.shape[1:])) for tensor in inputs]
            # One draw per sample, not one per chunk: the stream of random numbers must not depend on chunks.
            for number in range(count):
                for tensor, deviation, noise, copies in zip(inputs, deviations, noises, points, strict=True):
                    noise.normal_(generator=generators[tensor.device])
                    if noise.dtype == tensor.dtype:
                        torch.addcmul(tensor, noise, deviation, out=copies[:, number])
                    else:
                        copies[:, number] = torch.addcmul(tensor.to(noise.dtype), noise, deviation)
            yield Samples(tuple(copies.transpose(0, 1) for copies in points))

    def range(self, tensor: Tensor) -> Tensor:
        """Return the range (max - min) that ``noise_level`` is a share of, broadcastable to the input."""
        lowest, highest = lowest_and_highest(tensor)
        return highest - lowest

    def _deviations(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        # In at least single precision, broadcastable to the inputs.
        if self.stdevs is None:
            ranges = list(map(self.range, inputs))
            constant = {row for width in ranges for row in (width.flatten() == 0).nonzero().flatten().tolist()}
            if self.noise_level and constant:
                warn(
                    f"All values of example {', '.join(map(str, sorted(constant)))} are equal, so that noise relative "
                    "to their range is none and every sample the same: variance is 0 but for rounding, and a guide by "
                    "it means nothing; give stdevs."
                )
            return [self.noise_level * width for width in ranges]
        stdevs = self.stdevs if isinstance(self.stdevs, tuple) else (self.stdevs,) * len(inputs)
        if len(stdevs) != len(inputs):
            raise InputError(
                f"stdevs has {len(stdevs)} entries for {len(inputs)} inputs; give one for each, or one number."
            )
        return [
            torch.tensor(stdev, dtype=at_least_single(tensor.dtype), device=tensor.device)
            for stdev, tensor in zip(stdevs, inputs, strict=True)
        ]
