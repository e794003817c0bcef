"""Reliance of a classifier, verified on planted images: its class follows the part that carries it, and no other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from captum_gag.data.planted import KINDS, N_CLASSES, PARTS, Planted
from captum_gag.data.scenes import Part, Scene
from captum_gag.errors import InputError
from captum_gag.models.loading import Classifier
from captum_gag.outputs import OutputReader

LEAST = 0.95
"""How often a prediction has to do what is expected of it, at the lower end of the interval."""

CONFIDENCE = 0.95
"""Of the intervals."""

BATCH = 100


@dataclass(frozen=True)
class Reliance:
    """Counts of predictions that follow one part of an image alone.

    Attributes:
        kind: Of the planted images.
        n_images: How many were looked at.
        right: Of how many the class was predicted.
        as_expected: By the part that was replaced, for how many images the prediction became the class of the new part,
            where it carries the class, or stayed as it was, where it does not.
    """

    kind: str
    n_images: int
    right: int
    as_expected: dict[Part, int]

    def interval(self, part: Part) -> tuple[float, float]:
        """Return the exact interval (Clopper & Pearson) of the rate at which predictions do what is expected."""
        interval = binomtest(self.as_expected[part], self.n_images).proportion_ci(CONFIDENCE, "exact")
        return float(interval.low), float(interval.high)

    @property
    def failed(self) -> list[Part]:
        """The parts of which it cannot be said that the prediction does what is expected: see ``LEAST``."""
        return [part for part in PARTS if self.interval(part)[0] < LEAST]

    def said(self, part: Part) -> str:
        """Return in a line what happens when a part is replaced."""
        follows = "becomes its class" if part == KINDS[self.kind].reason else "stays"
        low, high = self.interval(part)
        rate = self.as_expected[part] / self.n_images
        return f"{part} replaced: the prediction {follows} in {rate:.1%} of images ({low:.1%} to {high:.1%})"

    def __str__(self) -> str:
        """Return all of it, a line for the accuracy and one for each part."""
        accuracy = f"test accuracy {self.right / self.n_images:.1%} of {self.n_images} images"
        return "\n".join([accuracy, *map(self.said, PARTS)])

    def require(self) -> None:
        """Refuse a network that fails.

        Raises:
            InputError: It does.
        """
        if self.failed:
            raise InputError(
                f"the network relies on more, or on less, than the {KINDS[self.kind].reason} of planted:{self.kind}: "
                f"{'; '.join(map(self.said, self.failed))}; expected at least {LEAST:.0%} at the lower end: train it "
                "longer, on more images, or with another seed"
            )


def reliance(classifier: Classifier, data: Planted) -> Reliance:
    """Replace each part of planted images, and see what the predictions do.

    Args:
        classifier: On its device, in eval mode.
        data: The images, best some that it was not trained on.

    Raises:
        InputError: The classifier has other classes.
    """
    indices = range(len(data))
    before = _predicted(classifier, [data.scene(index) for index in indices])
    targets = torch.tensor([data.listed_target(index) for index in indices])
    as_expected: dict[Part, int] = {}
    for part in PARTS:
        scenes = [data.replaced(index, part) for index in indices]
        wanted = torch.tensor([scene.target for scene in scenes]) if part == data.reason else before
        as_expected[part] = int((_predicted(classifier, scenes) == wanted).sum())
    return Reliance(data.kind, len(data), int((before == targets).sum()), as_expected)


@torch.no_grad()
def _predicted(classifier: Classifier, scenes: list[Scene]) -> Tensor:
    """Return the class that is predicted for each scene, (N,), on the CPU."""
    reader, predicted = OutputReader(classifier.output), []
    for start in range(0, len(scenes), BATCH):
        inputs = torch.stack([classifier.preprocess(scene.photo()) for scene in scenes[start : start + BATCH]])
        scores = reader.scores(classifier.model(inputs.to(classifier.device)))
        if scores.shape[1:] != (N_CLASSES,):
            raise InputError(
                f"{classifier.name} returned {tuple(scores.shape)} for {len(inputs)} images; expected scores of the "
                f"{N_CLASSES} classes of planted images, ({len(inputs)}, {N_CLASSES})"
            )
        predicted.append(scores.argmax(1).cpu())
    return torch.cat(predicted)
