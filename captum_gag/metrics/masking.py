"""The one engine behind the metrics: show some pixels, hide the others, read the probability of the class."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from captum_gag.batching import examples_per_pass
from captum_gag.tensors import Target, class_targets

Model = Callable[[Tensor], Tensor]

# Images per forward pass when the caller does not say: 2 per CPU thread was best for EfficientNet-Lite0 on 2 threads
# (benchmarks/metrics.py). The accelerator's value is an assumption that only a GPU can check.
IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR = 2, 64


class Reveal(NamedTuple):
    """S versions of each of N images: a pixel is shown where ``compare(order, level)`` and hidden elsewhere.

    A level outside the range of ``order`` shows or hides the whole image; such versions are predicted once for all
    reveals that share the image.

    Attributes:
        shown: Images (N, C, H, W) seen where the comparison holds.
        hidden: Images (N, C, H, W) seen elsewhere.
        order: Saliency or rank of each pixel, (N, H, W).
        levels: What ``order`` is compared with, (N, S).
        compare: ``torch.ge`` for saliency against thresholds, ``torch.lt`` for ranks against counts, ``torch.eq``.
    """

    shown: Tensor
    hidden: Tensor
    order: Tensor
    levels: Tensor
    compare: Callable[[Tensor, Tensor], Tensor] = torch.ge

    def images(self, rows: Tensor, steps: Tensor) -> Tensor:
        """Give versions ``steps`` of images ``rows``, (B, C, H, W)."""
        mask = self.compare(self.order[rows], self.levels[rows, steps].reshape(-1, 1, 1))
        return torch.where(mask.unsqueeze(1), self.shown[rows], self.hidden[rows])

    def keys(self) -> Iterator[tuple[int, ...]]:
        """Give a key for each version, image by image: equal keys are equal images."""
        lowest, highest = (end.unsqueeze(1) for end in (self.order.amin((1, 2)), self.order.amax((1, 2))))
        uniform = (self.levels < lowest) | (self.levels > highest)
        all_shown = self.compare(lowest, self.levels)
        mine = tuple(map(id, self[:4]))
        for row, (alike, shown) in enumerate(zip(uniform.tolist(), all_shown.tolist(), strict=True)):
            for step, same in enumerate(alike):
                source = self.shown if shown[step] else self.hidden
                yield (id(source), row) if same else (*mine, row, step)


class Reading(Protocol):
    """What a metric reads off the probabilities: a named tuple of tensors (N, ...) with a score."""

    @property
    def score(self) -> Tensor:
        """Scores of shape (N,)."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class Plan(NamedTuple):
    """One metric of one batch of maps: the images that it needs, and what it makes of their probabilities.

    Attributes:
        reveal: The images.
        read: From probabilities (N, S) to a reading.
    """

    reveal: Reveal
    read: Callable[[Tensor], Reading]


@torch.no_grad()
def class_probabilities(
    model: Model,
    reveals: Sequence[Reveal],
    target: Target,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> list[Tensor]:
    """Give the probability of each image's class for each of its versions.

    Forward passes are filled across images, versions and reveals, and no image is predicted twice; memory does not
    grow with the number of versions.

    Args:
        model: From images (B, C, H, W) to scores (B, classes). A module must be in evaluation mode.
        reveals: Versions of the same N images.
        target: Class of all images, or of each.
        softmax: Turn the model's scores into probabilities. False takes them as they are.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        One tensor of shape (N, S) per reveal, in at least single precision.

    Raises:
        ValueError: If the model is in training mode, the targets are not classes of its, or not one for each image.
    """
    require_evaluation_mode(model)
    images = reveals[0].shown
    targets = class_targets(target, images)
    size = internal_batch_size or examples_per_pass(images, IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR)
    keys = [list(reveal.keys()) for reveal in reveals]
    first: dict[tuple[int, ...], tuple[int, int, int]] = {}
    for index, reveal in enumerate(reveals):
        for item, key in enumerate(keys[index]):
            first.setdefault(key, (index, *divmod(item, reveal.levels.shape[1])))
    wanted = torch.tensor(list(first.values()), device=images.device)
    outputs = []
    for part in wanted.split(size):
        groups = [part[part[:, 0] == index] for index in part[:, 0].unique_consecutive().tolist()]
        batch = torch.cat([reveals[int(group[0, 0])].images(group[:, 1], group[:, 2]) for group in groups])
        outputs.append(_read(model(batch), targets[part[:, 1]], softmax))
    place = {key: position for position, key in enumerate(first)}
    found = torch.cat(outputs)
    return [
        found[[place[key] for key in of]].reshape(each.levels.shape) for of, each in zip(keys, reveals, strict=True)
    ]


def run_plan(plan: Plan, model: Model, target: Target, softmax: bool, internal_batch_size: int | None) -> Any:
    """Give what one plan reads; arguments as for ``class_probabilities``."""
    return plan.read(*class_probabilities(model, [plan.reveal], target, softmax, internal_batch_size))


def require_evaluation_mode(model: Model) -> None:
    """Refuse a module in training mode.

    Raises:
        ValueError: If it is.
    """
    if isinstance(model, nn.Module) and model.training:
        raise ValueError("The model is in training mode, so its outputs are random; call model.eval() first.")


def _read(outputs: Tensor, target: Tensor, softmax: bool) -> Tensor:
    """Pick the probability of the target class out of a batch of model outputs."""
    if outputs.ndim != 2 or len(outputs) != len(target) or int(target.max()) >= outputs.shape[1]:
        raise ValueError(
            f"The model gave an output of shape {tuple(outputs.shape)} for {len(target)} images with targets up to "
            f"{int(target.max())}, expected (images, classes) with more classes than the highest target."
        )
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    if softmax:
        sums = outputs.sum(1)
        if bool((outputs >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
            warnings.warn(
                "The model's outputs are already probabilities and softmax=True flattens them once more; "
                "pass softmax=False.",
                stacklevel=5,
            )
        outputs = outputs.softmax(1)
    return outputs.gather(1, target.unsqueeze(1)).squeeze(1)


def warn_undefined(metric: str, scores: list[float]) -> None:
    """Name the images whose score is NaN, in one warning."""
    undefined = [index for index, score in enumerate(scores) if score != score]
    if undefined:
        warnings.warn(
            f"{metric} is NaN for image {', '.join(map(str, undefined))}: the map is constant or has a NaN or an "
            "infinity in it, so its pixels have no ranking.",
            stacklevel=3,
        )
