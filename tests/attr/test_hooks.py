"""Checkpointed blocks, which a backward pass recomputes without hooks: maps are those of the same model without."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import checkpoint as checkpointing
from torch.utils.checkpoint import checkpoint
from torchvision.models import DenseNet

from captum_gag.attr import GuidedAbsoluteGrad, LayerGuidedAbsoluteGrad, hooks
from captum_gag.attr.captum_methods import class_names
from captum_gag.attr.catalogue import method, method_class
from captum_gag.attr.grad_cam import GradCAM
from captum_gag.errors import InputError
from captum_gag.options import options_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TARGET = [1, 2]
IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.conv(x)))  # type: ignore[no-any-return]


class Net(nn.Module):
    """Three blocks and a head, of which some blocks, or "all" as one, are checkpointed."""

    def __init__(self, checkpointed: str = "", reentrant: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c, self.head = Block(3), Block(4), Block(4), nn.Linear(16, 4)
        self.checkpointed, self.reentrant = checkpointed, reentrant

    def run(self, x: Tensor) -> Tensor:
        for name in "abc":
            block = getattr(self, name)
            x = checkpoint(block, x, use_reentrant=self.reentrant) if name in self.checkpointed.split() else block(x)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.run, x, use_reentrant=self.reentrant) if self.checkpointed == "all" else self.run(x)


def of_layer(layer: str, at_input: bool) -> Callable[[nn.Module], Tensor]:
    return lambda model: LayerGuidedAbsoluteGrad(model, model.get_submodule(layer)).attribute(
        IMAGES, TARGET, attribute_to_layer_input=at_input, nt_samples=3, seed=0
    )


def of_class(name: str) -> Callable[[nn.Module], Tensor]:
    """Return a class of Captum that has a layer, above, in and below of which others are checkpointed."""
    given = {"layer": "b.conv", "neuron_selector": (0, 1, 1), "baselines": 0.1, "n_samples": 3, "n_steps": 3}
    options = {option.name for option in options_of(method_class(f"captum:{name}"))}
    chosen = method(f"captum:{name}", **{key: value for key, value in given.items() if key in options})
    return lambda model: chosen.attribute(model, IMAGES, TARGET)


NAMED = ["GAG-85", "GB-GA", "Guided IG", "Grad-CAM", "DeepSHAP", "Deep Taylor", "captum:DeepLift", "captum:LRP"]
MAPS: dict[str, Callable[[nn.Module], Tensor]] = {
    **{name: lambda model, name=name: method(name).attribute(model, IMAGES, TARGET) for name in NAMED},  # type: ignore[misc]
    # LayerFeaturePermutation fails in Captum 0.9 itself.
    **{
        name: of_class(name)
        for name in class_names()
        if name.startswith(("Layer", "Neuron", "Guided", "Internal")) and name != "LayerFeaturePermutation"
    },
    **{
        f"LayerGAG {layer} {at_input}": of_layer(layer, at_input)
        for layer in ("a.conv", "b", "b.relu", "c")
        for at_input in (False, True)
    },
    "GAG of a function": lambda model: GuidedAbsoluteGrad(lambda x: model(x)).attribute(IMAGES, TARGET, seed=0),  # type: ignore[dict-item]
    "Grad-CAM by its class": lambda model: GradCAM(model).attribute(IMAGES, TARGET),
}


@cache
def without(name: str) -> Tensor:
    return MAPS[name](Net().eval())


@pytest.mark.parametrize("reentrant", [False, True], ids=["plain", "re-entrant"])
@pytest.mark.parametrize("checkpointed", ["a", "b", "c", "a b c", "all"])
def test_checkpointing_changes_no_map(checkpointed: str, reentrant: bool) -> None:
    own = checkpointing.CheckpointFunction, checkpointing._checkpoint_hook
    model = Net(checkpointed, reentrant).eval()
    different = [name for name, explain in MAPS.items() if not torch.equal(explain(model), without(name))]
    assert not different
    assert own == (checkpointing.CheckpointFunction, checkpointing._checkpoint_hook)


def dense_net(memory_efficient: bool) -> nn.Module:
    return DenseNet(4, (2, 2), 8, num_classes=4, memory_efficient=memory_efficient)


def timm_vit(checkpointed: bool) -> nn.Module:
    timm = pytest.importorskip("timm")
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 12, "depth": 2, "num_heads": 2, "num_classes": 4}
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", **sizes)
    model.set_grad_checkpointing(checkpointed)  # type: ignore[operator]
    return model


@pytest.mark.parametrize(
    ("build", "layer"),
    [(dense_net, "features.denseblock1.denselayer2.norm1"), (timm_vit, "blocks.0.attn"), (timm_vit, "blocks.1.norm1")],
)
def test_networks_that_offer_checkpointing(build: Callable[[bool], nn.Module], layer: str) -> None:
    attributions = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        model = build(checkpointed).eval()
        attributions.append(of_layer(layer, at_input=False)(model))
    assert torch.equal(*attributions)


class OwnCheckpoint(torch.autograd.Function):
    """Re-entrant, and refused by torch.autograd.grad, as those of Megatron-LM and DeepSpeed are."""

    @staticmethod
    def forward(ctx: Any, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return block(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        if not torch.autograd._is_checkpoint_valid():  # type: ignore[attr-defined]
            raise RuntimeError("Checkpointing is not compatible with .grad()")


def test_checkpointing_that_is_not_torchs_is_named() -> None:
    model = Net().eval()
    model.c.forward = partial(OwnCheckpoint.apply, Block.forward.__get__(model.c))  # type: ignore[method-assign]
    for explain in (MAPS["GAG-85"], MAPS["Grad-CAM"], of_layer("a", at_input=False)):
        with pytest.raises(InputError, match=r"[Cc]heckpointing is not compatible with \.grad\(\)") as caught:
            explain(model)
        assert "\n" not in str(caught.value)


def test_a_torch_that_recomputes_in_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_RECOMPUTING", "not there")
    explain = MAPS["LayerIntegratedGradients"]
    assert torch.equal(explain(Net().eval()), without("LayerIntegratedGradients"))
    with pytest.raises(InputError, match="hides checkpointed blocks from hooks; switch"):
        explain(Net("c").eval())
