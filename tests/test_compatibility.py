"""Some of docs/compatibility.md: families of classifiers in torch's wrappers, number formats and gradient modes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from captum_gag.attr import GuidedAbsoluteGrad
from captum_gag.attr.catalogue import method
from captum_gag.errors import InputError
from captum_gag.metrics import deletion, rcap
from captum_gag.outputs import tensor_of

pytestmark = pytest.mark.slow

FAMILIES = ["squeezenet1_1", "shufflenet_v2_x0_5", "timm", "transformers"]
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([3, 7])


def build(family: str) -> nn.Module:
    """Return a classifier of 10 classes with random weights, in evaluation mode."""
    torch.manual_seed(0)
    if family == "timm":
        timm = pytest.importorskip("timm")
        model = timm.create_model("mobilenetv4_conv_small", num_classes=10)
    elif family == "transformers":
        transformers = pytest.importorskip("transformers")
        small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        model = transformers.ViTForImageClassification(transformers.ViTConfig(**small, image_size=64, num_labels=10))
    else:
        model = torchvision.models.get_model(family, weights=None, num_classes=10)
    return model.eval()


def attributed(model: Any, images: Tensor = IMAGES, targets: Tensor = TARGETS) -> Tensor:
    if isinstance(model, nn.Module):
        return method("GAG-85", n_samples=3).attribute(model, images, targets, seed=0, output="logits")
    return GuidedAbsoluteGrad(model).attribute(images, target=targets, nt_samples=3, seed=0)


def scored(model: Any, maps: Tensor, images: Tensor = IMAGES, targets: Tensor = TARGETS) -> Tensor:
    given = (model, images, maps, targets)
    return torch.stack([rcap(*given, output="logits"), deletion(*given, n_steps=3, output="logits")])


@cache
def plain(family: str) -> tuple[Tensor, Tensor]:
    """Return the attribution of the plain model, and its scores."""
    model = build(family)
    maps = attributed(model)
    return maps, scored(model, maps)


def same(found: Tensor, expected: Tensor) -> None:
    """Compare by the sum of the differences: at the percentile of the guide a rounding can turn a single pixel."""
    assert found.isfinite().all()
    assert (found - expected).abs().sum() < 1e-3 * expected.abs().sum()


def state(model: nn.Module) -> dict[str, Any]:
    """Return what an explanation leaves alone."""
    return {
        "tensors": {name: each.clone() for name, each in model.state_dict().items()},
        "grads": [each.grad if each.grad is None else each.grad.clone() for each in model.parameters()],
        "others": [
            (
                module.training,
                getattr(module, "inplace", None),
                len(module._forward_hooks) + len(module._forward_pre_hooks),
                len(module._backward_hooks) + len(module._backward_pre_hooks),
                [each.requires_grad for each in module.parameters()],
            )
            for module in model.modules()
        ],
        "random": torch.get_rng_state(),
    }


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "DataParallel": nn.DataParallel,
    "Sequential": nn.Sequential,
    "partial": lambda model: partial(lambda scale, x: tensor_of(model(x)), 1),
    "traced": lambda model: torch.jit.trace(model, IMAGES, strict=False, check_trace=False),
}


@EVERY_FAMILY
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_changes_nothing(family: str, wrapper: str) -> None:
    maps, scores = plain(family)
    wrapped = WRAPPERS[wrapper](build(family))
    same(attributed(wrapped), maps)
    same(scored(wrapped, maps), scores)


@pytest.mark.parametrize("family", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_scripting_changes_nothing(family: str) -> None:
    maps, scores = plain(family)
    scripted = torch.jit.script(build(family))
    same(attributed(scripted), maps)
    same(scored(scripted, maps), scores)


def test_a_quantised_model_has_no_gradient_and_says_so() -> None:
    quantised = torch.ao.quantization.quantize_dynamic(build("shufflenet_v2_x0_5"), {nn.Linear})
    with pytest.raises(InputError, match="gradient"):
        attributed(quantised)


@EVERY_FAMILY
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_number_formats(family: str, dtype: torch.dtype) -> None:
    """Without noise, so that double precision draws no other."""
    exact = method("IG", n_samples=3).attribute(build(family).double(), IMAGES.double(), TARGETS, output="logits")
    model = build(family).to(dtype)
    found = method("IG", n_samples=3).attribute(model, IMAGES.to(dtype), TARGETS, output="logits")
    assert found.isfinite().all()
    correlation = torch.corrcoef(torch.stack([found.double().flatten(), exact.flatten()]))[0, 1]
    assert correlation > (0.999 if dtype is torch.float64 else 0.8)
    maps = attributed(model, IMAGES.to(dtype))
    assert scored(model, maps, IMAGES.to(dtype)).isfinite().all()


MODES: dict[str, tuple[Callable[[], AbstractContextManager[Any]], Callable[[Tensor], Tensor]]] = {
    "no_grad": (torch.no_grad, Tensor.clone),
    "inference_mode": (torch.inference_mode, Tensor.clone),
    "inputs require grad": (nullcontext, lambda x: x.clone().requires_grad_()),
    "inputs with a graph": (nullcontext, lambda x: x.clone().requires_grad_() * 1),
}


@EVERY_FAMILY
@pytest.mark.parametrize("mode", MODES)
def test_the_callers_gradient_mode_changes_nothing(family: str, mode: str) -> None:
    maps, scores = plain(family)
    model, (context, prepare) = build(family), MODES[mode]
    with context():
        images = prepare(IMAGES)
        found = attributed(model, images)
        same(found, maps)
        same(scored(model, maps, images), scores)
    assert not found.requires_grad
    assert not images.is_leaf or images.grad is None


@EVERY_FAMILY
def test_the_model_is_as_it_was(family: str) -> None:
    model = build(family)
    first = next(model.parameters())
    first.grad = torch.ones_like(first)
    first.requires_grad_(False)
    before = copy.deepcopy(state(model))
    for name in ("GAG-85", "IG", "GB", "Grad-CAM", "captum:DeepLift", "captum:LRP", "Deep Taylor"):
        # Some of them refuse some of these families: that is a way out too.
        try:
            method(name).attribute(model, IMAGES, TARGETS, output="logits")
        except InputError:
            continue
    scored(model, plain(family)[0])
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
