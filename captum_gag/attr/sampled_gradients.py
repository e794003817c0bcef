"""The one loop behind every gradient method: sample points, take gradients, stream them into moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from captum.attr import GradientAttribution
from captum.log import log_usage
from pydantic import SkipValidation
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
from captum_gag.batching import examples_per_batch
from captum_gag.errors import InputError, shown
from captum_gag.modules import buffers_kept, warn_of_batch_statistics
from captum_gag.options import checked
from captum_gag.tensors import at_least_single, copied
from captum_gag.threads import one_at_a_time

# Examples per batch when the caller does not say: 4 per CPU thread was best for EfficientNet-Lite0 and ResNet-18 on
# 2 threads (benchmarks/attribution.py). The accelerator's value is an assumption that only a GPU can check.
EXAMPLES_PER_CPU_THREAD, EXAMPLES_PER_ACCELERATOR = 4, 32


def gradients_per_batch(inputs: Tensor, total: int) -> int:
    """Return the number of examples, of ``total`` like the inputs (N, ...), in one forward and backward pass."""
    return examples_per_batch(inputs, EXAMPLES_PER_CPU_THREAD, EXAMPLES_PER_ACCELERATOR, total)


GradientSource = Callable[..., tuple[Tensor, ...]]
"""(forward_func, inputs, target, additional_forward_args) -> gradients; None is Captum's plain gradient."""


class Parts(NamedTuple):
    """A gradient method as section 3.1 of Huang & Liu (2024) splits it; the parts are those of ``SampledGradients``."""

    modification: Modification
    interpretation: Interpretation = signed
    aggregation: Aggregation = Mean()
    gradient_source: GradientSource | None = None


class ModelGradients(GradientAttribution):
    """Base of attributions that sample gradients of a model."""

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

    @torch.no_grad()
    @one_at_a_time
    @checked
    def moments(
        self,
        parts: SkipValidation[Parts],
        inputs: Inputs,
        target: Any = None,
        additional_forward_args: Any = None,
        internal_batch_size: Count | None = None,
        show_progress: bool = False,
    ) -> list[GradientMoments]:
        """Sample all gradients and return their moments, one for each input; arguments as for ``attribute``.

        Several aggregations can be read off the same moments: GAG-0 and GAG-85, say, of the same noise. The moments of
        an example with a NaN or an infinity mean nothing; ``like_inputs`` makes NaN of them.
        """
        modification = parts.modification
        if not self.freeze_statistics:
            warn_of_batch_statistics(self.forward_func)
        restored = buffers_kept(self.forward_func if self.freeze_statistics else None)
        with torch.inference_mode(False), torch.no_grad(), restored:
            tensors = checked_inputs(inputs)
            n = len(tensors[0])
            targets = checked_target(target, n)
            limit = internal_batch_size or gradients_per_batch(tensors[0], modification.n_samples * n)
            moments = [GradientMoments(parts.interpretation) for _ in tensors]
            description, source = f"{self.get_name()} attribution", parts.gradient_source
            with tqdm(total=modification.n_samples, desc=description, disable=not show_progress) as progress:
                for samples in modification.samples(tensors, max(1, limit // n)):
                    gradients = self._gradients(source, samples.points, targets, additional_forward_args, limit)
                    contributions = samples.weigh(gradients) if samples.weigh else gradients
                    for moment, contribution in zip(moments, contributions, strict=True):
                        moment.update(contribution)
                    progress.update(len(contributions[0]))
            warn_of_half_precision(moments, tensors)
        return moments

    def _gradients(
        self,
        source: GradientSource | None,
        points: tuple[Tensor, ...],
        target: CaptumTarget,
        additional_forward_args: Any,
        limit: int,
    ) -> tuple[Tensor, ...]:
        """Return the gradients at the points (k, N, ...), of the same shape, in at least single precision."""
        k, n = points[0].shape[:2]
        rows = list(range(n)) * k
        batches = []
        for first in range(0, len(rows), limit):
            batch = slice(first, first + limit)
            inputs = tuple(point.flatten(0, 1)[batch].requires_grad_() for point in points)
            targets = [target[row] for row in rows[batch]] if isinstance(target, list) else target
            read = scores_for(targets, len(inputs[0]))
            with explained(self.forward_func, inputs), self._scores(source, read) as forward:
                arguments = arguments_of(additional_forward_args, rows[batch], n)
                gradients = (source or self.gradient_func)(forward, inputs, targets, arguments)
            returned = gradients if isinstance(gradients, tuple) else ()
            if [getattr(gradient, "shape", None) for gradient in returned] != [tensor.shape for tensor in inputs]:
                raise InputError(
                    f"gradient_source returned {shown(gradients)}, expected a tuple with a gradient like each input."
                )
            batches.append(gradients)
        return tuple(
            (torch.cat(parts_) if len(parts_) > 1 else parts_[0])
            .to(at_least_single(parts_[0].dtype))
            .unflatten(0, (k, n))
            for parts_ in zip(*batches, strict=True)
        )

    @contextmanager
    def _scores(self, source: GradientSource | None, read: Callable[[Any], Tensor]) -> Iterator[Callable[..., Tensor]]:
        """Yield a model that returns scores: a module stays one, by a hook, for a source that needs modules."""
        model = self.forward_func
        if source is None or not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
            yield lambda *arguments: read(model(*copied(arguments)))
            return
        with (
            model.register_forward_pre_hook(lambda module, arguments: copied(arguments), prepend=True),
            model.register_forward_hook(lambda module, arguments, returned: read(returned)),
        ):
            yield model


class SampledGradients(ModelGradients):
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
            gradient_source: The source of gradients: None for the plain ones, or ``guided_backpropagation``.
            freeze_statistics: As for ``GuidedAbsoluteGrad``.
        """
        super().__init__(forward_func, freeze_statistics=freeze_statistics)
        self.parts = Parts(modification, interpretation, aggregation or Mean(), gradient_source)

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
            inputs: As for ``GuidedAbsoluteGrad.attribute``.
            target: As for ``GuidedAbsoluteGrad.attribute``.
            additional_forward_args: As for ``GuidedAbsoluteGrad.attribute``.
            internal_batch_size: Most modified examples in one forward pass. None picks a number.
            show_progress: Show a progress bar over the samples.

        Returns:
            Attributions: shapes, dtype (single precision for half) and device of ``inputs``; a tuple if and only if a
            tuple came in. NaN for an example with a NaN or an infinity.

        Raises:
            InputError: Inputs, target or parameters are invalid, or do not fit what the model returns.
        """
        moments = self.moments(self.parts, inputs, target, additional_forward_args, internal_batch_size, show_progress)
        return like_inputs(inputs, [self.parts.aggregation(moment) for moment in moments])


def arguments_of(arguments: Any, examples: list[int], n: int) -> tuple[Any, ...] | None:
    """Return the additional arguments for some of n examples, by their indices: of tensors of n rows those rows."""
    if arguments is None:
        return None
    rows = torch.tensor(examples)

    def select(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != n:
            return value
        # Sparse tensors too, such as graphs, which cannot be indexed by a list; compressed ones not even by rows.
        coordinates = value if value.layout in (torch.strided, torch.sparse_coo) else value.to_sparse_coo()
        selected = coordinates.index_select(0, rows.to(value.device))
        return selected if coordinates is value else selected.to_sparse(layout=value.layout)

    return tuple(map(select, arguments if isinstance(arguments, tuple) else (arguments,)))
