"""The one loop behind every gradient method: sample points, take gradients, stream them into moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from captum.attr import GradientAttribution
from captum.log import log_usage
from torch import Tensor, nn
from tqdm.auto import tqdm

from captum_gag.attr.aggregations import Aggregation, GradientMoments, Mean
from captum_gag.attr.contract import (
    CaptumTarget,
    Count,
    Inputs,
    TensorOrTuple,
    checked_inputs,
    checked_target,
    explained,
    like_inputs,
    scores_for,
)
from captum_gag.attr.interpretations import Interpretation, signed
from captum_gag.attr.modifications import Modification
from captum_gag.batching import examples_per_batch
from captum_gag.modules import buffers_kept, warn_of_batch_statistics
from captum_gag.specs import checked
from captum_gag.tensors import at_least_single

# Examples per batch when the caller does not say: 4 per CPU thread was best for EfficientNet-Lite0 and ResNet-18 on
# 2 threads (benchmarks/attribution.py). The accelerator's value is an assumption that only a GPU can check.
EXAMPLES_PER_CPU_THREAD, EXAMPLES_PER_ACCELERATOR = 4, 32


def gradients_per_batch(inputs: Tensor, total: int) -> int:
    """Return how many of ``total`` examples like the inputs (N, ...) go through forward and backward at once."""
    return examples_per_batch(inputs, EXAMPLES_PER_CPU_THREAD, EXAMPLES_PER_ACCELERATOR, total)


GradientSource = Callable[..., tuple[Tensor, ...]]
"""(forward_func, inputs, target, additional_forward_args) -> gradients; None is Captum's plain gradient."""


class SampledGradients(GradientAttribution):
    """A gradient method put together from parts: modification, interpretation, aggregation; and a gradient source.

    Section 3.1 of Huang & Liu (2024) splits every gradient method this way. SmoothGrad, for example, is
    ``SampledGradients(model, GaussianNoise(20), signed, Mean())``.
    """

    @checked
    def __init__(
        self,
        forward_func: Callable[..., Any],
        modification: Modification,
        interpretation: Interpretation = signed,
        aggregation: Aggregation | None = None,
        gradient_source: GradientSource | None = None,
        *,
        freeze_statistics: bool = False,
    ) -> None:
        """Put a method together.

        Args:
            forward_func: The model, or any callable that maps inputs to scores of shape (N,) or (N, classes, ...).
            modification: Where gradients are sampled, e.g. ``GaussianNoise()``.
            interpretation: How each gradient (for paths: each contribution) is read, e.g. ``signed`` (default) or
                ``absolute``.
            aggregation: How gradients become one attribution, e.g. ``Mean()`` (default) or ``GuidedMean(85)``.
            gradient_source: What gives gradients: None for the plain one, or ``guided_backpropagation``.
            freeze_statistics: Leave the batch statistics of a model in training mode as they were. Otherwise the
                forward passes change them, as any does, and a warning says so.
        """
        super().__init__(forward_func)
        self.modification = modification
        self.interpretation = interpretation
        self.aggregation = aggregation or Mean()
        self.gradient_source: GradientSource = gradient_source or self.gradient_func
        self.freeze_statistics = freeze_statistics

    @log_usage()
    @checked
    def attribute(
        self,
        inputs: Inputs,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        internal_batch_size: Count | None = None,
        show_progress: bool = False,
    ) -> TensorOrTuple:
        """Explain ``inputs``.

        Args:
            inputs: Floating-point tensor of shape (N, ...), or a tuple of them with the same N.
            target: Which output is explained, in any form that Captum takes: an int, a tuple of ints, or a
                tensor or list with one entry per example. None for outputs of shape (N,).
            additional_forward_args: Further arguments of ``forward_func``. A tensor whose first dimension is N
                goes with the examples; everything else is passed as it is.
            internal_batch_size: Modified examples in one forward pass at most. None picks a number.
            show_progress: Show a progress bar over the samples.

        Returns:
            Attributions: shapes, dtype (single precision for half) and device of ``inputs``; a tuple if and only if a
            tuple came in. NaN for an example with a NaN or an infinity.

        Raises:
            InputError: If inputs, target or parameters have no meaning, or do not fit what the model returns.
        """
        moments = self.moments(inputs, target, additional_forward_args, internal_batch_size, show_progress)
        return like_inputs(inputs, [self.aggregation(each) for each in moments])

    @torch.no_grad()
    @checked
    def moments(
        self,
        inputs: Inputs,
        target: Any = None,
        additional_forward_args: Any = None,
        internal_batch_size: Count | None = None,
        show_progress: bool = False,
        description: str | None = None,
    ) -> list[GradientMoments]:
        """Sample all gradients and return their moments, one for each input; arguments as in ``attribute``.

        Several aggregations can be read off the same moments: GAG-0 and GAG-85, say, of the same noise. The moments of
        an example with a NaN or an infinity have no meaning; ``like_inputs`` makes NaN of what is read off them.
        """
        with torch.inference_mode(False), torch.no_grad(), self._statistics():
            tensors = checked_inputs(inputs)
            n = len(tensors[0])
            targets = checked_target(target, n)
            limit = internal_batch_size or gradients_per_batch(tensors[0], self.modification.n_samples * n)
            moments = [GradientMoments(self.interpretation) for _ in tensors]
            description = f"{description or self.get_name()} attribution"
            with tqdm(total=self.modification.n_samples, desc=description, disable=not show_progress) as progress:
                for samples in self.modification.samples(tensors, max(1, limit // n)):
                    gradients = self._gradients(samples.points, targets, additional_forward_args, limit)
                    contributions = samples.weigh(gradients) if samples.weigh else gradients
                    for each, contribution in zip(moments, contributions, strict=True):
                        each.update(contribution)
                    progress.update(len(gradients[0]))
        return moments

    @contextmanager
    def _statistics(self) -> Iterator[None]:
        """Leave batch statistics as they were, or say that they change."""
        if not self.freeze_statistics:
            warn_of_batch_statistics(self.forward_func)
        with buffers_kept(self.forward_func if self.freeze_statistics else None):
            yield

    def _gradients(
        self, points: tuple[Tensor, ...], target: CaptumTarget, additional_forward_args: Any, limit: int
    ) -> tuple[Tensor, ...]:
        """Return the gradients at the points, each of shape (k, N, ...), in at least single precision."""
        k, n = points[0].shape[:2]
        targets = repeat_rows(target, k)
        arguments = repeat_arguments(additional_forward_args, k, n)
        batches = []
        for first in range(0, k * n, limit):
            rows = slice(first, first + limit)
            some = tuple(point.flatten(0, 1)[rows].requires_grad_() for point in points)
            aimed = rows_of(targets, rows, k * n)
            with explained(self.forward_func, some), self._reading(scores_for(aimed, len(some[0]))) as forward:
                given = arguments and tuple(argument_rows(each, rows, k * n) for each in arguments)
                batches.append(self.gradient_source(forward, some, aimed, given))
        return tuple(
            (torch.cat(parts) if len(parts) > 1 else parts[0]).to(at_least_single(parts[0].dtype)).unflatten(0, (k, n))
            for parts in zip(*batches, strict=True)
        )

    @contextmanager
    def _reading(self, read: Callable[[Any], Tensor]) -> Iterator[Callable[..., Tensor]]:
        """Give a gradient source a model whose outputs are read: itself with a hook where the source needs modules."""
        model = self.forward_func
        hooked = isinstance(model, nn.Module) and not isinstance(model, torch.jit.ScriptModule)
        if self.gradient_source is self.gradient_func or not hooked:
            yield lambda *arguments: read(model(*arguments))
            return
        handle = model.register_forward_hook(lambda module, given, returned: read(returned))
        try:
            yield model
        finally:
            handle.remove()


class ModelGradients(GradientAttribution):
    """What attributions share that are one composition of parts: a model, and how its batch statistics are treated."""

    @checked
    def __init__(self, forward_func: Callable[..., Any], *, freeze_statistics: bool = False) -> None:
        """Take a model.

        Args:
            forward_func: The model, or any callable that maps inputs to scores of shape (N,) or (N, classes, ...).
            freeze_statistics: Leave the batch statistics of a model in training mode as they were. Otherwise the
                forward passes change them, as any does, and a warning says so.
        """
        super().__init__(forward_func)
        self.freeze_statistics = freeze_statistics

    def sampler(self, modification: Modification, interpretation: Interpretation = signed) -> SampledGradients:
        """Return the loop over gradients of the model at the points of a modification."""
        return SampledGradients(
            self.forward_func, modification, interpretation, freeze_statistics=self.freeze_statistics
        )


def repeat_rows(value: Any, k: int) -> Any:
    """Repeat what has one entry per example for k versions of the examples, version after version."""
    if isinstance(value, Tensor):
        # Whoever calls in inference mode has tensors that no graph takes; repeating makes another.
        return value.repeat(k, *[1] * (value.ndim - 1))
    return value * k if isinstance(value, list) else value


def repeat_arguments(arguments: Any, k: int, n: int) -> tuple[Any, ...] | None:
    """Repeat those additional arguments that go with the n examples for k versions of them."""
    if arguments is None:
        return None
    given = arguments if isinstance(arguments, tuple) else (arguments,)
    return tuple(repeat_rows(a, k) if isinstance(a, Tensor) and a.ndim and len(a) == n else a for a in given)


def rows_of(value: Any, rows: slice, total: int) -> Any:
    """Take some rows of what has an entry for each of ``total``: a list of targets, or a tensor."""
    each = isinstance(value, list) or (isinstance(value, Tensor) and value.ndim > 0 and len(value) == total)
    return value[rows] if each else value


def argument_rows(argument: Any, rows: slice, total: int) -> Any:
    """Take some rows of an additional argument: only a tensor of ``total`` rows goes with the examples."""
    return rows_of(argument, rows, total) if isinstance(argument, Tensor) else argument
