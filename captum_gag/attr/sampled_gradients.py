"""The one loop behind every gradient method: sample points, take gradients, stream them into moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from captum.attr import GradientAttribution
from captum.log import log_usage
from torch import Tensor, nn
from tqdm.auto import tqdm

from captum_gag.attr.aggregations import Aggregation, GradientMoments, Mean, warn_of_half_precision
from captum_gag.attr.contract import Count, Inputs, TensorOrTuple, explained
from captum_gag.attr.examples import Examples, Rows
from captum_gag.attr.interpretations import Interpretation, signed
from captum_gag.attr.modifications import Modification
from captum_gag.batching import examples_per_batch
from captum_gag.errors import InputError, shown
from captum_gag.model_probe import Behaviour
from captum_gag.modules import state_kept
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
    """Base of attributions that sample gradients of a model.

    Attributes:
        behaviour: How the model treats rows, where that is known; None asks it.
    """

    behaviour: Behaviour | None = None

    @checked
    def __init__(self, forward_func: Callable[..., Any]) -> None:
        """Take a model.

        Args:
            forward_func: The model, or any callable that maps inputs to scores of shape (N,) or (N, classes, ...).
        """
        super().__init__(forward_func)

    def attribute_future(self, *args: Any, **options: Any) -> None:
        """Raise NotImplementedError, as Captum's own attributions without futures do."""
        raise NotImplementedError(f"attribute_future is not implemented for {type(self).__name__}")

    def moments(
        self,
        parts: Parts,
        inputs: TensorOrTuple,
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> list[GradientMoments]:
        """Sample all gradients and return their moments, one for each input; arguments as for ``attribute``.

        Several aggregations can be read off the same moments: GAG-0 and GAG-85, say, of the same noise. The moments of
        an example with a NaN or an infinity mean nothing.
        """
        return self._moments(parts, self._examples(inputs, target, additional_forward_args))

    @one_at_a_time
    def _examples(self, *arguments: Any, **layout: Any) -> Examples:
        with torch.inference_mode(False), torch.no_grad():
            return Examples(self.forward_func, *arguments, **layout, behaviour=self.behaviour)

    @one_at_a_time
    def _moments(
        self,
        parts: Parts,
        examples: Examples,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
        mean_only: bool = False,
    ) -> list[GradientMoments]:
        modification, tensors = parts.modification, examples.tensors
        n = len(tensors[0])
        total = modification.n_samples * n
        limit = examples.rows_at_once or internal_batch_size or gradients_per_batch(tensors[0], total)
        moments = [GradientMoments(parts.interpretation, mean_only) for _ in tensors]
        progress = tqdm(total=modification.n_samples, desc=f"{self.get_name()} attribution", disable=not show_progress)
        with torch.inference_mode(False), torch.no_grad(), state_kept(self.forward_func) as put_back, progress:
            for samples in modification.samples(tensors, max(1, limit // n)):
                gradients = self._gradients(parts.gradient_source, samples.points, examples, limit, put_back)
                contributions = samples.weigh(gradients) if samples.weigh else gradients
                for moment, contribution in zip(moments, contributions, strict=True):
                    moment.update(contribution)
                progress.update(len(contributions[0]))
            warn_of_half_precision(moments, tensors)
        return moments

    def _attributions(self, parts: Parts, examples: Examples, *sampling: Any) -> TensorOrTuple:
        moments = self._moments(parts, examples, *sampling)
        return examples.like_inputs([parts.aggregation(moment) for moment in moments])

    def _gradients(
        self,
        source: GradientSource | None,
        points: tuple[Tensor, ...],
        examples: Examples,
        limit: int,
        put_back: Callable[[], None],
    ) -> tuple[Tensor, ...]:
        """Return the gradients at the points (k, N, ...), of the same shape, in at least single precision."""
        k, n = points[0].shape[:2]
        # The copies of an example follow each other, as from NoiseTunnel: where examples are sorted, so are these.
        in_order = examples.in_order
        rows = list(range(n)) * k if in_order else [row for row in range(n) for _ in range(k)]
        flat = [(point if in_order else point.transpose(0, 1)).flatten(0, 1) for point in points]
        batches = []
        for first in range(0, len(rows), limit):
            batch = slice(first, first + limit)
            inputs = tuple(point[batch].requires_grad_() for point in flat)
            targets, arguments = examples.targets_of(rows[batch]), examples.arguments_of(rows[batch])
            with explained(self.forward_func, inputs), self._scores(source, examples, rows[batch]) as forward:
                gradients = (source or self.gradient_func)(forward, inputs, targets, arguments)
            # Each pass starts from the same state.
            put_back()
            returned = gradients if isinstance(gradients, tuple) else ()
            if [getattr(gradient, "shape", None) for gradient in returned] != [tensor.shape for tensor in inputs]:
                raise InputError(
                    f"gradient_source returned {shown(gradients)}, expected a tuple with a gradient like each input."
                )
            batches.append(gradients)
        joined = [torch.cat(batch) if len(batch) > 1 else batch[0] for batch in zip(*batches, strict=True)]
        gradients = [gradient.to(at_least_single(gradient.dtype)) for gradient in joined]
        if in_order:
            return tuple(gradient.unflatten(0, (k, n)) for gradient in gradients)
        return tuple(gradient.unflatten(0, (n, k)).transpose(0, 1) for gradient in gradients)

    @contextmanager
    def _scores(
        self, source: GradientSource | None, examples: Examples, rows: Sequence[int]
    ) -> Iterator[Callable[..., Tensor]]:
        """Yield a model that returns scores: a module stays one, by hooks, for a source that needs modules."""
        model = self.forward_func
        if source is None or not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
            yield lambda *values: examples.scores(model, rows, values)
            return
        if examples.together:
            raise InputError(
                'rows="together" has one model call for each sample, which a gradient_source does not make.'
            )

        def turn(module: nn.Module, values: tuple[Any, ...]) -> tuple[Any, ...]:
            values, count = copied(values), len(examples.tensors)
            return (*examples.as_model_takes(values[:count]), *values[count:])

        with (
            model.register_forward_pre_hook(turn, prepend=True),
            model.register_forward_hook(lambda module, inputs, returned: examples.read(returned, rows)),
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
    ) -> None:
        """Put a method together.

        Args:
            forward_func: The model, or any callable that maps inputs to scores of shape (N,) or (N, classes, ...).
            modification: Where gradients are sampled, e.g. ``GaussianNoise()``.
            interpretation: How each gradient (for paths: each contribution) is read, e.g. ``signed`` (default) or
                ``absolute``.
            aggregation: How gradients become one attribution, e.g. ``Mean()`` (default) or ``GuidedMean(85)``.
            gradient_source: The source of gradients: None for the plain ones, or ``guided_backpropagation``.
        """
        super().__init__(forward_func)
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
        channel_axis: int = 1,
        rows: Rows = "independent",
    ) -> TensorOrTuple:
        """Explain ``inputs``; arguments that are not described are those of ``GuidedAbsoluteGrad.attribute``.

        Args:
            internal_batch_size: Most modified examples in one forward pass. None picks a number.

        Returns:
            Attributions: shapes, dtype (single precision for half) and device of ``inputs``; a tuple if and only if a
            tuple came in. NaN for an example with a NaN or an infinity.

        Raises:
            InputError: Inputs, target or parameters are invalid, or do not fit what the model returns.
        """
        examples = self._examples(inputs, target, additional_forward_args, channel_axis=channel_axis, rows=rows)
        return self._attributions(self.parts, examples, internal_batch_size, show_progress)
