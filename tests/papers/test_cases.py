"""A case sets what the paper fixes, each part gives way to what is said, and what is assumed is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import typer
from safetensors.torch import save_file
from scoring import call

from captum_gag.errors import InputError
from captum_gag.models.catalogue import model
from captum_gag.papers.cases import case, case_names
from captum_gag.papers.published import huang_liu_cases, means
from captum_gag.runs.spec import read_suite

FIXED = {
    "imagenet-s": ("imagenet-s", "resnet50", (256, 256)),
    "isic": ("isic", "efficientnet_b4", (448, 448)),
    "places365": ("places365", "densenet161", (224, 224)),
}


def weights(path: Path, name: str, classes: int) -> Path:
    """Write a state dict of a network with so many classes, zeros all over."""
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None, num_classes=classes).state_dict()
    head = list(state)[-1]
    # Classes are counted by the last parameter; without the others the file is small.
    save_file({head: torch.zeros(state[head].shape)}, path)
    return path


def test_the_cases_are_the_papers_columns() -> None:
    assert case_names() == huang_liu_cases()


@pytest.mark.parametrize("name", FIXED)
def test_a_case_sets_what_the_paper_fixes(name: str, tmp_path: Path) -> None:
    data, net, seen = FIXED[name]
    chosen = case(name)
    assert chosen.data_spec(str(tmp_path)) == {"type": data, "root": str(tmp_path)}
    spec = chosen.model_spec(None, {})
    assert (spec["type"], spec["name"]) == ("torchvision", net)
    assert model(spec).preprocessing().seen == seen
    suite = chosen.suite(read_suite("gag-comparison"))
    assert (suite["confidence"], suite["n_samples"], suite["case"]) == (0.9, 20, name)
    assert len(chosen.assumptions({})) >= 1


def test_the_weights_that_the_case_names_say_how_photographs_are_fed() -> None:
    spec = case("imagenet-s").model_spec(None, {})
    assert spec["weights"] == "IMAGENET1K_V1"
    assert model(spec).preprocessing().labels[0] == "tench"  # type: ignore[index]
    # Those of another network would be another's.
    assert "weights" not in case("imagenet-s").model_spec("resnet18", {})


def test_what_is_said_counts_more(tmp_path: Path) -> None:
    chosen = case("imagenet-s")
    assert chosen.data_spec("demo") == {"type": "demo"}
    assert chosen.data_spec(f"places365:{tmp_path}")["type"] == "places365"
    for options in ({"image_size": 64}, {"crop": 64}, {"preprocess": "a:b"}):
        spec = chosen.model_spec(None, {**options, "weights": "IMAGENET1K_V2"})
        assert {**spec, **options} == spec
        assert spec["weights"] == "IMAGENET1K_V2"
        assert len({"image_size", "crop", "preprocess"} & set(spec)) == 1
    suite = chosen.suite({"n_samples": 5, "confidence": 0.5, "case": "isic"})
    assert suite == {"n_samples": 5, "confidence": 0.5, "case": "imagenet-s"}
    assert len(chosen.assumptions({"image_size": 64, "weights": "IMAGENET1K_V2"})) == 0


def test_a_model_with_a_transform_of_its_own_keeps_it(user_module: Any) -> None:
    user_module(
        "users_case",
        "from torch import nn\nfrom captum_gag.models import Classifier\n"
        "def net():\n    return nn.Flatten()\n"
        "def own():\n    return Classifier('own', net(), transform=lambda image: image)\n",
    )
    assert "image_size" not in case("isic").model_spec("users_case:own", {})
    assert case("isic").model_spec("users_case:net", {})["image_size"] == (448, 448)


@pytest.mark.parametrize(
    ("name", "net", "classes"), [("isic", "efficientnet_b0", 8), ("places365", "densenet161", 365)]
)
def test_cases_without_published_weights_need_ones_own(name: str, net: str, classes: int, tmp_path: Path) -> None:
    chosen = case(name)
    with pytest.raises(InputError, match=f"case {name} needs weights of .* for its .*{classes}.*; give --weights FILE"):
        chosen.require_fitting(chosen.model_spec(None, {}))
    thousand = chosen.model_spec(None, {"weights": "IMAGENET1K_V1"})
    with pytest.raises(InputError, match=f"case {name} has .*{classes}.*, and the weights of .* have 1000"):
        chosen.require_fitting(thousand)
    right = chosen.model_spec(net, {"weights": str(weights(tmp_path / "w.safetensors", net, classes))})
    chosen.require_fitting(right)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the configs that runs begin with; none goes on."""
    configs: list[Any] = []

    def begin(_: Path, config: Any) -> None:
        configs.append(config)
        raise typer.Exit

    monkeypatch.setattr("captum_gag.runs.execution.begin", begin)
    return configs


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    from tiny import write_image

    root = tmp_path / "ImageNetS50"
    write_image(root / "validation" / "n01531178" / "a.JPEG", size=(4, 3))
    (root / "validation-segmentation" / "n01531178").mkdir(parents=True)
    write_image(root / "validation-segmentation" / "n01531178" / "a.png", size=(4, 3))
    return root


def test_the_command_says_once_what_it_assumes(begun: list[Any], photographs: Path, tmp_path: Path) -> None:
    result = call("run", "gag-comparison", "--case", "imagenet-s", "--data", photographs, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    [config] = begun
    assert (config.model["name"], config.model["weights"]) == ("resnet50", "IMAGENET1K_V1")
    assert tuple(config.model["image_size"]) == (256, 256)
    assert (config.data["type"], config.confidence, config.suite["case"]) == ("imagenet-s", 0.9, "imagenet-s")
    assert means(config.suite_file())["RCAP"]["SG"] == 0.106728
    said = result.stderr.splitlines()
    assert said[0] == "case imagenet-s: ImageNet-S with ResNet-50"
    assert len([line for line in said if line.startswith("assumed, as the paper does not say: ")]) == 2
    # It is one JSON, however it was asked for.
    json.dumps(config.model)


def test_options_of_the_command_give_way_one_by_one(begun: list[Any], photographs: Path, tmp_path: Path) -> None:
    given = ["--model", "demo", "--set", "model.image_size=[64, 80]", "--confidence", "0.2"]
    given += ["--data", f"imagenet-s:{photographs}"]
    result = call("run", "gag-ablation", "--case", "imagenet-s", *given, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    [config] = begun
    assert (config.model["type"], tuple(config.model["image_size"]), config.confidence) == ("demo", (64, 80), 0.2)
    assert "assumed" not in result.stderr
