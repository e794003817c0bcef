"""Captum's own methods, called alike: (model, inputs, target, n_samples, seed) to attributions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from captum.attr import LRP, DeepLiftShap, InputXGradient, NoiseTunnel, Saliency
from torch import Tensor, nn

Explain = Callable[[nn.Module, Tensor, Tensor, int, int | None], Tensor]
"""(model, images, targets, n_samples, seed) -> attributions."""


def noise_tunnel(nt_type: str, noise_level: float) -> Explain:
    """Give ``captum.attr.NoiseTunnel`` around the gradient, an image at a time as its noise is the whole batch's."""

    def explain(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
        attributions = []
        with _seeded(inputs, seed):
            for image, label in zip(inputs, target, strict=True):
                if seed is not None:
                    torch.manual_seed(seed)
                attributions.append(
                    NoiseTunnel(Saliency(model)).attribute(
                        image.unsqueeze(0),
                        nt_type=nt_type,
                        nt_samples=n_samples,
                        nt_samples_batch_size=min(n_samples, 4),
                        stdevs=noise_level * float(image.max() - image.min()),
                        target=label,
                        abs=False,
                    )
                )
        return torch.cat(attributions)

    return explain


def saliency(magnitude: bool) -> Explain:
    """Give ``captum.attr.Saliency``: the gradient, or its magnitude."""

    def explain(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
        gradients: Tensor = Saliency(model).attribute(_leaf(inputs), target=target, abs=magnitude)
        return gradients

    return explain


def sensitivity(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    """Give the largest magnitude of the gradient over the channels, (N, 1, H, W)."""
    return saliency(magnitude=True)(model, inputs, target, n_samples, seed).amax(1, keepdim=True)


def gradient_x_input(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    """Give ``captum.attr.InputXGradient``."""
    products: Tensor = InputXGradient(model).attribute(_leaf(inputs), target=target)
    return products


def deep_shap(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    """Give ``captum.attr.DeepLiftShap`` against ``n_samples`` references.

    The references are images of random colours between the darkest and the brightest value of the image explained.
    SHAP's own would be a sample of the training images, which a name in a catalogue cannot know.
    """
    generator = None if seed is None else torch.Generator(inputs.device).manual_seed(seed)
    noise = torch.rand((n_samples, *inputs.shape[1:]), generator=generator, device=inputs.device).to(inputs.dtype)
    attributions = []
    for image, label in zip(inputs, target, strict=True):
        references = image.min() + noise * (image.max() - image.min())
        attributions.append(DeepLiftShap(model).attribute(_leaf(image.unsqueeze(0)), references, target=label))
    return torch.cat(attributions)


def deep_taylor(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    """Give ``captum.attr.LRP`` with the z+ rule (alpha 1, beta 0) in every layer with weights.

    For a network of ReLUs this is deep Taylor decomposition (Montavon et al., 2017) with the z+ rule, provided that
    nothing negative comes in: the rule for an input with negative values (z-box) is not Captum's. Batch normalisation
    is folded into the convolutions, in a copy of the model, because a rule of its own would break the decomposition;
    biases get no relevance. Max pooling hands all relevance to the winner.

    Raises:
        ValueError: The model cannot be traced, or has a layer for which Captum knows no rule.
    """
    # Captum has no public place for its rules, nor torch for this fusion: should a release move them, only Deep Taylor
    # fails, and not the catalogue.
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
    from torch.fx.experimental.optimization import fuse

    try:
        folded = fuse(model)
    # Tracing runs the model's own code on symbols, which can fail in any way.
    except Exception as error:
        raise ValueError(f"Deep Taylor needs a model that torch.fx can trace; this one fails: {error}") from error
    for module in folded.modules():
        # Captum takes the rules away again, but the copy is thrown away in any case.
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
        elif isinstance(module, nn.Flatten | nn.Identity):
            module.rule = EpsilonRule()
    try:
        relevance: Tensor = LRP(folded).attribute(_leaf(inputs), target=target).detach()
    except TypeError as error:
        raise ValueError(f"Deep Taylor has no rule for a layer of this model: {error}") from error
    return relevance


def _leaf(inputs: Tensor) -> Tensor:
    return inputs.detach().clone().requires_grad_()


def _seeded(inputs: Tensor, seed: int | None) -> AbstractContextManager[None]:
    devices = [inputs.device] if inputs.is_cuda else []
    return torch.random.fork_rng(devices=devices, enabled=seed is not None)
