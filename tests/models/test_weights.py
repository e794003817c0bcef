"""Weights are found inside the checkpoints of every training loop, and a misfit says which names it is about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from captum_gag.errors import InputError
from captum_gag.models import load_classifier
from captum_gag.models.weights import fitted, load_state, read_metadata, read_state

State = dict[str, Tensor]


def net(classes: int = 4) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, classes))


def prefixed(prefix: str) -> Callable[[State], Any]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


CHECKPOINTS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "data parallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "compiled inside": prefixed("model._orig_mod."),
    "all wrappers": prefixed("module._orig_mod.model.net."),
    "a name of one's own": prefixed("backbone."),
    "Lightning": lambda state: {
        "epoch": 3,
        "global_step": 7,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed("model.")(state),
        "optimizer_states": [],
    },
    "torch's tutorial": lambda state: {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {}, "loss": 0.4},
    "nested": lambda state: {"model": {"state_dict": prefixed("module.")(state)}, "args": {"lr": 0.1}},
    "DeepSpeed": lambda state: {"module": state},
    "weights": lambda state: {"weights": state},
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_weights_come_out_of_every_checkpoint(kind: str, tmp_path: Path) -> None:
    trained, fresh = net(), nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 4))
    torch.save(CHECKPOINTS[kind](trained.state_dict()), tmp_path / "w.ckpt")
    load_state(fresh, read_state(tmp_path / "w.ckpt"), "fresh")
    for name, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


@pytest.mark.parametrize("prefix", ["model.", "net.", "module._orig_mod."])
def test_the_number_of_classes_is_counted_under_a_prefix_too(prefix: str, tmp_path: Path) -> None:
    tuned = torchvision.models.squeezenet1_1(num_classes=7)
    torch.save({"state_dict": prefixed(prefix)(tuned.state_dict())}, tmp_path / "tuned.ckpt")
    classifier = load_classifier("squeezenet1_1", tmp_path / "tuned.ckpt", "cpu")
    assert classifier.model(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_timm_takes_the_number_of_classes_from_the_weights(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    for name in ("resnet10t", "vit_tiny_patch16_224"):
        tuned = timm.create_model(name, pretrained=False, num_classes=6).eval()
        torch.save({"state_dict": prefixed("model.")(tuned.state_dict())}, tmp_path / "tuned.ckpt")
        classifier = load_classifier(f"timm:{name}", tmp_path / "tuned.ckpt", "cpu")
        x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(classifier.model(x), tuned(x))


def test_a_prefix_that_belongs_to_the_network_stays() -> None:
    wrapped = nn.ModuleDict({"model": net()})
    state = wrapped.state_dict()
    assert fitted(state, state).keys() == state.keys()
    # Not all names have it, so it is no wrapper's.
    mixed = {**prefixed("model.")(net().state_dict()), "criterion.weight": torch.ones(4)}
    assert fitted(mixed, net().state_dict()).keys() == mixed.keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: {k: v for k, v in state.items() if k != "3.bias"}, "missing 3.bias"),
        (lambda state: state | {"criterion.weight": torch.ones(2)}, "unexpected criterion.weight"),
        (lambda state: state | {"3.bias": torch.ones(9)}, r"of another shape 3.bias \(9,\), expected \(4,\)"),
        (lambda state: {"a.b": torch.ones(1)}, "missing 0.weight, 0.bias, 1.weight, 1.bias and 5 more; unexpected a.b"),
    ],
)
def test_a_misfit_says_which_names_it_is_about(change: Callable[[State], State], said: str) -> None:
    with pytest.raises(InputError, match=f"the weights do not fit mine: {said}$"):
        load_state(net(), change(dict(net().state_dict())), "mine")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3}, "expected a state dict.*found another dict of epoch"),
        ({}, "expected a state dict"),
        ({"state_dict": {}}, "expected a state dict"),
        (torch.zeros(3), "found another Tensor"),
        (None, "found another NoneType"),
    ],
)
def test_what_holds_no_weights_says_what_it_holds(content: Any, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=said):
        read_state(tmp_path / "w.pth")


def test_a_whole_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "whole.pth")
    with pytest.raises(InputError, match=r"save the weights alone: torch.save\(model.state_dict\(\), FILE\)"):
        read_state(tmp_path / "whole.pth")


def test_safetensors_without_a_suffix_are_read(tmp_path: Path) -> None:
    blob = tmp_path / "3f4a9c"
    safetensors.torch.save_file({"weight": torch.ones(2)}, blob, {"made by": "us"})
    assert read_state(blob)["weight"].tolist() == [1, 1]
    assert read_metadata(blob) == {"made by": "us"}
