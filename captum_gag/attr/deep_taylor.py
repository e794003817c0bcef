"""Deep Taylor decomposition: Captum's LRP with a checked z+ rule, z-box, and reshaping layers.

Captum has no public place for its rules: nothing imports this module before it is needed.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from captum.attr import LRP, Attribution
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, PropagationRule
from captum.log import log_usage
from torch import Tensor, fx, nn
from torch.nn.functional import linear

from captum_gag.attr.captum_calls import call, captum_errors
from captum_gag.attr.hooks import eager
from captum_gag.baselines import Normalization, constant
from captum_gag.errors import InputError
from captum_gag.modules import with_folded_batch_norm
from captum_gag.tensors import copied

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
# They hand on every value as it is, in eval mode.
_RESHAPING = (nn.Flatten, nn.Identity, nn.Dropout)
_RESHAPING_CALLS = ("flatten", "view", "reshape")

Box = tuple[Tensor, Tensor]
"""Lowest and highest values that an input may have."""


class DeepTaylor(Attribution):
    """LRP with the z+ rule in every layer with weights, and with z-box in the first where inputs can be negative.

    For a network of ReLUs this is deep Taylor decomposition (Montavon et al., 2017). Batch normalisation is folded
    into the convolutions, in a copy of the model, because a rule of its own would break the decomposition; biases get
    no relevance. Max pooling hands all relevance to the winner. A warning says where relevance does not add up, as in
    networks with additions, for which Captum's LRP has no rule in ``forward``.
    """

    @log_usage()
    def attribute(
        self,
        inputs: Tensor,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        input_rule: Literal["auto", "z+", "z-box"] = "auto",
        normalization: Normalization | None = None,
    ) -> Tensor:
        """Return relevances like the inputs.

        Args:
            input_rule: Rule of the first layer; auto takes z-box where the normalisation makes dark pixels negative,
                z+ elsewhere.
            normalization: (mean, std) per channel of the inputs, for pixels in [0, 1], which gives z-box its bounds;
                None for pixels as they are. A run fills in its model's.

        Raises:
            InputError: The model cannot be traced, has a layer for which Captum has no rule, or a layer gets inputs
                that its rule is not for.
        """
        box = _box(inputs, input_rule, normalization)
        folded: Any = with_folded_batch_norm(eager(self.forward_func), "Deep Taylor")  # type: ignore[arg-type]
        attach(folded, box)
        folded.register_forward_pre_hook(lambda module, arguments: copied(arguments))
        with captum_errors("Deep Taylor has no rule for a layer of this model, or cannot use one", folded, inputs):
            arguments = {"target": target, "additional_forward_args": additional_forward_args}
            relevance: Tensor = call("Deep Taylor", LRP(folded), inputs, **arguments)
        return relevance.detach()


def _box(inputs: Tensor, input_rule: str, normalization: Normalization | None) -> Box | None:
    # Black and white, like the inputs; None where the first rule is z+.
    if input_rule == "z+" or (input_rule == "auto" and normalization is None):
        return None
    low, high = (constant(value, normalization)(inputs).to(inputs.dtype) for value in (0.0, 1.0))
    if input_rule == "auto" and bool((low >= 0).all()):
        return None
    # Half precision rounds colours beyond black and white.
    slack = 0.01 * (high - low)
    if bool(((inputs < low - slack) | (inputs > high + slack)).any()):
        raise InputError(
            f"Deep Taylor got inputs in [{float(inputs.min()):.3g}, {float(inputs.max()):.3g}], which its z-box rule "
            f"expects in [{float(low.min()):.3g}, {float(high.max()):.3g}], from black to white; give the images' "
            "normalization=(mean, std)"
        )
    return torch.minimum(low, inputs), torch.maximum(high, inputs)


class ZPlus(Alpha1_Beta0_Rule):
    """z+: R_i = sum_j x_i w_ij+ / (sum_k x_k w_kj+) R_j, for inputs x >= 0."""

    def __init__(self, name: str) -> None:
        super().__init__(set_bias_to_zero=True)
        self.name = name

    def forward_hook_weights(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        """Refuse a negative input of the layer, before Captum changes the weights."""
        least = float(inputs[0].detach().min())
        if least < 0:
            raise InputError(
                f"Deep Taylor got {least:.3g} as an input of the layer {self.name!r}, whose z+ rule is for inputs of "
                "at least 0; give the images' normalization=(mean, std), for the z-box rule"
            )
        super().forward_hook_weights(module, inputs, outputs)


class ZBox(PropagationRule):
    """z-box, or z^B (Montavon et al., 2017), for a first layer whose inputs lie in a box, l_i <= x_i <= h_i.

    R_i = sum_j z_ij / (sum_k z_kj) R_j  with  z_ij = x_i w_ij - l_i w_ij+ - h_i w_ij-, which is never negative.
    Padding has no part in it. Where l = 0 and no weight is negative, it is z+.
    """

    def __init__(self, box: Box) -> None:
        self.box = box

    def forward_hook(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        """Make the gradient by the layer's input its relevance."""
        relevance: Tensor = _BoxedRelevance.apply(inputs[0], outputs.detach(), module, self.box)
        return relevance

    def _manipulate_weights(self, module: Any, inputs: Any, outputs: Any) -> None:
        if module.bias is not None:
            module.bias.data = torch.zeros_like(module.bias.data)


class Unchanged(EpsilonRule):
    """No rule: relevance goes through as gradients do, for layers that hand on every value, also 0."""

    def forward_hook(self, module: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        """Return the output as it is."""
        return outputs


class _BoxedRelevance(torch.autograd.Function):
    """A layer's output forward, and backward the relevance of its input for that of its output."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, outputs: Tensor, layer: nn.Module, box: Box) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.layer, ctx.box = layer, box
        return outputs.clone()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> Any:
        [inputs] = ctx.saved_tensors
        layer, weight = ctx.layer, ctx.layer.weight.detach()
        with torch.enable_grad():
            x, low, high = (
                bound.detach().to(inputs).reshape(inputs.shape).clone().requires_grad_() for bound in (inputs, *ctx.box)
            )
            up, down = weight.clamp(min=0), weight.clamp(max=0)
            z = _applied(layer, weight, x) - _applied(layer, up, low) - _applied(layer, down, high)
            # z is linear in each, so that their gradients times themselves are their shares of it.
            shares = relevance / (z.detach() + PropagationRule.STABILITY_FACTOR)
            slopes = torch.autograd.grad(z, (x, low, high), shares)
        of_input = sum((bound.detach() * slope for bound, slope in zip((x, low, high), slopes, strict=True)))
        return of_input, None, None, None


def _applied(layer: Any, weight: Tensor, inputs: Tensor) -> Tensor:
    # Without bias, and without the hooks that calling it would run.
    if isinstance(layer, nn.Linear):
        return linear(inputs, weight)
    return layer._conv_forward(inputs, weight, None)  # type: ignore[no-any-return]


def attach(network: fx.GraphModule, box: Box | None) -> None:
    """Give the layers of a traced network the rules of deep Taylor decomposition; the others have Captum's."""
    for name, module in network.named_modules():
        if isinstance(module, _WEIGHTED):
            module.rule = ZPlus(name)
        elif isinstance(module, nn.Flatten | nn.Identity):
            module.rule = EpsilonRule()
    if box is None:
        return
    inputs = {node for node in network.graph.nodes if node.op == "placeholder"}
    for node in network.graph.nodes:
        if not inputs & set(node.all_input_nodes):
            continue
        module = network.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, _WEIGHTED):
            module.rule = ZBox(box)
        elif isinstance(module, _RESHAPING) or getattr(node.target, "__name__", node.target) in _RESHAPING_CALLS:
            inputs.add(node)
            if isinstance(module, nn.Flatten | nn.Identity):
                module.rule = Unchanged()
        else:
            raise InputError(
                f"Deep Taylor's z-box rule needs an input that goes straight into a convolution or a linear layer; "
                f"here it goes into {node.target}; put that into the preprocessing"
            )
