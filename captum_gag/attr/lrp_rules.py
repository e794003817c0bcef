"""The rules that deep Taylor decomposition adds to those of Captum's LRP: z+ that is checked, z-box, and none at all.

Captum has no public place for its rules: import this module where one is needed, so that nothing else fails should a
release move them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, PropagationRule
from torch import Tensor, fx, nn
from torch.nn.functional import linear

from captum_gag.errors import InputError

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

RESHAPING = (nn.Flatten, nn.Identity, nn.Dropout)
"""Layers that hand on every value as it is, in eval mode."""

RESHAPING_CALLS = ("flatten", "view", "reshape")


class Box(NamedTuple):
    """Between which values an input lies, both like it."""

    low: Tensor
    high: Tensor


class ZPlus(Alpha1_Beta0_Rule):
    """z+: R_i = sum_j x_i w_ij+ / (sum_k x_k w_kj+) R_j, for inputs x >= 0."""

    def __init__(self, name: str) -> None:
        """Take the name of the layer, for the message."""
        super().__init__(set_bias_to_zero=True)
        self.name = name

    def forward_hook_weights(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        """Look at what comes in, before Captum changes the weights.

        Raises:
            InputError: Something is negative.
        """
        least = float(inputs[0].detach().min())
        if least < 0:
            raise InputError(
                f"Deep Taylor got {least:.3g} as an input of the layer {self.name!r}, whose z+ rule is for inputs of "
                "at least 0; say how the images were normalised, for the z-box rule: normalization=(mean, std)"
            )
        super().forward_hook_weights(module, inputs, outputs)


class ZBox(PropagationRule):
    """z-box, or z^B (Montavon et al., 2017), for a first layer whose inputs lie in a box, l_i <= x_i <= h_i.

    R_i = sum_j z_ij / (sum_k z_kj) R_j  with  z_ij = x_i w_ij - l_i w_ij+ - h_i w_ij-, which is never negative.
    Padding has no part in it. Where l = 0 and no weight is negative, it is z+.
    """

    def __init__(self, box: Box) -> None:
        """Take the box, in the input's own units."""
        self.box = box

    def forward_hook(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        """Let the gradient by the layer's input be its relevance."""
        found: Tensor = _BoxedRelevance.apply(inputs[0], outputs.detach(), module, self.box)
        return found

    def _manipulate_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        bias = getattr(module, "bias", None)
        if bias is not None:
            bias.data = torch.zeros_like(bias.data)


class Unchanged(EpsilonRule):
    """None: relevance goes through as gradients do, for layers that hand on every value; also where that is 0."""

    def forward_hook(self, module: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        """Leave the layer alone."""
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
            x, low, high = (each.detach().reshape(inputs.shape).clone().requires_grad_() for each in (inputs, *ctx.box))
            up, down = weight.clamp(min=0), weight.clamp(max=0)
            z = _applied(layer, weight, x) - _applied(layer, up, low) - _applied(layer, down, high)
            # z is linear in each, so that their gradients times themselves are their shares of it.
            shares = relevance / (z.detach() + PropagationRule.STABILITY_FACTOR)
            slopes = torch.autograd.grad(z, (x, low, high), shares)
        found = sum((each.detach() * slope for each, slope in zip((x, low, high), slopes, strict=True)))
        return found, None, None, None


def _applied(layer: Any, weight: Tensor, inputs: Tensor) -> Tensor:
    """Apply a layer with other weights, without bias, and without the hooks that calling it would run."""
    found: Tensor = (
        linear(inputs, weight) if isinstance(layer, nn.Linear) else layer._conv_forward(inputs, weight, None)
    )
    return found


def attach(network: fx.GraphModule, box: Box | None) -> None:
    """Give the layers of a network the rules of deep Taylor decomposition; Captum knows those of the others.

    Args:
        network: Traced, its batch normalisation folded; it is changed.
        box: Of its input, for the z-box rule in the first layer; None for z+ there too.

    Raises:
        InputError: There is a box, and the input goes into something else than a layer with weights.
    """
    for name, module in network.named_modules():
        if isinstance(module, WEIGHTED):
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
        if isinstance(module, WEIGHTED):
            module.rule = ZBox(box)
        elif isinstance(module, RESHAPING) or getattr(node.target, "__name__", node.target) in RESHAPING_CALLS:
            inputs.add(node)
            if isinstance(module, nn.Flatten | nn.Identity):
                module.rule = Unchanged()
        else:
            raise InputError(
                f"Deep Taylor's z-box rule needs an input that goes straight into a convolution or a linear layer; "
                f"here it goes into {node.target}; put that into the preprocessing"
            )
