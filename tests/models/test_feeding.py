"""How a model is fed, and what it returns, as options of any kind of model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from captum_gag.errors import InputError
from captum_gag.models import Classifier, Preprocessing, load_classifier
from captum_gag.models.catalogue import model
from captum_gag.names import MODELS

MODULE = """
import torch
from torch import nn
from torchvision import transforms as T
from captum_gag.models import Classifier

def net(image_size=0):
    made = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    made.image_size = image_size
    return made

def own():
    return Classifier("own", net(), transform=fed, mean=(0.5,) * 3, std=(0.25,) * 3)

fed = T.Compose([T.Resize((20, 30)), T.CenterCrop(16), T.ToTensor(), T.Normalize((0.5,) * 3, (0.25,) * 3)])
number = 3

def flat(image):
    return torch.zeros(8)

def standardised(image):
    x = T.functional.to_tensor(image)
    return (x - x.mean()) / x.std()

def read(returned):
    return returned.softmax(1)
"""


@pytest.fixture(autouse=True)
def _module(user_module: Any) -> None:
    user_module("users_feeding", MODULE)


def noise(width: int = 50, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


KINDS = [{"type": "torchvision", "name": "squeezenet1_1"}, {"type": "users_feeding:net"}, {"type": "demo"}]


@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: spec["type"])
@pytest.mark.parametrize(
    ("options", "shape", "cut"),
    [
        # The margin is the model's own: 256 for 224.
        ({"image_size": 112}, (3, 112, 112), lambda im: transforms.center_crop(transforms.resize(im, [128]), [112])),
        ({"image_size": [12, 40]}, (3, 12, 40), lambda im: transforms.resize(im, [12, 40])),
        ({"resize": 32, "crop": 20}, (3, 20, 20), lambda im: transforms.center_crop(transforms.resize(im, 32), 20)),
        ({"crop": [20, 30]}, (3, 20, 30), lambda im: transforms.center_crop(transforms.resize(im, 256), [20, 30])),
        (
            {"resize": 32, "crop": 32, "interpolation": "nearest"},
            (3, 32, 32),
            lambda im: transforms.center_crop(transforms.resize(im, 32, InterpolationMode.NEAREST), 32),
        ),
    ],
)
def test_options_of_size_are_what_torchvision_does(
    spec: dict[str, Any], options: dict[str, Any], shape: tuple[int, ...], cut: Any
) -> None:
    given = {**spec, **options, "mean": [0.5] * 3, "std": [0.5] * 3}
    found = model(given).preprocessing()
    x = found.preprocess(noise())
    assert x.shape == shape
    torch.testing.assert_close(x, transforms.to_tensor(cut(noise())) * 2 - 1, rtol=0, atol=1e-6)
    assert torch.equal(found.preprocess_mask(Image.new("L", (50, 40), 255)), torch.ones(1, *shape[1:]))
    torch.testing.assert_close(found.to_rgb(x), (x + 1) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [*MODELS, "users_feeding:net"])
def test_image_size_is_what_every_type_of_model_sees(kind: str) -> None:
    if kind == "timm":
        pytest.importorskip("timm")
    named = {"torchvision": {"name": "squeezenet1_1"}, "timm": {"name": "resnet18"}}.get(kind, {})
    for size, shape in ((40, (3, 40, 40)), ([12, 40], (3, 12, 40))):
        found = model({"type": kind, **named, "image_size": size}).preprocessing()
        assert found.preprocess(noise()).shape == shape


def test_one_channel_is_grey() -> None:
    found = model({"type": "users_feeding:net", "channels": 1, "mean": [0.5], "std": [0.25]}).preprocessing()
    x = found.preprocess(noise())
    assert x.shape == (1, 224, 224)
    grey = transforms.center_crop(transforms.resize(noise().convert("L"), [256]), [224])
    torch.testing.assert_close(x, (transforms.to_tensor(grey) - 0.5) / 0.25)
    shown = found.to_rgb(x[None])
    assert shown.shape == (1, 3, 224, 224)
    torch.testing.assert_close(shown[0], transforms.to_tensor(grey).expand(3, -1, -1))


@pytest.mark.parametrize("spec", [{"type": "users_feeding:own"}, {"preprocess": "users_feeding:fed"}], ids=str)
def test_a_callable_feeds_photographs_and_masks_follow_it(spec: dict[str, Any]) -> None:
    given = {"type": "users_feeding:net", "mean": [0.5] * 3, "std": [0.25] * 3, **spec}
    found = model(given).preprocessing()
    x = found.preprocess(noise())
    import users_feeding  # type: ignore[import-not-found]

    assert torch.equal(x, users_feeding.fed(noise()))
    mask = Image.new("L", (60, 40))
    mask.paste(255, (0, 0, 30, 40))
    # 60 x 40 becomes 30 x 20, of which the crop takes columns 7 to 23: the white ones end in the middle.
    expected = torch.zeros(1, 16, 16)
    expected[:, :, :8] = 1
    assert torch.equal(found.preprocess_mask(mask), expected)
    assert found.normalization == ((0.5,) * 3, (0.25,) * 3)


def test_a_mask_that_cannot_follow_is_said() -> None:
    import users_feeding

    with pytest.raises(InputError, match="masks cannot follow it"):
        Preprocessing(transform=users_feeding.standardised).preprocess_mask(Image.new("L", (8, 8), 255))


def test_an_argument_of_that_name_is_given_too() -> None:
    found = model({"type": "users_feeding:net", "image_size": 32}).load("cpu")
    assert found.model.image_size == 32
    assert found.seen == (32, 32)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"std": [0.0, 1.0, 1.0]}, "std above 0"),
        ({"std": [-1.0] * 3}, "std above 0"),
        ({"std": [float("nan")] * 3}, "std above 0"),
        ({"std": [1.0]}, "as many finite numbers of each"),
        ({"mean": [0.5] * 2, "std": [0.5] * 2}, "there are 3 channels, and mean and std of 2 numbers"),
        ({"channels": 1}, "there are 1 channels, and mean and std of 3 numbers"),
        ({"channels": 2}, "channels is 2, expected 1 or 3"),
        ({"crop": 300}, "crop is 300, resize 256"),
        ({"resize": 100}, "crop is 224, resize 100"),
        ({"resize": 0}, "resize is 0, expected"),
        ({"image_size": -3}, "image_size is -3, expected"),
        ({"image_size": [3, 4, 5]}, "image_size is"),
        ({"image_size": "large"}, "image_size is 'large'"),
        ({"image_size": 30, "crop": 30}, "image_size and crop are both given"),
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos', expected 'bilinear', 'bicubic' or 'nearest'"),
        ({"preprocess": "users_feeding:fed", "crop": 30}, "preprocess does all that is done"),
        ({"preprocess": "users_feeding:fed"}, "mean and std are not given"),
        ({"preprocess": "users_feeding:number", "mean": [0.0], "std": [1.0]}, "users_feeding:number is a int"),
        ({"preprocess": "users_feeding:none", "mean": [0.0], "std": [1.0]}, "cannot be imported"),
        ({"output": "softmax"}, "unknown output 'softmax'"),
        ({"output": "users_feeding:none"}, "cannot be imported"),
        ({"output": 3}, "output is 3"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_line(options: dict[str, Any], said: str) -> None:
    from captum_gag.outputs import OutputReader

    with pytest.raises(InputError, match=said):
        OutputReader(model({"type": "users_feeding:net", **options}).load("cpu").output)


def test_a_callable_that_returns_no_image_is_said() -> None:
    import users_feeding

    with pytest.raises(InputError, match=r"preprocess returned \(8,\) of torch.float32; expected"):
        Preprocessing(transform=users_feeding.flat).preprocess(noise())


def test_options_are_written_as_they_were_given() -> None:
    spec = {
        "type": "users_feeding:net",
        "output": "users_feeding:read",
        "preprocess": "users_feeding:fed",
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "weights": "w.pth",
    }
    assert json.loads(json.dumps(model(spec).spec())) == spec
    assert json.loads(json.dumps(model(spec).absolute().spec()))["output"] == "users_feeding:read"
    sized = {"type": "torchvision", "name": "resnet18", "image_size": [20, 30], "interpolation": "bicubic"}
    assert json.loads(json.dumps(model(sized).spec())) == sized


def test_what_is_returned_is_declared_for_every_kind() -> None:
    for spec in KINDS:
        assert model({**spec, "output": "probabilities"}).output == "probabilities"
    assert load_classifier("users_feeding:net", device="cpu").output == "auto"
    assert load_classifier("users_feeding:net", device="cpu", output="sigmoid").output == "sigmoid"
    import users_feeding

    called = model({"type": "demo", "output": users_feeding.read})
    assert called.spec()["output"] == "users_feeding:read"
    assert load_classifier("users_feeding:net", device="cpu", output=users_feeding.read).output is users_feeding.read
    kept = Classifier("mine", torch.nn.Flatten(), output="logit").on("cpu")
    assert kept.output == "logit"


@pytest.mark.parametrize("of", [list, tuple, np.array, torch.tensor])
def test_numbers_may_come_in_any_form(of: Any) -> None:
    given = Classifier("mine", torch.nn.Flatten(), of([0.5] * 3), of([0.25] * 3), [20, 30], [16, 18])
    assert given.normalization == ((0.5,) * 3, (0.25,) * 3)
    assert torch.equal(
        given.preprocess(noise()), Preprocessing((0.5,) * 3, (0.25,) * 3, (20, 30), (16, 18)).preprocess(noise())
    )


def test_an_exported_network_is_taken_as_it_is() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
    exported = torch.export.export(net, (torch.zeros(1, 3, 2, 2),)).module()
    found = Classifier("exported", exported).on("cpu")
    assert torch.equal(found.model(torch.ones(1, 3, 2, 2)), net(torch.ones(1, 3, 2, 2)))
    assert not any(module.training for module in found.model.modules())
