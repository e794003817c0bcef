"""The training of a network whose reason is known: on planted images, and verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from captum_gag.data.planted import Planted
from captum_gag.errors import InputError
from captum_gag.files import replace_file
from captum_gag.models.planted import PlantedNet, classifier_of, write_weights
from captum_gag.models.reliance import Reliance, reliance
from captum_gag.models.training import Recipe, train
from captum_gag.models.weights import read_state

RECIPE = Recipe(epochs=8, batch_size=64, weight_decay=0.01, patience=4, validation=500)

N_TEST = 1000
"""Test images that what the network relies on is verified on."""


def train_planted(
    data: Planted,
    out: Path,
    recipe: Recipe = RECIPE,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> Reliance:
    """Train the network on planted images, and verify on the test images what it relies on.

    What that is stands in the file of the weights, and a network that relies on more than what carries the class is not
    loaded. An interrupted training goes on as that of ``train_cifar10`` does.

    Args:
        data: The training images.
        out: The ``.safetensors`` file to write.
        recipe: How to train.
        device: Where, as torch names it.
        say: Gets a line per epoch.

    Raises:
        InputError: The file has another ending, there are too few images, or the checkpoint is of another recipe or
            other images.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: expected a name that ends in .safetensors, which says what the network relies on")
    if len(data) <= recipe.validation:
        raise InputError(f"{data}: {len(data)} training images; expected more than the {recipe.validation} held out")
    images = torch.stack([torch.from_numpy(np.array(example.photo())).permute(2, 0, 1) for example in data])
    targets = torch.tensor([data.listed_target(index) for index in range(len(data))])
    train(
        PlantedNet,
        (images, targets),
        out,
        lambda path, state: write_weights(path, state, data.kind),
        recipe,
        device,
        say,
        known={"data": data.spec()},
    )
    state = read_state(out)
    found = reliance(classifier_of(data.kind, state).on(device), Planted(data.kind, n_images=N_TEST, seed=data.seed))
    replace_file(out, lambda path: write_weights(path, state, data.kind, found))
    return found
