from dataclasses import asdict, replace

import pytest
import safetensors.torch
import torch
from tiny import image

from captum_gag.data.cifar10 import CLASSES, Cifar10, read_cifar10
from captum_gag.errors import InputError
from captum_gag.models import load_classifier, training
from captum_gag.models.cifar10 import Cifar10Net
from captum_gag.models.training import Recipe, shifted_and_mirrored, train_cifar10

RECIPE = Recipe(epochs=3, batch_size=16, validation=10)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar10")
    for split, count in (("train", 6), ("test", 2)):
        for target, label in enumerate(CLASSES):
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                # Every class has a colour of its own, so that there is something to learn.
                photo = image(100 * target + number, (32, 32)).point(lambda value, t=target: value // 8 + 20 * t)
                photo.save(root / split / label / f"{number}.png")
    return root


def quiet(text):
    pass


@pytest.mark.slow
def test_training_repeats_and_goes_on_after_an_interruption_to_the_same_weights(data, tmp_path):
    accuracy = train_cifar10(data, tmp_path / "a.safetensors", RECIPE, say=quiet)
    said = []

    def interrupt(text):
        said.append(text)
        if len(said) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_cifar10(data, tmp_path / "b.safetensors", RECIPE, say=interrupt)
    assert train_cifar10(data, tmp_path / "b.safetensors", RECIPE, say=said.append) == accuracy
    # The epoch that was cut off before it was kept is done once more.
    assert [line.split(":")[0] for line in said] == ["epoch 1", "epoch 2", "epoch 2", "epoch 3"]
    first, second = (safetensors.torch.load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    with pytest.raises(InputError, match="delete it to start anew"):
        train_cifar10(data, tmp_path / "a.safetensors", replace(RECIPE, epochs=4), say=quiet)


@pytest.mark.slow
def test_it_learns_and_stops_early_with_the_best_weights(data, tmp_path, monkeypatch):
    losses = iter([1.0, 0.5, 0.6, 0.7, 0.8, 0.9])
    accuracies = []

    def evaluate(net, images, targets, fed):
        found = original(net, images, targets, fed)
        accuracies.append(found[1])
        return next(losses, 9.0), found[1]

    original = training.evaluate
    monkeypatch.setattr(training, "evaluate", evaluate)
    said = []
    train_cifar10(data, tmp_path / "w.safetensors", Recipe(30, 8, patience=3, validation=10), say=said.append)
    assert len(said) == 5  # the best was the second
    classifier = load_classifier("cifar10", tmp_path / "w.safetensors")
    assert classifier.preprocess(image(0, (32, 32))).shape == (3, 32, 32)
    assert classifier.label(3) == "cat"


def test_the_network_needs_weights():
    with pytest.raises(InputError, match="captum-gag train cifar10 DATA"):
        load_classifier("cifar10")


def test_too_few_images_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="60 training images; expected more than the 5000 held out"):
        train_cifar10(data, tmp_path / "w.safetensors", Recipe(), say=quiet)


def test_images_are_shifted_by_up_to_4_pixels_and_mirrored():
    ramp = torch.arange(32, dtype=torch.uint8).expand(200, 3, 32, 32).contiguous()
    found = shifted_and_mirrored(ramp, torch.Generator().manual_seed(0))
    steps = found[:, 0, 0, 10:20].int().diff(dim=1)
    assert (steps.abs() == 1).all()
    mirrored = (steps < 0).all(1)
    assert 60 < mirrored.sum() < 140
    shifts = found[~mirrored][:, 0, 0, 10].int() - 10
    assert set(shifts.tolist()) == set(range(-4, 5))


@pytest.mark.slow
def test_standardised_inputs_are_in_the_weights_and_the_model_is_fed_so(data, tmp_path):
    said = []
    recipe = replace(RECIPE, standardise=True)
    accuracy = train_cifar10(data, tmp_path / "w.safetensors", recipe, say=said.append)
    pixels = read_cifar10(data, "train")[0].double() / 255
    mean, std = (each.tolist() for each in (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3), correction=0)))
    classifier = load_classifier("cifar10", tmp_path / "w.safetensors")
    assert classifier.mean == pytest.approx(mean, abs=1e-4)
    assert classifier.std == pytest.approx(std, abs=1e-4)
    test = Cifar10(data)
    right = [
        int(classifier.model(classifier.preprocess(test[i].photo())[None]).argmax()) == test[i].target
        for i in range(len(test))
    ]
    assert accuracy == pytest.approx(sum(right) / len(right))
    with pytest.raises(InputError, match=r"was trained with mean .* leave mean and std out"):
        load_classifier("cifar10", tmp_path / "w.safetensors", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    same = load_classifier("cifar10", tmp_path / "w.safetensors", mean=classifier.mean, std=classifier.std)
    assert same.mean == classifier.mean


def test_weights_that_do_not_say_how_they_are_fed_take_pixels_as_they_are(tmp_path):
    safetensors.torch.save_file(dict(Cifar10Net().state_dict()), tmp_path / "w.safetensors")
    classifier = load_classifier("cifar10", tmp_path / "w.safetensors")
    assert (classifier.mean, classifier.std) == ((0.0,) * 3, (1.0,) * 3)
    assert load_classifier("cifar10", tmp_path / "w.safetensors", mean=(0.5,) * 3).mean == (0.5,) * 3


def test_metadata_without_meaning_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(dict(Cifar10Net().state_dict()), path, {"mean": "x", "std": "[1]"})
    with pytest.raises(InputError, match="its metadata has mean x and std"):
        load_classifier("cifar10", path)


def test_a_checkpoint_from_before_a_part_of_the_recipe_existed_is_of_its_default(data, tmp_path):
    recipe = {name: value for name, value in asdict(RECIPE).items() if name != "standardise"}
    torch.save({"recipe": recipe}, tmp_path / "w.safetensors.checkpoint")
    with pytest.raises(InputError, match=r"'standardise': False.*'standardise': True"):
        train_cifar10(data, tmp_path / "w.safetensors", replace(RECIPE, standardise=True), say=quiet)
    with pytest.raises(KeyError, match="net"):
        train_cifar10(data, tmp_path / "w.safetensors", RECIPE, say=quiet)
