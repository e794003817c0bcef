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

from captum_gag.attr.aggregations import Aggregation, GradientMoments, Mean, warn_of_half_precision
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
from captum_gag.attr.stopping import FIRST_LOOK, EverySample, Tolerance, UntilStable
from captum_gag.batching import examples_per_batch
from captum_gag.errors import InputError, shown
from captum_gag.modules import buffers_kept, warn_of_batch_statistics
from captum_gag.options import checked
from captum_gag.tensors import at_least_single
from captum_gag.threads import one_at_a_time

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
        tolerance: Tolerance | None = None,
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
            tolerance: Let each example stop before the last sample, as soon as the estimated rank correlation of its
                map with that of infinitely many samples is at least 1 - tolerance; see ``UntilStable``. None takes
                all samples. Not for paths, of which a part has no meaning.

        Returns:
            Attributions: shapes, dtype (single precision for half) and device of ``inputs``; a tuple if and only if a
            tuple came in. NaN for an example with a NaN or an infinity.

        Raises:
            InputError: If inputs, target or parameters have no meaning, or do not fit what the model returns.
        """
        moments = self.moments(
            inputs, target, additional_forward_args, internal_batch_size, show_progress, tolerance=tolerance
        )
        return like_inputs(inputs, [self.aggregation(each) for each in moments])

    @torch.no_grad()
    @one_at_a_time
    @checked
    def moments(
        self,
        inputs: Inputs,
        target: Any = None,
        additional_forward_args: Any = None,
        internal_batch_size: Count | None = None,
        show_progress: bool = False,
        description: str | None = None,
        tolerance: Tolerance | None = None,
    ) -> list[GradientMoments]:
        """Sample all gradients and return their moments, one for each input; arguments as in ``attribute``.

        Several aggregations can be read off the same moments: GAG-0 and GAG-85, say, of the same noise. The moments of
        an example with a NaN or an infinity have no meaning; ``like_inputs`` makes NaN of what is read off them. With
        ``tolerance`` their ``count`` says how many samples each example took.
        """
        with torch.inference_mode(False), torch.no_grad(), self._statistics():
            tensors = checked_inputs(inputs)
            n = len(tensors[0])
            targets = checked_target(target, n)
            limit = internal_batch_size or gradients_per_batch(tensors[0], self.modification.n_samples * n)
            taken = self._examples(len(tensors), n, tolerance)
            description = f"{description or self.get_name()} attribution"
            with tqdm(total=self.modification.n_samples, desc=description, disable=not show_progress) as progress:
                for samples in self.modification.samples(tensors, taken.at_once(max(1, limit // n))):
                    if samples.weigh and tolerance is not None:
                        raise InputError(
                            f"tolerance is {tolerance} for {type(self.modification).__name__}, which is a path; a part "
                            "of a path has no meaning, so leave tolerance out, or give independent samples, as noise."
                        )
                    gradients = self._gradients(samples.points, taken.rows, targets, additional_forward_args, limit)
                    taken.update(samples.weigh(gradients) if samples.weigh else gradients)
                    progress.update(len(gradients[0]))
                    if not taken.rows:
                        break
            moments = taken.moments()
            warn_of_half_precision(moments, tensors)
        return moments

    def _examples(self, n_inputs: int, n: int, tolerance: float | None) -> EverySample:
        """Return what takes in the gradients of n examples.

        Raises:
            InputError: There are too few samples to stop before the last.
        """
        if tolerance is None:
            return EverySample(self.interpretation, n_inputs, n)
        if self.modification.n_samples <= FIRST_LOOK:
            raise InputError(
                f"tolerance is {tolerance} for {self.modification.n_samples} samples, expected more than {FIRST_LOOK}: "
                "maps are looked at from there on."
            )
        return UntilStable(self.interpretation, n_inputs, n, self.aggregation, tolerance)

    @contextmanager
    def _statistics(self) -> Iterator[None]:
        """Leave batch statistics as they were, or say that they change."""
        if not self.freeze_statistics:
            warn_of_batch_statistics(self.forward_func)
        with buffers_kept(self.forward_func if self.freeze_statistics else None):
            yield

    def _gradients(
        self,
        points: tuple[Tensor, ...],
        rows: list[int],
        target: CaptumTarget,
        additional_forward_args: Any,
        limit: int,
    ) -> tuple[Tensor, ...]:
        """Return the gradients at the points (k, N, ...) of some rows, (k, rows, ...), in at least single precision."""
        k, n = points[0].shape[:2]
        if len(rows) < n:
            points = tuple(point[:, rows] for point in points)
        examples = rows * k
        batches = []
        for first in range(0, len(examples), limit):
            part = slice(first, first + limit)
            some = tuple(point.flatten(0, 1)[part].requires_grad_() for point in points)
            aimed = [target[each] for each in examples[part]] if isinstance(target, list) else target
            with explained(self.forward_func, some), self._reading(scores_for(aimed, len(some[0]))) as forward:
                given = arguments_of(additional_forward_args, examples[part], n)
                found = self.gradient_source(forward, some, aimed, given)
            shapes = [getattr(each, "shape", None) for each in found] if isinstance(found, tuple) else None
            if shapes != [each.shape for each in some]:
                raise InputError(
                    f"gradient_source returned {shown(found)}, expected a tuple with a gradient like each input."
                )
            batches.append(found)
        return tuple(
            (torch.cat(parts) if len(parts) > 1 else parts[0])
            .to(at_least_single(parts[0].dtype))
            .unflatten(0, (k, len(rows)))
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

    def sampler(
        self,
        modification: Modification,
        interpretation: Interpretation = signed,
        aggregation: Aggregation | None = None,
    ) -> SampledGradients:
        """Return the loop over gradients of the model at the points of a modification."""
        return SampledGradients(
            self.forward_func, modification, interpretation, aggregation, freeze_statistics=self.freeze_statistics
        )


def arguments_of(arguments: Any, examples: list[int], n: int) -> tuple[Any, ...] | None:
    """Return the additional arguments for some of n examples, each perhaps several times.

    Args:
        arguments: As Captum takes them; a tensor of n rows goes with the examples.
        examples: Which ones.
        n: How many there are.
    """
    if arguments is None:
        return None
    given = arguments if isinstance(arguments, tuple) else (arguments,)
    rows = torch.tensor(examples)
    return tuple(
        # Sparse ones too, such as graphs, which cannot be indexed by a list.
        each.index_select(0, rows.to(each.device))
        if isinstance(each, Tensor) and each.ndim and len(each) == n
        else each
        for each in given
    )
