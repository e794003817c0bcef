"""Where gradients are sampled: the points gamma_i(x) around or towards an input (step 1 of the paper's section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from captum_gag.attr.contract import Count, Level, Seed
from captum_gag.errors import InputError, warn
from captum_gag.options import checked
from captum_gag.tensors import at_least_single

Gradients = tuple[Tensor, ...]


class Samples(NamedTuple):
    """Points at which gradients are wanted.

    Attributes:
        points: One tensor of shape (k, N, ...) per input: k modified versions of each example.
        weigh: Turns the gradients at the points, shaped like these, into what each contributes: for a path, the
            gradient times the way that is left there. None takes the gradients as they are.
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
            chunk: How many points per example may be yielded at once.
        """
        ...


Range = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From an input (N, ...) to its lowest and highest values, in at least single precision, broadcastable to it."""


def range_of_examples(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of each example."""
    rows = tensor.reshape(len(tensor), -1).to(at_least_single(tensor.dtype))
    lowest, highest = rows.aminmax(dim=1)
    each = (-1, *[1] * (tensor.ndim - 1))
    return lowest.reshape(each), highest.reshape(each)


def range_of_batch(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of all examples together, so that a map depends on its neighbours."""
    lowest, highest = tensor.to(at_least_single(tensor.dtype)).aminmax()
    return lowest, highest


RANGES: dict[str, Range] = {"example": range_of_examples, "batch": range_of_batch}


@checked
@dataclass(frozen=True)
class GaussianNoise:
    """Independent Gaussian noise around the input, as in SmoothGrad.

    Args:
        n_samples: Number of noisy versions of each example.
        stdevs: Standard deviation of the noise, one for all inputs or one for each. None takes
            ``noise_level`` times the range (max - min) of each input.
        noise_level: Used when ``stdevs`` is None.
        seed: With a seed, noise comes from a generator of its own, and sample i has the same noise for every
            example: a map depends neither on the batch that the example came in nor on the chunks, and the
            global random state is left alone. None draws from torch's global generator, independently for
            every example.
        noise_range: Name of an entry of ``RANGES``, used when ``stdevs`` is None: the range of each example, or of the
            whole batch, with which a map depends on the batch that the example came in.
    """

    n_samples: Count = 20
    stdevs: Level | tuple[Level, ...] | None = None
    noise_level: Level = 0.15
    seed: Seed | None = None
    noise_range: str = "example"

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.noise_range not in RANGES:
            raise InputError(f"noise_range is {self.noise_range!r}, expected one of {sorted(RANGES)}.")

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield noisy versions of the inputs; see ``Modification.samples``."""
        stdevs = self._stdevs(inputs)
        generators = {
            tensor.device: None if self.seed is None else torch.Generator(tensor.device).manual_seed(self.seed)
            for tensor in inputs
        }

        for start in range(0, self.n_samples, chunk):
            k = min(chunk, self.n_samples - start)
            points = [torch.empty((k, *x.shape), dtype=stdevs[i].dtype, device=x.device) for i, x in enumerate(inputs)]
            # One draw per sample, not one per chunk: the stream of random numbers must not depend on chunks.
            for sample in range(k):
                for tensor, stdev, point in zip(inputs, stdevs, points, strict=True):
                    shape = tensor.shape if self.seed is None else tensor.shape[1:]
                    generator = generators[tensor.device]
                    noise = torch.randn(shape, generator=generator, dtype=stdev.dtype, device=tensor.device)
                    torch.addcmul(tensor.to(stdev.dtype), noise, stdev, out=point[sample])
            yield Samples(tuple(point.to(tensor.dtype) for point, tensor in zip(points, inputs, strict=True)))

    def _stdevs(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Return each input's standard deviation, in at least single precision, broadcastable to the input."""
        if self.stdevs is None:
            ranges = [highest - lowest for lowest, highest in map(RANGES[self.noise_range], inputs)]
            if self.noise_level:
                _warn_of_constants(ranges)
            return [self.noise_level * each for each in ranges]
        stdevs = self.stdevs if isinstance(self.stdevs, tuple) else (self.stdevs,) * len(inputs)
        if len(stdevs) != len(inputs):
            raise InputError(
                f"stdevs has {len(stdevs)} entries for {len(inputs)} inputs; give one for each, or one number."
            )
        return [
            torch.tensor(stdev, dtype=at_least_single(tensor.dtype), device=tensor.device)
            for stdev, tensor in zip(stdevs, inputs, strict=True)
        ]


def _warn_of_constants(ranges: list[Tensor]) -> None:
    """Say which examples are constant, so that noise relative to their range is none."""
    still = {place for each in ranges for place in (each.flatten() == 0).nonzero().flatten().tolist()}
    if still:
        warn(
            f"All values of example {', '.join(map(str, sorted(still)))} are equal, so that noise relative to their "
            "range is none and every sample the same: variance is 0 but for rounding, and a guide by it means nothing; "
            "give stdevs."
        )
