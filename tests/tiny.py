"""A model and data sets that take no time, for package.module:callable."""

import torch
from PIL import Image
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from torch import nn

from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.insertion_deletion import curve_plan
from captum_gag.models.loading import Classifier


class Failing(nn.Module):
    """Runs out of memory for more than two images at a time."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        if len(x) > 2:
            raise MemoryError("too many images")
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


def model():
    return Classifier("tiny", net(), (0.5,) * 3, (0.5,) * 3, resize=12, crop=12)


def small_memory():
    return Classifier("tiny", Failing(net()), (0.5,) * 3, (0.5,) * 3, resize=12, crop=12)


class Photos(torch.utils.data.Dataset):
    def __init__(self, length=6):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.rand(3, 14, 14, generator=generator), index % 3, (torch.arange(14) < 7).float().expand(1, 14, 14)


def photos():
    return Photos()


def many_photos():
    return Photos(200)


def image(seed, size=(14, 14)):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (*size[::-1], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def own_method(model, inputs, targets, n_samples, seed):
    return inputs * targets.reshape(-1, 1, 1, 1) + n_samples


class OwnCurve(TorchMetric):
    """Insertion onto a baseline of its own."""

    score_direction = ScoreDirection.HIGHER
    evaluation_category = EvaluationCategory.FAITHFULNESS

    def __init__(self, normalization=None, **kwargs):
        super().__init__(**kwargs)
        self.normalization = normalization

    def plan(self, batch):
        return curve_plan(batch, True, 4, "mean", self.normalization)
