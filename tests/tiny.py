"""Models, data sets, a method and a metric that take no time, for package.module:callable."""

import math
import os
import time
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import to_tensor

from captum_gag.data.datasets import Example, ImageData
from captum_gag.metrics.base import MaskingMetric, NormalizationOption
from captum_gag.metrics.deletion_insertion import InsertionMetric
from captum_gag.models import Classifier
from captum_gag.options import declared, option


class Failing(nn.Module):
    """Runs out of memory for more than two images at a time."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        if len(x) > 2:
            raise MemoryError("too many images")
        return self.net(x)


class FailsOnDark(Failing):
    """Fails on an image that is black all over."""

    def forward(self, x):
        if (x.flatten(1).amax(1) < -0.99).any():
            raise RuntimeError("too dark")
        return self.net(x)


class Slow(Failing):
    """Takes a moment for each batch."""

    def forward(self, x):
        time.sleep(0.01)
        return self.net(x)


def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 3),
        )


def classifier_of(network):
    return Classifier("tiny", network, (0.5,) * 3, (0.5,) * 3, resize=12, crop=12)


def model():
    return classifier_of(net())


def named_model():
    classifier = classifier_of(net())
    return Classifier("tiny", classifier.model, classifier.mean, classifier.std, 12, 12, ["cat", "dog", "cow"])


def two_channels():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(400, 3))
    return Classifier("two", network, transform=lambda photo: to_tensor(photo.resize((12, 12)))[:2])


def random_model():
    """Other weights in every process, whatever the seed."""
    network = net()
    network[0].bias.data.fill_(os.getpid())
    return classifier_of(network)


def small_memory():
    return classifier_of(Failing(net()))


def fails_on_dark():
    return classifier_of(FailsOnDark(net()))


def slow_model():
    return classifier_of(Slow(net()))


class Photos(torch.utils.data.Dataset):
    def __init__(self, length=6):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.rand(3, 14, 14, generator=generator), index % 3, (torch.arange(14) < 7).float().expand(1, 14, 14)


class BadItems(Photos):
    """Item 2 cannot be read, and item 4 is black."""

    def __getitem__(self, index):
        if index == 2:
            raise RuntimeError("item 2 is broken")
        photo, target, mask = super().__getitem__(index)
        return photo * (index != 4), target, mask


class LargePhotos(Photos):
    """12 MB in memory."""

    def __init__(self):
        super().__init__()
        self.pixels = torch.zeros(1000, 3, 32, 32)


class NamedItems(Photos):
    """Dicts with a group, of a data set that names its classes as torchvision's do."""

    classes = ("ant", "bee", "fly")

    def __getitem__(self, index):
        image, label, _ = super().__getitem__(index)
        return {"image": image, "label": label, "group": index // 2 if index else None}


def named_items():
    return NamedItems(4)


def photos(length=6):
    return Photos(length)


def sixty_photos():
    return Photos(60)


def many_photos():
    return Photos(200)


def photos_of_environment():
    return Photos(int(os.environ["TINY_PHOTOS"]))


def bad_items():
    return BadItems()


def large_photos():
    return LargePhotos()


def only_in_one_process():
    if os.environ["TINY_ONLY_IN"] != str(os.getpid()):
        raise RuntimeError("only there")
    return Photos()


@declared
class Squares(ImageData):
    """A data set of one's own, with a training split of other photographs."""

    first: int = option(default=0, help="Seed of the first photograph.")

    def list_names(self):
        return [f"{self.first + number}" for number in range(8)]

    def __getitem__(self, index):
        return Example(self.names[index], partial(image, self.first + index), index % 3, group=f"series {index // 4}")

    def train(self):
        return Squares(self.first + 100)


def photos_with_training():
    return Squares()


def image(seed, size=(14, 14)):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (*size[::-1], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def write_image(path, seed=0, size=(14, 14)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image(seed, size).save(path)
    return path


def own_method(model, inputs, targets, n_samples, seed):
    return inputs * targets.reshape(-1, 1, 1, 1) + n_samples


@declared
class OwnCurve(MaskingMetric):
    """Insertion onto a baseline of its own."""

    normalization: NormalizationOption = None

    @property
    def higher_is_better(self):
        return True

    def plan(self, batch):
        return InsertionMetric(n_steps=4, perturb_baseline="mean", normalization=self.normalization).plan(batch)


LIGHT = 160


def two_classes():
    """Bird by red light, dog by green, and by nothing at all: a black image is a dog with a probability of 0.9."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        # Only pixels lighter than a half count, of which a photograph has 4 x 4; noise puts some of them out.
        network[0].weight[:, :, 0, 0] = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
        network[0].bias.zero_()
        # sigmoid(3) = 0.95 for a bird, sigmoid(log 9 + 0.2) = 0.92 for a dog.
        network[4].weight[:] = torch.tensor([[3 + math.log(9), 0], [0, 0.2]]) / ((2 * LIGHT / 255 - 1) * 16 / 144)
        network[4].bias[:] = torch.tensor([0, math.log(9)])
    return Classifier("two classes", network, (0.5,) * 3, (0.5,) * 3, resize=12, crop=12, labels=("bird", "dog"))


def write_birds_and_dogs(place, count):
    """Write so many photographs into each of the folders bird and dog: dark but for 4 x 4 red, or green, pixels."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("bird", "dog")):
        (place / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(30, size=(12, 12, 3), dtype=np.uint8)
            # In one quarter of the image, so that a map moved by half the image lies in the dark.
            row, column = 6 * rng.integers(2, size=2) + rng.integers(3, size=2)
            pixels[row : row + 4, column : column + 4, channel] = LIGHT
            Image.fromarray(pixels).save(place / name / f"{number}.png")
    return place
