"""Guided AbsoluteGrad at a layer of a network; reading and replacing a layer's activation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor, nn

from captum_gag.attr.contract import as_tuple, explained, finite_examples, finite_only
from captum_gag.attr.guided_absolute_grad import GuidedAbsoluteGrad
from captum_gag.attr.hooks import eager
from captum_gag.attr.sampled_gradients import ModelGradients
from captum_gag.errors import InputError, shown
from captum_gag.model_probe import behaviour_of, uncompiled
from captum_gag.modules import state_kept
from captum_gag.options import checked
from captum_gag.tensors import copied, is_dense
from captum_gag.threads import one_at_a_time


class LayerGuidedAbsoluteGrad(LayerAttribution):
    """Guided AbsoluteGrad of a layer's activation: of token embeddings, say, because token numbers have no gradient.

    Noise is added to the activation, gradients are taken by it, and everything else is ``GuidedAbsoluteGrad``.

    Example:
        >>> gag = LayerGuidedAbsoluteGrad(model, model.embedding)
        >>> attributions = gag.attribute(tokens, target=labels, seed=0)  # (N, T, E), as model.embedding(tokens)
    """

    @checked
    def __init__(self, forward_func: Callable[..., Any], layer: nn.Module) -> None:
        """Take a model and one of its layers.

        Args:
            forward_func: The model, or any callable around it that maps inputs to scores.
            layer: A module of it that runs once in a forward pass, and keeps the examples on its first axis.
        """
        super().__init__(forward_func, layer)

    attribute_future = ModelGradients.attribute_future

    @log_usage()
    @one_at_a_time
    @checked
    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        **options: Any,
    ) -> Any:
        """Explain a layer; arguments that are not described are those of ``GuidedAbsoluteGrad.attribute``.

        Args:
            inputs: Arguments of ``forward_func``, of any dtype: a tensor (N, ...), or a tuple of them.
            attribute_to_layer_input: Explain the layer's input instead of its output.
            options: Those of ``GuidedAbsoluteGrad.attribute``: ``nt_samples``, ``stdevs``, ``percentile``, ``seed`` ...

        Returns:
            Attributions >= 0 with the shape of the layer's activation; a tuple if that is several floating-point
            tensors. With ``return_standard_error`` a pair, as from ``GuidedAbsoluteGrad``. NaN for an example with a
            NaN or an infinity.

        Raises:
            InputError: The layer does not run just once, its activation does not start with the examples, or
                ``GuidedAbsoluteGrad`` refuses an argument.
        """
        tensors = tuple(value for value in as_tuple(inputs) if isinstance(value, Tensor))
        extra = as_tuple(additional_forward_args)
        n = next((len(tensor) for tensor in tensors if tensor.ndim), None)
        if n is None:
            raise InputError(f"inputs are {shown(inputs)}, expected a tensor (N, ...), or a tuple of them.")
        model, arguments = eager(self.forward_func), (*as_tuple(inputs), *extra)
        behaviour = behaviour_of(model, as_tuple(inputs), extra)
        with torch.inference_mode(False), state_kept(model), explained(model, tensors):
            activation = layer_activation(model, self.layer, arguments, attribute_to_layer_input)
        shapes = [tuple(tensor.shape) for tensor in activation]
        if any(shape[:1] != (n,) for shape in shapes):
            raise InputError(
                f"The layer {type(self.layer).__name__} has an activation of shape {', '.join(map(str, shapes))} for "
                f"{n} examples, expected (N, ...); give a layer that keeps the examples on its first axis."
            )

        values: list[Tensor] = []

        def forward(*points: Any) -> Any:
            values[:] = points[: len(shapes)]
            return model(*points[len(shapes) :])

        gag = GuidedAbsoluteGrad(forward)
        # The activation's rows are those of the inputs, which are arguments beside it.
        with_rows = tuple(isinstance(value, Tensor) and value.shape[:1] == (n,) for value in as_tuple(inputs))
        gag.behaviour = behaviour._replace(with_rows=with_rows + behaviour.with_rows)
        # Also while gradients are taken: a backward pass recomputes what is checkpointed.
        with replaced(self.layer, values, attribute_to_layer_input):
            points = activation if len(activation) > 1 else activation[0]
            attributions = gag.attribute(points, target, arguments, **options)
        floating = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.ndim and is_dense(tensor)]
        finite = finite_examples((torch.zeros(n), *floating))
        return _mapped(lambda tensor: finite_only(tensor, finite), attributions)


def layer_activation(
    forward_func: Callable[..., Any],
    layer: nn.Module,
    arguments: tuple[Any, ...],
    attribute_to_layer_input: bool = False,
) -> tuple[Tensor, ...]:
    """Return the floating-point tensors in a layer's output, or in its input."""
    runs = 0
    tensors: list[Tensor] = []

    def copy(tensor: Tensor) -> Tensor:
        # Later layers may write into it.
        tensors.append(tensor.detach().clone())
        return tensor

    def keep(activation: Any) -> Any:
        nonlocal runs
        runs += 1
        _mapped(copy, activation)
        return activation

    with torch.no_grad(), _hooked(layer, keep, attribute_to_layer_input):
        eager(forward_func)(*copied(arguments))
    if runs != 1:
        raise InputError(
            f"The layer {type(layer).__name__} runs {runs} times in a forward pass, expected once; give a module of "
            "this model that is neither skipped, shared nor scripted."
        )
    if not tensors:
        raise InputError(
            f"The layer {type(layer).__name__} has no floating-point tensor in its "
            f"{'input' if attribute_to_layer_input else 'output'}, which has no gradient then; give another layer, or "
            f"attribute_to_layer_input={not attribute_to_layer_input}."
        )
    return tuple(tensors)


@contextmanager
def replaced(layer: nn.Module, activation: list[Tensor], attribute_to_layer_input: bool = False) -> Iterator[None]:
    """Replace the tensors in the output, or the input, of a layer of an ``eager`` model; the list may change.

    Gradients flow into the replacement.
    """

    def replace(own: Any) -> Any:
        tensors = iter(activation)
        # A copy: later layers may write into it, which a leaf of the graph does not allow.
        return _mapped(lambda _: next(tensors).clone(), own)

    with _hooked(layer, replace, attribute_to_layer_input):
        yield


@contextmanager
def _hooked(layer: nn.Module, change: Callable[[Any], Any], at_input: bool) -> Iterator[None]:
    # An input is changed as (args, kwargs).
    if isinstance(layer, torch.jit.ScriptModule):
        raise InputError("The layer is scripted, so that no hook can reach it; give a layer that is not.")
    handle = (
        layer.register_forward_pre_hook(lambda module, args, kwargs: change((args, kwargs)), with_kwargs=True)
        if at_input
        else layer.register_forward_hook(lambda module, args, output: change(output))
    )
    try:
        with uncompiled():
            yield
    finally:
        handle.remove()


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return nested tuples, lists and dicts with a function applied to their floating-point tensors, in their order."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return function(value)
    if isinstance(value, dict):
        changed = {name: _mapped(function, part) for name, part in value.items()}
        return changed if type(value) is dict else type(value)(**changed)
    if isinstance(value, tuple | list):
        several = [_mapped(function, part) for part in value]
        return type(value)(*several) if hasattr(value, "_fields") else type(value)(several)
    return value
