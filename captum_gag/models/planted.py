"""A small network for planted images, trained, and loaded only if what it relies on has been verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from captum_gag.data.planted import KINDS, N_CLASSES, Planted
from captum_gag.data.scenes import SIDE
from captum_gag.errors import InputError
from captum_gag.files import replace_file
from captum_gag.models.base import ModelSpec
from captum_gag.models.loading import Classifier
from captum_gag.models.preprocessing import PIXELS, Preprocessing
from captum_gag.models.reliance import Reliance, reliance
from captum_gag.models.training import Recipe, train
from captum_gag.models.weights import load_state, read_metadata, read_state
from captum_gag.options import declared

WIDTHS = (16, 32, 64, 64)

RECIPE = Recipe(epochs=8, batch_size=64, weight_decay=0.01, patience=4, validation=500)

N_TEST = 1000
"""Test images that what the network relies on is verified on."""


class PlantedNet(nn.Sequential):
    """Four 3 x 3 convolutions, batch-normalised, with max pooling between them; the mean over places, a linear layer.

    As in the network for CIFAR-10, nothing but the normalisation has a bias, every ReLU is a module of its own, and
    pixels come in as they are, in [0, 1], so that DeepLIFT and deep Taylor decomposition apply.
    """

    def __init__(self) -> None:
        """Build the network with random weights."""
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
            channels = width
        layers[-1] = nn.AdaptiveAvgPool2d(1)
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels, N_CLASSES, bias=False))


@declared
class PlantedModel(ModelSpec):
    """A small network for planted images, which needs weights of captum-gag train planted; their file says the kind."""

    type: ClassVar[str] = "planted"

    def own_preprocessing(self) -> Preprocessing:
        """Return the pixels 64 x 64 as they are, and the classes of the kind; none if the weights are gone."""
        metadata = {} if self.weights is None else read_metadata(Path(self.weights))
        kind = KINDS.get(metadata.get("kind", ""))
        return Preprocessing(*PIXELS, resize=SIDE, crop=SIDE, labels=None if kind is None else list(kind.labels))

    def build(self, state: Mapping[str, Tensor] | None) -> Classifier:
        """Build the network.

        Raises:
            InputError: There are no weights, what they rely on was not verified, or is not what carries the class, or
                the network is asked to be fed otherwise than it was then.
        """
        if state is None or self.weights is None:
            raise InputError("the planted network needs weights; train them: captum-gag train planted KIND --out FILE")
        verified = read_reliance(Path(self.weights))
        verified.require()
        if vars(self.preprocessing()) != vars(self.own_preprocessing()):
            raise InputError(
                f"{self.weights}: what the network relies on was verified on images of {SIDE} x {SIDE} pixels as they "
                "are; leave out the options that say how it is fed"
            )
        return classifier_of(verified.kind, state)


def classifier_of(kind: str, state: Mapping[str, Tensor]) -> Classifier:
    """Return the network with weights, whatever they rely on."""
    net = PlantedNet()
    load_state(net, state, PlantedModel.type)
    return Classifier(PlantedModel.type, net.eval(), *PIXELS, SIDE, SIDE, list(KINDS[kind].labels))


def write_weights(path: Path, state: Mapping[str, Tensor], kind: str, verified: Reliance | None = None) -> None:
    """Write weights with the kind that they were trained on and, once it is verified, their reliance, as metadata."""
    metadata = {"kind": kind} | ({} if verified is None else {"reliance": json.dumps(asdict(verified))})
    safetensors.torch.save_file(dict(state), path, metadata)


def read_reliance(path: Path) -> Reliance:
    """Return the verified reliance of these weights' network; InputError if their file has none."""
    metadata = read_metadata(path)
    if "reliance" in metadata:
        try:
            return Reliance(**json.loads(metadata["reliance"]))
        except (TypeError, ValueError) as error:
            message = f"{path}: its metadata has reliance {metadata['reliance']}, which has no meaning"
            raise InputError(message) from error
    command = f"captum-gag train planted {metadata.get('kind', 'KIND')} --out {path}"
    raise InputError(
        f"{path}: does not say that what the network relies on was verified, since it is of another training or of one "
        f"that was interrupted, which goes on by the same command: {command}"
    )


def train_planted(
    data: Planted,
    out: Path,
    recipe: Recipe = RECIPE,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> Reliance:
    """Train the network on planted images, and verify on the test images what it relies on.

    The file of the weights has it, and a network that relies on more than the part that carries the class is not
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
        settings={"data": data.spec()},
    )
    state = read_state(out)
    verified = reliance(classifier_of(data.kind, state).on(device), Planted(data.kind, n_images=N_TEST, seed=data.seed))
    replace_file(out, lambda path: write_weights(path, state, data.kind, verified))
    return verified
