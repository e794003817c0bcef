"""The one loop behind every gradient method: sample points, take gradients, stream them into moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import GradientAttribution
from captum.log import log_usage
from torch import Tensor
from tqdm.auto import tqdm

from captum_gag.attr.aggregations import Aggregation, GradientMoments, Mean
from captum_gag.attr.interpretations import Interpretation, signed
from captum_gag.attr.modifications import Modification
from captum_gag.batching import examples_per_batch
from captum_gag.errors import InputError
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

    def __init__(
        self,
        forward_func: Callable[..., Any],
        modification: Modification,
        interpretation: Interpretation = signed,
        aggregation: Aggregation | None = None,
        gradient_source: GradientSource | None = None,
    ) -> None:
        """Put a method together.

        Args:
            forward_func: The model, or any callable that maps inputs to scores of shape (N,) or (N, classes, ...).
            modification: Where gradients are sampled, e.g. ``GaussianNoise()``.
            interpretation: How each gradient (for paths: each contribution) is read, e.g. ``signed`` (default) or
                ``absolute``.
            aggregation: How gradients become one attribution, e.g. ``Mean()`` (default) or ``GuidedMean(85)``.
            gradient_source: What gives gradients: None for the plain one, or ``guided_backpropagation``.
        """
        super().__init__(forward_func)
        self.modification = modification
        self.interpretation = interpretation
        self.aggregation = aggregation or Mean()
        self.gradient_source: GradientSource = gradient_source or self.gradient_func

    @log_usage()
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
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
            Attributions: shapes, dtype and device of ``inputs``; a tuple if and only if a tuple came in.
        """
        moments = self.moments(inputs, target, additional_forward_args, internal_batch_size, show_progress)
        return like_inputs(inputs, [self.aggregation(each) for each in moments])

    @torch.no_grad()
    def moments(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
        description: str | None = None,
    ) -> list[GradientMoments]:
        """Sample all gradients and return their moments, one for each input; arguments as in ``attribute``.

        Several aggregations can be read off the same moments: GAG-0 and GAG-85, say, of the same noise.
        """
        tensors = checked_inputs(inputs)
        n = len(tensors[0])
        limit = internal_batch_size
        if limit is None:
            limit = gradients_per_batch(tensors[0], self.modification.n_samples * n)
        if limit < 1:
            raise InputError(f"internal_batch_size is {limit!r}, expected an integer of at least 1, or None.")
        moments = [GradientMoments(self.interpretation) for _ in tensors]
        description = f"{description or self.get_name()} attribution"
        with tqdm(total=self.modification.n_samples, desc=description, disable=not show_progress) as progress:
            for samples in self.modification.samples(tensors, max(1, limit // n)):
                gradients = self._gradients(samples.points, target, additional_forward_args, limit)
                contributions = samples.weigh(gradients) if samples.weigh else gradients
                for each, contribution in zip(moments, contributions, strict=True):
                    each.update(contribution)
                progress.update(len(gradients[0]))
        return moments

    def _gradients(
        self, points: tuple[Tensor, ...], target: Any, additional_forward_args: Any, limit: int
    ) -> tuple[Tensor, ...]:
        """Return the gradients at the points, each of shape (k, N, ...), in at least single precision."""
        k, n = points[0].shape[:2]
        targets = repeat_target(target, k)
        arguments = repeat_arguments(additional_forward_args, k, n)
        batches = []
        for first in range(0, k * n, limit):
            rows = slice(first, first + limit)
            batches.append(
                self.gradient_source(
                    self.forward_func,
                    tuple(point.flatten(0, 1)[rows].requires_grad_() for point in points),
                    rows_of(targets, rows, k * n),
                    arguments and tuple(rows_of(each, rows, k * n) for each in arguments),
                )
            )
        return tuple(
            (torch.cat(parts) if len(parts) > 1 else parts[0]).to(at_least_single(parts[0].dtype)).unflatten(0, (k, n))
            for parts in zip(*batches, strict=True)
        )


def checked_inputs(inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the inputs as a tuple of tensors cut off from any graph, or say what is wrong with them."""
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"inputs contain a {type(tensor).__name__}, expected torch tensors; convert it first.")
        if not tensor.is_floating_point():
            raise TypeError(
                f"inputs have dtype {tensor.dtype}, expected floating point: integers have no gradient. "
                "Convert with .float(), or explain an embedding layer's output."
            )
        if tensor.ndim == 0 or tensor.numel() == 0 or len(tensor) != len(tensors[0]):
            raise InputError(
                f"inputs have shapes {[tuple(each.shape) for each in tensors]}, expected (N, ...) with the same "
                "N >= 1 for all and at least one feature."
            )
    return tuple(tensor.detach() for tensor in tensors)


def repeat_rows(value: Any, k: int) -> Any:
    """Repeat what has one entry per example for k versions of the examples, version after version."""
    return value * k if isinstance(value, list) else value.repeat(k, *[1] * (value.ndim - 1))


def repeat_target(target: Any, k: int) -> Any:
    """Repeat a target for k versions of the examples if it has one entry for each."""
    each = isinstance(target, list) or (isinstance(target, Tensor) and target.numel() > 1)
    return repeat_rows(target, k) if each else target


def repeat_arguments(arguments: Any, k: int, n: int) -> tuple[Any, ...] | None:
    """Repeat those additional arguments that go with the n examples for k versions of them."""
    if arguments is None:
        return None
    given = arguments if isinstance(arguments, tuple) else (arguments,)
    return tuple(repeat_rows(a, k) if isinstance(a, Tensor) and a.ndim and len(a) == n else a for a in given)


def rows_of(value: Any, rows: slice, total: int) -> Any:
    """Take some rows of what has an entry for each of ``total``."""
    each = isinstance(value, list) or (isinstance(value, Tensor) and value.ndim > 0 and len(value) == total)
    return value[rows] if each else value


def like_inputs(inputs: Tensor | tuple[Tensor, ...], results: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Return results in the dtype of the inputs, as a tuple if and only if the inputs were one."""
    if not isinstance(inputs, tuple):
        return results[0].to(inputs.dtype)
    return tuple(result.to(tensor.dtype) for result, tensor in zip(results, inputs, strict=True))
