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
from captum_gag.attr.modifications import Modification, Samples, at_least_single

# Examples per pass when the caller does not say: 4 per CPU thread was best for EfficientNet-Lite0 and ResNet-18 on
# 2 threads (benchmarks/attribution.py). The accelerator's value is an assumption that only a GPU can check.
EXAMPLES_PER_CPU_THREAD, EXAMPLES_PER_ACCELERATOR = 4, 32


class SampledGradients(GradientAttribution):
    """A gradient method put together from three parts: modification, interpretation, aggregation.

    Section 3.1 of Huang & Liu (2024) splits every gradient method this way. SmoothGrad, for example, is
    ``SampledGradients(model, GaussianNoise(20), signed, Mean())``.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        modification: Modification,
        interpretation: Interpretation = signed,
        aggregation: Aggregation | None = None,
    ) -> None:
        """Put a method together.

        Args:
            forward_func: The model, or any callable that maps inputs to scores of shape (N,) or (N, classes, ...).
            modification: Where gradients are sampled, e.g. ``GaussianNoise()``.
            interpretation: How each gradient is read, e.g. ``signed`` (default) or ``absolute``.
            aggregation: How gradients become one attribution, e.g. ``Mean()`` (default) or ``GuidedMean(85)``.
        """
        super().__init__(forward_func)
        self.modification = modification
        self.interpretation = interpretation
        self.aggregation = aggregation or Mean()

    @log_usage()
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        nt_samples_batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Explain ``inputs``.

        Args:
            inputs: Floating-point tensor of shape (N, ...), or a tuple of them with the same N.
            target: Which output is explained, in any form that Captum takes: an int, a tuple of ints, or a
                tensor or list with one entry per example. None for outputs of shape (N,).
            additional_forward_args: Further arguments of ``forward_func``. A tensor whose first dimension is N
                goes with the examples; everything else is passed as it is.
            nt_samples_batch_size: Samples per example in one forward pass. None picks one.
            show_progress: Show a progress bar over the samples.

        Returns:
            Attributions: shapes, dtype and device of ``inputs``; a tuple if and only if a tuple came in.
        """
        moments = self.moments(inputs, target, additional_forward_args, nt_samples_batch_size, show_progress)
        return like_inputs(inputs, [self.aggregation(each) for each in moments])

    @torch.no_grad()
    def moments(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
        nt_samples_batch_size: int | None = None,
        show_progress: bool = False,
        description: str | None = None,
    ) -> list[GradientMoments]:
        """Sample all gradients and give their moments, one for each input; arguments as in ``attribute``."""
        tensors = checked_inputs(inputs)
        chunk = nt_samples_batch_size or default_chunk(tensors[0])
        if chunk < 1:
            raise ValueError(f"nt_samples_batch_size is {chunk!r}, expected an integer of at least 1, or None.")
        moments = [GradientMoments(self.interpretation) for _ in tensors]
        path = self.modification.samples(tensors, chunk)
        description = f"{description or self.get_name()} attribution"
        with tqdm(total=self.modification.n_samples, desc=description, disable=not show_progress) as progress:
            samples = next(path, None)
            while samples is not None:
                gradients = self._gradients(samples, target, additional_forward_args)
                for each, gradient in zip(moments, gradients, strict=True):
                    each.update(gradient)
                progress.update(len(gradients[0]))
                try:
                    samples = path.send(gradients)
                except StopIteration:
                    samples = None
        return moments

    def _gradients(self, samples: Samples, target: Any, additional_forward_args: Any) -> tuple[Tensor, ...]:
        """Give the weighted gradients at the points, each of shape (k, N, ...), in at least single precision."""
        k, n = samples.points[0].shape[:2]
        points = tuple(point.flatten(0, 1).requires_grad_() for point in samples.points)
        gradients = self.gradient_func(
            self.forward_func,
            points,
            repeat_target(target, k, n),
            repeat_arguments(additional_forward_args, k, n),
        )
        stacked = [gradient.to(at_least_single(gradient.dtype)).unflatten(0, (k, n)) for gradient in gradients]
        if samples.weights is None:
            return tuple(stacked)
        return tuple(gradient * weight for gradient, weight in zip(stacked, samples.weights, strict=True))


def checked_inputs(inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Give the inputs as a tuple of tensors cut off from any graph, or say what is wrong with them."""
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
            raise ValueError(
                f"inputs have shapes {[tuple(each.shape) for each in tensors]}, expected (N, ...) with the same "
                "N >= 1 for all and at least one feature."
            )
    return tuple(tensor.detach() for tensor in tensors)


def default_chunk(inputs: Tensor) -> int:
    """Pick how many samples per example go through the model at once."""
    cpu = inputs.device.type == "cpu"
    examples = EXAMPLES_PER_CPU_THREAD * torch.get_num_threads() if cpu else EXAMPLES_PER_ACCELERATOR
    return max(1, examples // len(inputs))


def repeat_target(target: Any, k: int, n: int) -> Any:
    """Repeat a per-example target for k versions of n examples, version after version."""
    if isinstance(target, Tensor) and target.numel() > 1:
        return target.repeat(k, *[1] * (target.ndim - 1))
    return target * k if isinstance(target, list) else target


def repeat_arguments(arguments: Any, k: int, n: int) -> Any:
    """Repeat those additional arguments that go with the examples."""
    if arguments is None:
        return None
    as_tuple = arguments if isinstance(arguments, tuple) else (arguments,)
    return tuple(
        each.repeat(k, *[1] * (each.ndim - 1)) if isinstance(each, Tensor) and each.ndim and len(each) == n else each
        for each in as_tuple
    )


def like_inputs(inputs: Tensor | tuple[Tensor, ...], results: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Give results the dtype of the inputs, and a tuple if and only if the inputs were one."""
    if not isinstance(inputs, tuple):
        return results[0].to(inputs.dtype)
    return tuple(result.to(tensor.dtype) for result, tensor in zip(results, inputs, strict=True))
