"""Aggregation of sampled gradients into one attribution: streaming moments, and what reads them (step 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import avg_pool1d

from captum_gag.attr.contract import Percentile
from captum_gag.attr.interpretations import Interpretation, signed
from captum_gag.errors import InputError, shown, warn
from captum_gag.options import checked
from captum_gag.tensors import Odd, double_where_there, row_percentiles

SMALL_IN_HALF = 1e-3
"""Largest gradient of an example, a tenth of which is near the smallest number that float16 holds in full."""

ROUNDING = 4.0
"""Units in the last place of their mean by which equal samples may differ."""


@dataclass
class RunningMoments:
    """Mean and variance of a stream of equally shaped tensors, by Welford's update.

    Neither memory nor rounding grows with the number of samples. They are taken one after the other, so that the result
    does not depend on how they were grouped into batches. Squares are in double precision, because those of gradients
    of 1e-25 are 0 in single. With ``mean_only`` there is no variance.
    """

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.empty(0))
    squares: Tensor = field(default_factory=lambda: torch.empty(0))
    mean_only: bool = False

    def update(self, samples: Tensor) -> None:
        """Take in samples of shape (k, ...)."""
        if self.count == 0:
            self.mean = torch.zeros_like(samples[0])
            if not self.mean_only:
                self.squares = torch.zeros_like(samples[0], dtype=double_where_there(samples))
        # Fresh memory for each sample would cost more than its arithmetic.
        deviation, promoted = torch.empty_like(self.mean), torch.empty_like(self.squares)
        for sample in samples:
            self.count += 1
            share = 1 / self.count
            torch.sub(sample, self.mean, out=deviation)
            self.mean.add_(deviation, alpha=share)
            if not self.mean_only:
                promoted.copy_(deviation)
                self.squares.addcmul_(promoted, promoted, value=1 - share)

    @property
    def variance(self) -> Tensor:
        """Unbiased variance (equation 3): the sum of squared deviations over count - 1.

        0 where samples differ by the rounding of their mean alone, as the same gradient does in two batches.
        """
        if self.mean_only:
            raise InputError("The mean alone was kept of these samples; a variance needs mean_only=False.")
        if self.count < 2:
            raise InputError(f"A variance needs at least 2 samples, got {self.count}; raise the number of samples.")
        variance = self.squares / (self.count - 1)
        rounding = ROUNDING * torch.finfo(self.mean.dtype).eps * self.mean.to(variance.dtype)
        return variance.masked_fill_(variance <= rounding.square_(), 0.0)


class GradientMoments:
    """Moments of all sampled gradients of one input (N, ...): of themselves, ``signed``, and ``interpreted``."""

    def __init__(self, interpretation: Interpretation, mean_only: bool = False) -> None:
        self.interpretation = interpretation
        self.signed = RunningMoments()
        self.interpreted = self.signed if interpretation is signed else RunningMoments(mean_only=mean_only)

    def update(self, gradients: Tensor) -> None:
        """Take in gradients of shape (k, N, ...)."""
        self.signed.update(gradients)
        if self.interpreted is self.signed:
            return
        interpreted = self.interpretation(gradients)
        if not isinstance(interpreted, Tensor) or len(interpreted) != len(gradients):
            expected = f"expected a tensor like its gradients, {shown(gradients)}"
            raise InputError(f"interpretation returned {shown(interpreted)}, {expected}.")
        self.interpreted.update(interpreted)

    def of_interpretation(self, index: int) -> GradientMoments:
        """Return the moments of one of several interpretations that were stacked, (k, interpretations, N, ...)."""
        moments, stacked = GradientMoments(self.interpretation), self.interpreted
        moments.signed = self.signed
        moments.interpreted = RunningMoments(stacked.count, stacked.mean[index], stacked.squares[index])
        return moments

    def standard_error(self) -> Tensor:
        """Return the Monte-Carlo standard error of the mean interpreted gradient, shape (N, ...)."""
        return (self.interpreted.variance / self.interpreted.count).sqrt()


def warn_of_half_precision(moments: Sequence[GradientMoments], inputs: Sequence[Tensor]) -> None:
    """Warn where gradients in float16 are so small that they have few digits, or none."""
    for moment, tensor in zip(moments, inputs, strict=True):
        if tensor.dtype == torch.float16:
            squares = moment.signed.squares
            mean_square = squares / moment.signed.count + moment.signed.mean.to(squares.dtype).square()
            largest = mean_square.sqrt().flatten(1).amax(1)
            if small := int((largest < SMALL_IN_HALF).sum()):
                warn(
                    f"The gradients of {small} of {len(largest)} examples have a root mean square of at most "
                    f"{float(largest.min()):.1g} in float16, which has few digits below 6e-5 and none below 6e-8, so "
                    "that their maps are coarse or 0; take bfloat16 or float32, or multiply the model's output by a "
                    "constant."
                )


Aggregation = Callable[[GradientMoments], Tensor]
"""A function from the moments of one input to its attribution of shape (N, ...)."""


@dataclass(frozen=True)
class Mean:
    """Mean of the interpreted gradients (equation 2 when they are magnitudes)."""

    def __call__(self, moments: GradientMoments) -> Tensor:
        """Return the mean."""
        return moments.interpreted.mean


@dataclass(frozen=True)
class Variance:
    """Unbiased variance of the interpreted gradients (VarGrad; equation 3 when they are signed)."""

    def __call__(self, moments: GradientMoments) -> Tensor:
        """Return the variance."""
        return moments.interpreted.variance


Side = Annotated[int, Ge(1), Odd]
Window = Side | tuple[Side, ...]
"""Sides of a box, odd so that it has a middle: one for all axes after the second, or one for each after the first."""

Guide = Literal["paper", "relative"]


@checked
@dataclass(frozen=True)
class GuidedMean:
    """Mean of the interpreted gradients times the guide G of equation 4 (step 3 of Guided AbsoluteGrad).

    G is 1 where the variance V of the signed gradients reaches its ``percentile``-th percentile, and less below. The
    percentile is taken per example and channel for inputs (N, C, ...), per example for (N, F).

    Args:
        percentile: The guide's p in [0, 100]: the percentile of the gradients' variance; 0 gives the plain mean.
        guide: Below the percentile, "paper" multiplies by V (equation 4), "relative" by V divided by its percentile.
        guide_window: Odd side of the box of positions over which V is averaged; 1 is the paper. A tuple has a side for
            each axis after the first, as inputs (N, C, T) and (N, F) need it; see ``box_mean``.
    """

    percentile: Percentile = 85.0
    guide: Guide = "paper"
    guide_window: Window = 1

    def __call__(self, moments: GradientMoments) -> Tensor:
        """Return the guided mean, shape (N, ...)."""
        if self.percentile == 0:
            return moments.interpreted.mean
        variance = box_mean(moments.signed.variance, self.guide_window)
        rows = variance.flatten(2).flatten(0, 1) if variance.ndim > 2 else variance.reshape(len(variance), -1)
        threshold = row_percentiles(rows, [self.percentile])
        reached = self.reached(rows, threshold)
        guide = (rows if self.guide == "paper" else rows.div_(threshold)).masked_fill_(reached, 1.0)
        if self.guide == "paper" and bool((guide > 1).any()):
            warn(
                "The gradient variance V exceeds 1 below its percentile, so the paper's guide (equation 4) amplifies "
                "there what it should damp; rescale the model's output, or use guide='relative', which never exceeds 1."
            )
        return guide.reshape(variance.shape).mul_(moments.interpreted.mean)

    def reached(self, variance: Tensor, threshold: Tensor) -> Tensor:
        """Return the mask of where the guide is 1, for rows of variances and the percentile of each."""
        return variance >= threshold


def box_mean(variance: Tensor, window: Window) -> Tensor:
    """Return the mean over a box around each position; at the border over the part of the box that is inside.

    Its bias and variance are in docs/methods.md, "Fewer samples".

    Args:
        variance: Shape (N, ...).
        window: Side of the box in positions, odd: a number for all axes after the second of (N, C, *positions), or a
            tuple with one for each axis after the first, such as (1, 5, 5) for (N, C, H, W). A number needs inputs of
            at least four dimensions, because (N, C, T) may be a signal, (1, 5), or token embeddings, (5, 1).
    """
    shape = tuple(variance.shape[1:])
    if window == 1:
        return variance
    dimensions = f"({', '.join(['N', *map(str, shape)])})"
    if isinstance(window, int) and len(shape) < 3:
        raise InputError(
            f"guide_window {window} for inputs {dimensions}: the axes with neighbours are ambiguous; give a side for "
            "each axis after the first, such as (1, 5) of signals (N, C, T), or leave it at 1."
        )
    sides = (1, *[window] * (len(shape) - 1)) if isinstance(window, int) else window
    if len(sides) != len(shape) or any(side > size for side, size in zip(sides, shape, strict=True)):
        raise InputError(
            f"guide_window {window} for inputs {dimensions}: expected a side for each axis after the first, none "
            "larger than the axis."
        )
    for axis, side in enumerate(sides, start=1):
        if side > 1:
            rows = variance.movedim(axis, -1)
            signals = rows.reshape(-1, 1, rows.shape[-1])
            means = avg_pool1d(signals, side, stride=1, padding=side // 2, count_include_pad=False)
            variance = means.reshape(rows.shape).movedim(-1, axis)
    return variance
