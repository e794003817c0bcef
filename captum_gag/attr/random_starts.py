"""Straight lines to the input from random images, over which Integrated Gradients is averaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_gag.attr.contract import Count, Seed
from captum_gag.attr.modifications import RANGES, Samples
from captum_gag.attr.paths import StraightPath
from captum_gag.errors import InputError
from captum_gag.options import checked


@checked
@dataclass(frozen=True)
class RandomStarts:
    """Straight lines from random images to the input, equally many points on each.

    The values of a random image are independent and uniform between the lowest and the highest of the example. The mean
    over the points is the mean of the lines' Integrated Gradients.

    Args:
        n_samples: Number of points on all lines together, a multiple of ``n_baselines``.
        n_baselines: Number of random images.
        method: Name of an entry of ``QUADRATURES``.
        seed: With a seed, the random numbers are the same for every example and torch's global random state is left
            alone. None draws from that, independently for every example.
    """

    n_samples: Count = 50
    n_baselines: Count = 2
    method: str = "gausslegendre"
    seed: Seed | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.n_samples % self.n_baselines:
            raise InputError(
                f"n_samples is {self.n_samples} for {self.n_baselines} random baselines, expected a multiple: equally "
                "many points on the line from each."
            )
        self._line(())

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield the points of one line after the other; see ``Modification.samples``."""
        generators = {
            tensor.device: None if self.seed is None else torch.Generator(tensor.device).manual_seed(self.seed)
            for tensor in inputs
        }
        for _ in range(self.n_baselines):
            starts = []
            for tensor in inputs:
                lowest, highest = RANGES["example"](tensor)
                shape = tensor.shape if self.seed is None else tensor.shape[1:]
                share = torch.rand(shape, generator=generators[tensor.device], dtype=lowest.dtype, device=tensor.device)
                starts.append((lowest + share * (highest - lowest)).to(tensor.dtype))
            yield from self._line(tuple(starts)).samples(inputs, chunk)

    def _line(self, starts: tuple[Tensor, ...]) -> StraightPath:
        return StraightPath(self.n_samples // self.n_baselines, starts, self.method)
