"""Models load by every kind of name, safely, and are fed as their makers fed them."""

from __future__ import annotations

import pickle
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from captum_gag.errors import InputError
from captum_gag.models import Classifier, load_classifier
from captum_gag.models.catalogue import model
from captum_gag.names import MODELS, parse_model

MODULE = """
from torch import nn
from captum_gag.models import Classifier

number = 3

def net():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(3, 4))

def ready():
    return Classifier("ready", net(), (0.5,) * 3, (0.25,) * 3, 20, 16, ["a", "b", "c", "d"])

def wrong():
    return "no model"

def of(classes, side=16):
    return Classifier("of", nn.Linear(3, classes), crop=side)

def broken():
    raise OSError("no license")

class Inverted(Classifier):
    def preprocess(self, image):
        return -super().preprocess(image)

def own():
    return Inverted("own", net())
"""


@pytest.fixture(autouse=True)
def _module(user_module: Any) -> None:
    user_module("users_models", MODULE)


def state_file(path: Path, model: nn.Module) -> Path:
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_fine_tuned_weights_decide_the_number_of_classes(tmp_path: Path, wrapped: bool) -> None:
    tuned = torchvision.models.resnet18(weights=None, num_classes=3).eval()
    state = tuned.state_dict()
    if wrapped:
        state = {"model": {f"module.{key}": value for key, value in state.items()}, "epoch": 7}
    torch.save(state, tmp_path / "tuned.pth")
    classifier = load_classifier("resnet18", tmp_path / "tuned.pth", "cpu")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(classifier.model(x), tuned(x))
    assert classifier.labels is None


def test_googlenet_normalises_inside_as_torchvision_trained_it(tmp_path: Path) -> None:
    plain = torchvision.models.googlenet(weights=None, init_weights=False)
    weights = state_file(tmp_path / "w.safetensors", plain)
    assert load_classifier("googlenet", weights, "cpu").model.transform_input is True


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_pickle_that_runs_code_is_refused_unrun(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"weight": Bomb(mark)}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="could run code"):
        load_classifier("demo", tmp_path / "evil.pth")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()


def test_weights_that_do_not_fit_or_read_say_so_in_one_line(tmp_path: Path) -> None:
    state_file(tmp_path / "other.safetensors", nn.Linear(2, 2))
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    reasons = {
        "other.safetensors": "do not fit",
        "text.pth": "text.pth",
        "text.safetensors": "cannot be read",
        "list.pth": "expected a state dict.*list",
        "missing.pth": "No such file",
    }
    for name, reason in reasons.items():
        for each in ("demo", "squeezenet1_1", "users_models:net"):
            with pytest.raises(InputError, match=reason):
                load_classifier(each, tmp_path / name, "cpu")


@pytest.mark.parametrize(("name", "resize"), [("IMAGENET1K_V1", 256), ("IMAGENET1K_V2", 232)])
def test_torchvisions_weights_by_name(name: str, resize: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, urls = torchvision.models.mobilenet_v2(), []

    def downloaded(url: str, *_: object, **__: object) -> Any:
        urls.append(url)
        return net.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", downloaded)
    asked = model({"type": "torchvision", "name": "mobilenet_v2", "weights": name})
    published = torchvision.models.MobileNet_V2_Weights[name]
    assert (asked.preprocessing().resize, asked.preprocessing().labels) == (resize, published.meta["categories"])
    # It is a name and no file, wherever the run goes on.
    assert asked.absolute().spec()["weights"] == name
    assert urls == []
    loaded = asked.load("cpu")
    assert urls == [published.url]
    assert loaded.resize == resize
    torch.testing.assert_close(loaded.model.state_dict(), net.state_dict())
    assert load_classifier("mobilenet_v2", Path(name), "cpu").resize == resize


def test_a_name_that_torchvision_does_not_know_is_answered_with_those_that_it_does() -> None:
    for each in ("IMAGENET1K_V3", "DEFAULT", "nothing.pth"):
        asked = model({"type": "torchvision", "name": "resnet50", "weights": each})
        with pytest.raises(
            InputError, match=f"{each}: No such file.*resnet50; expected .*IMAGENET1K_V1, IMAGENET1K_V2"
        ):
            asked.load("cpu")
        with pytest.raises(InputError, match="No such file"):
            asked.absolute()
        # To look at a run, its weights are not needed.
        assert asked.preprocessing().labels is None


def test_old_files_of_densenets_say_their_names_otherwise(tmp_path: Path) -> None:
    net = torchvision.models.densenet121(num_classes=5)
    old = {
        "module." + re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in net.state_dict().items()
    }
    assert "module.features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save({"epoch": 1, "state_dict": old}, tmp_path / "places.pth.tar")
    loaded = load_classifier("densenet121", tmp_path / "places.pth.tar", "cpu")
    torch.testing.assert_close(loaded.model.state_dict(), net.state_dict())


def test_offline_torchvision_points_to_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"squeezenet1_1.*https://.*no network.*--weights FILE"):
        load_classifier("squeezenet1_1")


def test_a_callable_gives_a_module_or_a_classifier() -> None:
    module = load_classifier("users_models:net", device="cpu")
    assert not module.model.training
    assert (module.resize, module.crop, module.mean) == (256, 224, (0.485, 0.456, 0.406))
    ready = load_classifier("users_models:ready", device="cpu")
    assert (ready.name, ready.crop, ready.std, ready.label(3)) == ("ready", 16, (0.25,) * 3, "d")
    assert not ready.model.training


def test_a_callable_takes_weights(tmp_path: Path) -> None:
    state = {"3.weight": torch.ones(4, 3), "3.bias": torch.arange(4.0)}
    torch.save(state, tmp_path / "w.pth")
    classifier = load_classifier("users_models:net", tmp_path / "w.pth", "cpu")
    assert classifier.model(torch.zeros(1, 3, 8, 8)).tolist() == [[0.0, 1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet19", "'resnet19'.*resnet18"),
        ("no_such_module:net", "no_such_module"),
        ("users_models:missing", "missing"),
        ("users_models:number", "callable"),
        ("users_models:wrong", "returned a str"),
        ("users_models:broken", "users_models:broken cannot be called: OSError: no license"),
        (":net", "cannot be imported"),
    ],
)
def test_a_callable_that_is_none_says_so(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        load_classifier(name)
    for device in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match=device):
            load_classifier("users_models:net", device=device)


def test_a_callable_takes_the_options_of_the_spec() -> None:
    spec = model({"type": "users_models:of", "classes": 5, "side": 20})
    assert spec.load("cpu").model.out_features == 5
    assert spec.preprocessing().crop == 20
    assert model(spec.spec()).spec() == {"type": "users_models:of", "classes": 5, "side": 20}
    with pytest.raises(InputError, match=r"users_models:of cannot be called: .*'classes'"):
        model("users_models:of").load("cpu")


def test_a_classifier_of_ones_own_class_keeps_its_ways() -> None:
    photo = Image.new("RGB", (300, 300), "red")
    x = load_classifier("users_models:own", device="cpu").preprocess(photo)
    assert torch.equal(x, -load_classifier("users_models:net", device="cpu").preprocess(photo))
    assert torch.equal(x, model("users_models:own").preprocessing().preprocess(photo))


def test_what_names_stand_for() -> None:
    expected = {
        "demo": {"type": "demo"},
        "cifar10": {"type": "cifar10"},
        "resnet18": {"type": "torchvision", "name": "resnet18"},
        "torchvision:alexnet": {"type": "torchvision", "name": "alexnet"},
        "timm:vit_tiny.a": {"type": "timm", "name": "vit_tiny.a"},
        "a:b": {"type": "a:b"},
    }
    assert {name: parse_model(name) for name in expected} == expected


def test_weights_are_found_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").touch()
    for spec in ({"type": "torchvision", "name": "resnet18"}, {"type": "users_models:of", "classes": 5}):
        found = model({**spec, "weights": "w.pth"})
        assert found.absolute().spec() == {**spec, "weights": str(tmp_path / "w.pth")}
        assert model(spec).absolute().spec() == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "torchvison", "name": "resnet18"}, "unknown model 'torchvison'; did you mean torchvision"),
        ({"type": "torchvision"}, "Torchvision needs name: As torchvision lists it"),
        ({"type": "demo", "weight": "w.pth"}, "unknown option 'weight'; did you mean weights"),
    ],
)
def test_a_spec_without_meaning_is_one_line(spec: dict[str, Any], message: str) -> None:
    assert list(MODELS)[-2:] == ["torchvision", "timm"]
    with pytest.raises(InputError, match=message):
        model(spec)


def test_timm_lists_how_its_models_are_fed() -> None:
    timm = pytest.importorskip("timm")
    for name in ("resnet18", "vit_tiny_patch16_224", "inception_v3"):
        found = model(f"timm:{name}").preprocessing()
        data = timm.data.resolve_model_data_config(timm.create_model(name, pretrained=False))
        assert (found.mean, found.std, found.crop) == (data["mean"], data["std"], data["input_size"][-1])
        assert found.resize == round(found.crop / data["crop_pct"])
        assert found.interpolation.value == data["interpolation"]


def test_without_timm_its_models_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for use in (load_classifier, lambda name: model(name).preprocessing()):
        with pytest.raises(InputError, match="timm is not installed; install it with: pip install timm"):
            use("timm:resnet18")


def test_how_a_model_is_fed_and_who_built_it_is_its_identity() -> None:
    plain = Classifier("net", nn.Linear(1, 2)).identity()
    assert plain["version of torch"] == version("torch")
    assert plain == Classifier("other name", nn.Linear(1, 2)).identity()
    for option in ({"resize": 300}, {"crop": 200}, {"mean": (0, 0, 0)}, {"transform": repr}):
        assert Classifier("net", nn.Linear(1, 2), **option).identity()["preprocessing"] != plain["preprocessing"]
    # The address of a function is another in the next process.
    named = Classifier("net", nn.Linear(1, 2), transform=lambda image: image).identity()["preprocessing"]
    assert " at 0x" not in named
