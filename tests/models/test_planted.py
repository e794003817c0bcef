"""What networks rely on: verified on hand-made ones that look at known pixels, and on one that is trained."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.transforms.functional import to_tensor

from captum_gag.data import dataset
from captum_gag.data.planted import KINDS, PARTS
from captum_gag.data.scenes import COLOURS
from captum_gag.errors import InputError
from captum_gag.models import Classifier, load_classifier
from captum_gag.models.planted import RECIPE, PlantedNet, classifier_of, read_reliance, train_planted, write_weights
from captum_gag.models.preprocessing import PIXELS
from captum_gag.models.reliance import LEAST, Reliance, reliance
from captum_gag.runs.scorer import Scorer
from captum_gag.runs.spec import make_suite

ALL = Reliance("colour", 200, 200, dict.fromkeys(PARTS, 200))


def planted(kind, n_images=200, **options):
    return dataset({"type": "planted", "kind": kind, "n_images": n_images, **options})


class Counting(nn.Module):
    """Scores red, green, blue and yellow by how many pixels are exactly so."""

    def forward(self, x):
        colours = torch.tensor([COLOURS[each] for each in ("red", "green", "blue", "yellow")])
        levels = (x * 255).round()[:, None]
        return (levels == colours[:, :, None, None]).all(2).sum((2, 3)).float()


class Corner(nn.Module):
    """Scores square, triangle, disc and cross by how many pixels of the corner are white just where that is."""

    def forward(self, x):
        rows, columns = torch.meshgrid(torch.arange(-5, 6), torch.arange(-5, 6), indexing="ij")
        square = torch.maximum(rows.abs(), columns.abs()) <= 4
        triangle = 2 * columns.abs() <= rows + 5
        disc = rows**2 + columns**2 <= 25
        cross = torch.minimum(rows.abs(), columns.abs()) <= 1
        shapes = torch.stack([square, triangle, disc, cross])
        is_white = (x[:, :, 52:63, 52:63] == 1).all(1)
        return (is_white[:, None] == shapes).sum((2, 3)).float()


class Leaking(nn.Module):
    """Says what another network says, but one class on for the images in which a part of the photograph is dark."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        dark = x[:, :, :2, :2].mean((1, 2, 3)) < 0.25
        scores = self.net(x)
        return torch.where(dark[:, None], scores.roll(1, 1), scores)


def hand_made(net, **options):
    return Classifier("hand-made", net, *PIXELS, 64, 64, **options)


@pytest.mark.parametrize(("kind", "net"), [("colour", Counting()), ("watermark", Corner())])
def test_a_network_that_looks_at_nothing_but_the_object_passes(kind, net):
    found = reliance(hand_made(net), planted(kind))
    assert found == Reliance(kind, 200, 200, dict.fromkeys(PARTS, 200))
    assert found.failed == []
    found.require()


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_always_says_the_same_fails_on_what_carries_the_class_alone(kind):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.tensor([[0.0, 3.0, 1.0, 2.0]]).expand(len(x), -1)

    found = reliance(hand_made(Constant()), planted(kind))
    reason = KINDS[kind].reason
    assert found.failed == [reason]
    assert [found.as_expected[part] for part in PARTS if part != reason] == [200, 200]
    # Of the three quarters that are of another class, a third becomes class 1.
    assert 25 < found.as_expected[reason] < 75
    assert found.right == 50
    with pytest.raises(InputError, match=f"than the {reason} of planted:{kind}: {reason} replaced: the prediction bec"):
        found.require()


def test_a_network_that_looks_at_the_colour_of_shapes_does_not_pass_for_one_that_looks_at_shapes():
    # Here distractors have the colours too, so that its class changes with them.
    found = reliance(hand_made(Counting()), planted("object"))
    assert found.failed == ["object", "distractor"]
    assert found.as_expected["background"] == 200


def test_a_network_that_also_looks_at_the_background_is_told_by_that():
    found = reliance(hand_made(Leaking(Counting())), planted("colour"))
    assert "background" in found.failed
    assert "distractor" not in found.failed
    with pytest.raises(InputError, match=r"background replaced: the prediction stays in \d+\.\d% of images \("):
        found.require()


def test_rates_are_counts_with_exact_intervals():
    found = Reliance("background", 200, 150, {"object": 200, "distractor": 196, "background": 0})
    # Of n in n the lower end is (alpha / 2) ** (1 / n), and of none the upper one is as far from 1.
    edge = 0.025 ** (1 / 200)
    assert found.interval("object") == pytest.approx((edge, 1))
    assert found.interval("background") == pytest.approx((0, 1 - edge))
    # 196 of 200: as tables of the binomial distribution have it.
    assert found.interval("distractor") == pytest.approx((0.9496, 0.9945), abs=1e-4)
    assert found.failed == ["distractor", "background"]
    assert str(found).splitlines() == [
        "test accuracy 75.0% of 200 images",
        "object replaced: the prediction stays in 100.0% of images (98.2% to 100.0%)",
        "distractor replaced: the prediction stays in 98.0% of images (95.0% to 99.5%)",
        "background replaced: the prediction becomes its class in 0.0% of images (0.0% to 1.8%)",
    ]


def test_few_images_prove_nothing():
    # With all of n as expected, the lower end reaches 95 % from n = 72 on.
    assert 0.025 ** (1 / 71) < LEAST < 0.025 ** (1 / 72)
    assert Reliance("colour", 71, 71, dict.fromkeys(PARTS, 71)).failed == list(PARTS)
    assert Reliance("colour", 72, 72, dict.fromkeys(PARTS, 72)).failed == []


def test_a_classifier_of_other_classes_is_refused():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    with pytest.raises(InputError, match=r"hand-made returned \(100, 5\) for 100 images; expected .* \(100, 4\)"):
        reliance(hand_made(net), planted("colour"))


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    write_weights(path, PlantedNet().state_dict(), "colour", ALL)
    return path


def test_verified_weights_are_loaded_with_the_classes_of_their_kind(weights):
    classifier = load_classifier("planted", weights, "cpu")
    assert classifier.labels == ["red", "green", "blue", "yellow"]
    example = planted("colour")[0]
    x = classifier.preprocess(example.photo())
    assert torch.equal(x, to_tensor(example.photo()))
    assert read_reliance(weights) == ALL
    torch.manual_seed(0)
    assert torch.equal(classifier.model(x[None]), PlantedNet().eval()(x[None]))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "w.safetensors: does not say .* captum-gag train planted KIND --out .*w.safetensors"),
        ({"kind": "both"}, "one that was interrupted, .* captum-gag train planted both --out"),
        ({"kind": "both", "reliance": "all"}, "its metadata has reliance all, which has no meaning"),
        ({"kind": "both", "reliance": "{}"}, "its metadata has reliance {}, which has no meaning"),
        (
            {"reliance": json.dumps(asdict(replace(ALL, as_expected={**ALL.as_expected, "object": 180})))},
            r"more, or on less, than the object of planted:colour: .* in 90\.0% of images \(85\.0% to 93\.8%\)",
        ),
    ],
)
def test_weights_that_were_not_verified_or_failed_are_refused(weights, said, message):
    safetensors.torch.save_file(dict(PlantedNet().state_dict()), weights, said)
    with pytest.raises(InputError, match=message):
        load_classifier("planted", weights)


@pytest.mark.parametrize("options", [{"image_size": 96}, {"mean": (0.5,) * 3}, {"interpolation": "bicubic"}], ids=str)
def test_a_network_that_is_fed_otherwise_was_not_verified_so(weights, options):
    with pytest.raises(InputError, match="was verified on images of 64 x 64 pixels as they are; leave out"):
        load_classifier("planted", weights, **options)


def test_without_weights_the_command_that_makes_them_is_told():
    with pytest.raises(InputError, match="captum-gag train planted KIND --out FILE"):
        load_classifier("planted")


def test_a_run_on_images_of_another_kind_is_refused():
    suite = make_suite({"methods": ["Sensitivity"], "metrics": {"LogCoshDice": {}}})
    torch.manual_seed(0)
    classifier = classifier_of("colour", PlantedNet().state_dict())
    Scorer(classifier, suite, data=planted("colour", 4))
    with pytest.raises(
        InputError, match=r"planted:both: its classes are square and .*, and those of planted are red, "
    ):
        Scorer(classifier, suite, data=planted("both", 4))
    # What has no names for its classes may be a user's own network for these images.
    Scorer(hand_made(classifier.model), suite, data=planted("both", 4))


def quiet(text):
    pass


@pytest.mark.slow
def test_training_goes_on_to_the_same_weights_and_says_what_they_rely_on(tmp_path, monkeypatch):
    monkeypatch.setattr("captum_gag.models.planted.N_TEST", 40)
    data = planted("watermark", 40, split="train")
    recipe = replace(RECIPE, epochs=3, batch_size=16, validation=8)
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    found = train_planted(data, paths[0], recipe, say=quiet)
    said = []

    def interrupt(text):
        said.append(text)
        if len(said) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_planted(data, paths[1], recipe, say=interrupt)
    with pytest.raises(
        InputError, match="interrupted, which goes on by the same command: captum-gag train planted wat"
    ):
        load_classifier("planted", paths[1])
    assert train_planted(data, paths[1], recipe, say=said.append) == found
    assert [line.split(":")[0] for line in said] == ["epoch 1", "epoch 2", "epoch 2", "epoch 3"]
    first, second = map(safetensors.torch.load_file, paths)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert read_reliance(paths[1]) == found == reliance(classifier_of("watermark", first), planted("watermark", 40))
    # Three epochs of 32 images teach nothing, so the weights are refused.
    with pytest.raises(InputError, match="than the object of planted:watermark"):
        load_classifier("planted", paths[0])
    for kind, n_images, seed in (("both", 40, 0), ("watermark", 44, 0), ("watermark", 40, 1)):
        other = planted(kind, n_images, split="train", seed=seed)
        with pytest.raises(InputError, match="delete it to start anew"):
            train_planted(other, paths[0], recipe, say=quiet)


@pytest.mark.slow
def test_a_network_that_has_learnt_what_is_behind_is_loaded_and_right(tmp_path, monkeypatch):
    monkeypatch.setattr("captum_gag.models.planted.N_TEST", 200)
    path = tmp_path / "w.safetensors"
    recipe = replace(RECIPE, epochs=3, batch_size=32, validation=100)
    found = train_planted(planted("background", 1000, split="train"), path, recipe, say=quiet)
    assert found.failed == []
    classifier = load_classifier("planted", path, "cpu")
    test = planted("background", 100, seed=1)
    inputs = torch.stack([classifier.preprocess(example.photo()) for example in test])
    right = classifier.model(inputs).argmax(1) == torch.tensor([example.target for example in test])
    assert right.float().mean() > 0.9


@pytest.mark.parametrize(
    ("out", "n_images", "message"),
    [("w.pth", 600, "expected a name that ends in .safetensors"), ("w.safetensors", 500, "500 training images; expec")],
)
def test_a_training_that_cannot_be_verified_is_refused_before_it_begins(out, n_images, message):
    with pytest.raises(InputError, match=message):
        train_planted(planted("both", n_images, split="train"), Path(out), say=quiet)
