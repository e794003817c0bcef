"""Modifications that walk from a featureless image to the input: straight, guided by gradients, or by blurring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import toeplitz
from torch import Tensor

from captum_gag.attr.contract import Count, Fraction, Pixels, Share
from captum_gag.attr.modifications import Gradients, Samples
from captum_gag.errors import InputError
from captum_gag.options import checked
from captum_gag.tensors import as_tensor, at_least_single, double_where_there, row_order_statistics

Baselines = None | float | Tensor | tuple[float | Tensor, ...]
"""Where a path starts, as Captum takes it: None for 0, or a number or tensor for all inputs or for each."""

Floats = NDArray[Any]

Quadrature = Literal["gausslegendre", "riemann_left", "riemann_middle", "riemann_right", "riemann_trapezoid"]


def format_baselines(baselines: Baselines, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return one starting point per input, expanded to its shape."""
    several = baselines if isinstance(baselines, tuple) else (0 if baselines is None else baselines,) * len(inputs)
    if len(several) != len(inputs):
        raise InputError(f"baselines has {len(several)} entries for {len(inputs)} inputs; give one for each.")
    starts = []
    for baseline, tensor in zip(several, inputs, strict=True):
        start = as_tensor("baselines", baseline).to(tensor.device, tensor.dtype)
        try:
            starts.append(start.expand_as(tensor))
        except RuntimeError:
            raise InputError(
                f"A baseline has shape {tuple(start.shape)}, expected one that broadcasts to the input's "
                f"{tuple(tensor.shape)}."
            ) from None
    return tuple(starts)


@checked
@dataclass(frozen=True)
class StraightPath:
    """The straight line from a baseline to the input (Integrated Gradients, Sundararajan et al. 2017).

    Args:
        n_samples: Number of points on the line.
        baselines: Where the line starts: None for 0, or a number or tensor in model space.
        method: Quadrature rule, under Captum's names.
    """

    n_samples: Count = 50
    baselines: Baselines = None
    method: Quadrature = "gausslegendre"

    def quadrature(self) -> tuple[Floats, Floats]:
        """Return positions on the line in [0, 1], and weights that sum to 1, ``n_samples`` of each."""
        n = self.n_samples
        if self.method == "gausslegendre":
            nodes, weights = np.polynomial.legendre.leggauss(n)
            return (1 + nodes) / 2, weights / 2
        if self.method == "riemann_trapezoid":
            if n < 2:
                raise InputError(f"The trapezoid rule needs at least 2 steps, got {n}.")
            # Captum gives the inner points 1 / n, so that the weights do not sum to 1.
            weights = np.full(n, 1 / (n - 1))
            weights[[0, -1]] /= 2
            return np.linspace(0, 1, n), weights
        first = {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}[self.method]
        return (np.arange(n) + first) / n, np.full(n, 1 / n)

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield the points on the line; see ``Modification.samples``."""
        starts = format_baselines(self.baselines, inputs)
        positions, weights = self.quadrature()
        pairs = list(zip(inputs, starts, strict=True))

        def like(values: Floats, tensor: Tensor) -> Tensor:
            part = torch.as_tensor(values, dtype=at_least_single(tensor.dtype))
            return part.to(tensor.device).reshape(-1, *[1] * tensor.ndim)

        for first in range(0, self.n_samples, chunk):
            part = slice(first, first + chunk)
            points = ((start + like(positions[part], x) * (x - start)).to(x.dtype) for x, start in pairs)
            steps = [self.n_samples * like(weights[part], x) * (x - start) for x, start in pairs]
            yield Samples(tuple(points), _times(steps))


@checked
@dataclass(frozen=True)
class BlurPath:
    """From the blurred image to the image, by less and less Gaussian blur (Blur IG, Xu et al. 2020).

    Blurring is over all dimensions after the channel. It is separable: one matrix product per dimension, on the model's
    device.

    Args:
        n_samples: Number of blurs.
        max_sigma: The strongest blur, in pixels.
        grad_step: Difference of sigma by which the image's change with sigma is taken, in pixels.
        sqrt: Space the blurs by the square root, denser towards the strongest: sigma_i = sqrt(i max_sigma / n), else
            sigma_i = i max_sigma / n.
    """

    n_samples: Count = 50
    max_sigma: Pixels = 50.0
    grad_step: Pixels = 0.01
    sqrt: bool = False

    def blur(self, images: Tensor, sigma: float) -> Tensor:
        """Blur images (N, C, ...); see ``gaussian_blur``."""
        return gaussian_blur(images, sigma)

    def sigmas(self) -> Floats:
        """Return the blurs in pixels, n_samples + 1 of them from 0 to the strongest."""
        linear = np.arange(self.n_samples + 1) * self.max_sigma / self.n_samples
        return np.sqrt(linear) if self.sqrt else linear

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield the blurred images; see ``Modification.samples``."""
        sigmas = self.sigmas()
        for first in range(0, self.n_samples, chunk):
            numbers = range(first, min(first + chunk, self.n_samples))
            points, steps = [], []
            for tensor in inputs:
                blurred = [self.blur(tensor, sigmas[i]) for i in numbers]
                change = [
                    (image - self.blur(tensor, sigmas[i] + self.grad_step))
                    * (self.n_samples * (sigmas[i + 1] - sigmas[i]) / self.grad_step)
                    for i, image in zip(numbers, blurred, strict=True)
                ]
                points.append(torch.stack(blurred).to(tensor.dtype))
                steps.append(torch.stack(change).to(at_least_single(tensor.dtype)))
            yield Samples(tuple(points), _times(steps))


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur all dimensions after the channel, as ``scipy.ndimage.gaussian_filter(mode="constant")`` does by default.

    Args:
        images: Shape (N, C, ...) with at least one dimension after the channel.
        sigma: Standard deviation in pixels; 0 leaves the images as they are. The kernel is cut at 4 sigma.

    Returns:
        Tensor like ``images``, in double precision where the device has it: differences of blurs are small.
    """
    if images.ndim < 3:
        raise InputError(f"inputs have shape {tuple(images.shape)}, expected (N, C, ...): only that can be blurred.")
    blurred = images.to(double_where_there(images))
    if sigma == 0:
        return blurred
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    for dim in range(2, images.ndim):
        # By the distance of two pixels; beyond the border there is 0.
        length = images.shape[dim]
        kernel = toeplitz(np.pad(weights[reach:], (0, length))[:length])
        matrix = torch.as_tensor(kernel, dtype=blurred.dtype, device=images.device)
        blurred = (blurred.transpose(dim, -1) @ matrix).transpose(dim, -1)
    return blurred


@checked
@dataclass(frozen=True)
class GuidedPath:
    """A path that moves first what the model reacts least to (Guided IG, Kapishnikov et al. 2021).

    In each of n steps the L1 distance to the input shrinks by 1/n. Features move towards it in the order of their
    gradient's magnitude, the ``fraction`` of lowest ones at a time, none further than ``max_dist`` from where the
    straight line would have it. Every example has a path of its own; all inputs of an example share one.

    Args:
        n_samples: Number of steps.
        baselines: Where the path starts: None for 0, or a number or tensor in model space.
        fraction: Share of the features, in (0, 1], that is moved at a time.
        max_dist: Largest distance of a feature from the straight line, in [0, 1] of its whole way; 0 is the straight
            line itself.
    """

    n_samples: Count = 50
    baselines: Baselines = None
    fraction: Fraction = 0.25
    max_dist: Share = 0.02

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield the points of the path one by one; see ``Modification.samples``."""
        sizes = [tensor[0].numel() for tensor in inputs]

        def join(tensors: tuple[Tensor, ...]) -> Tensor:
            return torch.cat(
                [tensor.reshape(len(inputs[0]), -1).to(at_least_single(tensor.dtype)) for tensor in tensors], 1
            )

        def split(rows: Tensor) -> list[Tensor]:
            return [part.reshape(tensor.shape) for part, tensor in zip(rows.split(sizes, 1), inputs, strict=True)]

        start, end = join(format_baselines(self.baselines, inputs)), join(inputs)
        here = start
        for step in range(self.n_samples):

            def weigh(gradients: Gradients, step: int = step) -> Gradients:
                nonlocal here
                rows = join(gradients)
                there = self._advance(here, start, end, rows.abs(), step)
                contributions = self.n_samples * (there - here) * rows
                here = there
                return tuple(part.unsqueeze(0) for part in split(contributions))

            points = [part.to(tensor.dtype) for part, tensor in zip(split(here), inputs, strict=True)]
            yield Samples(tuple(point.unsqueeze(0).clone() for point in points), weigh)

    def _advance(self, here: Tensor, start: Tensor, end: Tensor, reaction: Tensor, step: int) -> Tensor:
        """Move rows (N, F) on, least reaction first, until their L1 distance to the end is that of the step."""
        way = end - start
        progress = (step + 1) / self.n_samples
        lowest = start + way * max(progress - self.max_dist, 0.0)
        highest = start + way * min(progress + self.max_dist, 1.0)
        behind = (here - start).abs() < (lowest - start).abs()
        here = torch.where(behind, lowest, here)
        missing = (end - here).abs().sum(1) - way.abs().sum(1) * (1 - progress)
        room = (highest - here).abs()
        reaction = torch.where(room > 0, reaction, torch.inf)
        # The features in blocks of equal rank range: every block moves as far as it may before the next one moves.
        features = reaction.shape[1]
        size = int(self.fraction * (features - 1)) + 1
        edges = row_order_statistics(reaction, range(size - 1, features - 1, size)).contiguous()
        block = torch.searchsorted(edges, reaction)
        capacity = torch.zeros(len(here), edges.shape[1] + 1, dtype=here.dtype, device=here.device)
        capacity.scatter_add_(1, block, room)
        before = capacity.cumsum(1) - capacity
        share = ((missing.unsqueeze(1) - before) / capacity).nan_to_num(0.0).clamp(0, 1)
        # lerp is exact at 1: a feature that has arrived must have no room left in the next step.
        return torch.lerp(here, highest, share.gather(1, block))


def _times(steps: list[Tensor]) -> Callable[[Gradients], Gradients]:
    return lambda gradients: tuple(gradient * step for gradient, step in zip(gradients, steps, strict=True))
