"""How many sampled gradients become one attribution: streaming moments, and what is read off them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from captum_gag.attr.contract import Percentile
from captum_gag.attr.interpretations import Interpretation, signed
from captum_gag.attr.pooling import BoxPooling, Pooling
from captum_gag.errors import InputError, shown, warn
from captum_gag.options import checked
from captum_gag.tensors import double_where_there, row_percentiles

SMALL_IN_HALF = 1e-3
"""Largest gradient of an example, a tenth of which is near the smallest number that float16 holds in full."""

ROUNDING = 4.0
"""Units in the last place of their mean by which samples may differ that are the same."""


class RunningMoments:
    """Mean and variance of a stream of equally shaped tensors, by Welford's update.

    Nothing is kept but three tensors, and no large sums are subtracted from one another: neither memory nor
    rounding grows with the number of tensors. Samples are taken one after the other, so that the result does
    not depend on how they were grouped into batches. Squares are in double precision, because those of gradients of
    1e-25 are 0 in single.

    Attributes:
        count: Of the samples; of ``joined`` moments those of each example, (N, 1, ...).
        mean: Of the samples.
    """

    def __init__(self) -> None:
        """Start with no samples."""
        self.count: int | Tensor = 0
        self.mean = torch.empty(0)
        self._squares = torch.empty(0)

    def update(self, samples: Tensor) -> None:
        """Take in samples of shape (k, ...)."""
        if self.count == 0:
            self.mean = torch.zeros_like(samples[0])
            self._squares = torch.zeros_like(samples[0], dtype=double_where_there(samples))
        for sample in samples:
            self.count += 1
            share = 1 / int(self.count)
            deviation = sample - self.mean
            self.mean.add_(deviation, alpha=share)
            deviation = deviation.to(self._squares.dtype)
            self._squares.addcmul_(deviation, deviation, value=1 - share)

    def at(self, place: int | list[int]) -> RunningMoments:
        """Return the moments of one entry of the tensors, or of several."""
        some = RunningMoments()
        some.count, some.mean, some._squares = self.count, self.mean[place], self._squares[place]
        return some

    @staticmethod
    def joined(parts: Sequence[tuple[list[int], RunningMoments]]) -> RunningMoments:
        """Return the moments of N examples out of those of some each, given with their places among the N."""
        places = torch.tensor([place for some, _ in parts for place in some])
        order = places.argsort()
        whole = RunningMoments()
        whole.mean = torch.cat([each.mean for _, each in parts])[order]
        whole._squares = torch.cat([each._squares for _, each in parts])[order]
        counts = torch.tensor([int(each.count) for some, each in parts for _ in some])[order]
        whole.count = counts.to(whole.mean.device).reshape(-1, *[1] * (whole.mean.ndim - 1))
        return whole

    @property
    def variance(self) -> Tensor:
        """Unbiased variance (equation 3): the sum of squared deviations over count - 1.

        0 where samples differ by the rounding of their mean alone, as the same gradient does in two batches.
        """
        if isinstance(self.count, int) and self.count < 2:
            raise InputError(f"A variance needs at least 2 samples, got {self.count}; raise the number of samples.")
        found = self._squares / (self.count - 1)
        rounding = ROUNDING * torch.finfo(self.mean.dtype).eps * self.mean.to(found.dtype)
        return found.masked_fill(found <= rounding.square(), 0.0)

    @property
    def root_mean_square(self) -> Tensor:
        """Size of the samples, whatever their signs."""
        return (self._squares / self.count + self.mean.to(self._squares.dtype).square()).sqrt()


class GradientMoments:
    """What is remembered of all sampled gradients of one input: moments as they are and as interpreted.

    Attributes:
        signed: Moments of the gradients themselves, shape (N, ...).
        interpreted: Moments of the interpreted gradients, shape (N, ...).
    """

    def __init__(self, interpretation: Interpretation) -> None:
        """Start with no samples.

        Args:
            interpretation: How each gradient is read.
        """
        self.interpretation = interpretation
        self.signed = RunningMoments()
        self.interpreted = self.signed if interpretation is signed else RunningMoments()

    def update(self, gradients: Tensor) -> None:
        """Take in gradients of shape (k, N, ...)."""
        self.signed.update(gradients)
        if self.interpreted is not self.signed:
            interpreted = self.interpretation(gradients)
            if not isinstance(interpreted, Tensor) or len(interpreted) != len(gradients):
                raise InputError(
                    f"interpretation returned {shown(interpreted)}, expected a tensor like its gradients, "
                    f"{shown(gradients)}."
                )
            self.interpreted.update(interpreted)

    def reading(self, place: int) -> GradientMoments:
        """Return the moments of one of several interpretations that were stacked, (k, readings, N, ...)."""
        one = GradientMoments(self.interpretation)
        one.signed, one.interpreted = self.signed, self.interpreted.at(place)
        return one

    def of_examples(self, rows: list[int]) -> GradientMoments:
        """Return the moments of some of the N examples."""
        some = GradientMoments(self.interpretation)
        some.signed = self.signed.at(rows)
        some.interpreted = some.signed if self.interpreted is self.signed else self.interpreted.at(rows)
        return some

    @staticmethod
    def joined(parts: Sequence[tuple[list[int], GradientMoments]]) -> GradientMoments:
        """Return the moments of N examples out of those of some each, given with their places among the N."""
        whole = GradientMoments(parts[0][1].interpretation)
        whole.signed = RunningMoments.joined([(rows, each.signed) for rows, each in parts])
        same = parts[0][1].interpreted is parts[0][1].signed
        interpreted = [(rows, each.interpreted) for rows, each in parts]
        whole.interpreted = whole.signed if same else RunningMoments.joined(interpreted)
        return whole

    def standard_error(self) -> Tensor:
        """Monte-Carlo standard error of the mean interpreted gradient, shape (N, ...)."""
        return (self.interpreted.variance / self.interpreted.count).sqrt()


def warn_of_half_precision(moments: Sequence[GradientMoments], inputs: Sequence[Tensor]) -> None:
    """Say where gradients in float16 are so small that they have few digits, or none."""
    for each, tensor in zip(moments, inputs, strict=True):
        if tensor.dtype == torch.float16:
            largest = each.signed.root_mean_square.flatten(1).amax(1)
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
        """Aggregate to shape (N, ...)."""
        return moments.interpreted.mean


@dataclass(frozen=True)
class Variance:
    """Unbiased variance of the interpreted gradients (VarGrad; equation 3 when they are signed)."""

    def __call__(self, moments: GradientMoments) -> Tensor:
        """Aggregate to shape (N, ...)."""
        return moments.interpreted.variance


Guide = Callable[[Tensor, Tensor], Tensor]
"""What multiplies the mean: (variance, its percentile) -> G, shaped as the variance."""


def paper_guide(variance: Tensor, threshold: Tensor) -> Tensor:
    """Return 1 where the variance reaches its percentile, and the variance itself below (equation 4)."""
    return _damped_by_variance(variance, variance >= threshold)


def strict_guide(variance: Tensor, threshold: Tensor) -> Tensor:
    """Return 1 where the variance is above its percentile, else the variance: the authors' published code."""
    return _damped_by_variance(variance, variance > threshold)


def _damped_by_variance(variance: Tensor, kept: Tensor) -> Tensor:
    """Use the variance itself where nothing is kept; warn where that amplifies instead of damping."""
    if bool(((variance > 1) & ~kept).any()):
        warn(
            "The gradient variance V exceeds 1 below its percentile, so the paper's guide (equation 4) amplifies "
            "there what it should damp; rescale the model's output, or use guide='relative', which never exceeds 1."
        )
    return torch.where(kept, 1.0, variance)


def relative_guide(variance: Tensor, threshold: Tensor) -> Tensor:
    """Return the variance divided by its percentile where it is below, else 1: free of scale, and never above 1."""
    return torch.where(variance >= threshold, 1.0, variance / threshold)


GUIDES: dict[str, Guide] = {"paper": paper_guide, "strict": strict_guide, "relative": relative_guide}


@checked
@dataclass(frozen=True)
class GuidedMean:
    """Mean of the interpreted gradients times the guide G of equation 4 (step 3 of Guided AbsoluteGrad).

    G is 1 where the variance of the signed gradients reaches its ``percentile``-th percentile and less below; how, says
    ``guide``. The percentile is taken per example and channel for inputs (N, C, ...), per example for (N, F).

    Args:
        percentile: p in [0, 100]; 0 gives the plain mean.
        guide: Name of an entry of ``GUIDES``.
        pooling: What is made of the variance before both, such as ``BoxPooling(5)``; by default nothing.
    """

    percentile: Percentile = 85.0
    guide: str = "paper"
    pooling: Pooling = field(default_factory=BoxPooling)

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.guide not in GUIDES:
            raise InputError(f"guide is {self.guide!r}, expected one of {sorted(GUIDES)}.")

    def __repr__(self) -> str:
        """Name the pooling where there is one."""
        pooling = "" if self.pooling == BoxPooling() else f", pooling={self.pooling!r}"
        return f"GuidedMean(percentile={self.percentile!r}, guide={self.guide!r}{pooling})"

    def __call__(self, moments: GradientMoments) -> Tensor:
        """Aggregate to shape (N, ...)."""
        if self.percentile == 0:
            return moments.interpreted.mean
        variance = self.pooling(moments.signed.variance)
        rows = variance.flatten(2).flatten(0, 1) if variance.ndim > 2 else variance.reshape(len(variance), -1)
        threshold = row_percentiles(rows, [self.percentile])
        guide = GUIDES[self.guide](rows, threshold).to(variance.dtype).reshape(variance.shape)
        return moments.interpreted.mean * guide
