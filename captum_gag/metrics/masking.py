"""The one engine behind the metrics: show some pixels, hide the others, read the probability of the class."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from captum_gag.batching import examples_per_batch
from captum_gag.errors import InputError
from captum_gag.metrics.readings import Reading
from captum_gag.tensors import Target, class_targets

Model = Callable[[Tensor], Tensor]

# Images per forward pass when the caller does not say: 2 per CPU thread was best for EfficientNet-Lite0 on 2 threads
# (benchmarks/metrics.py). The accelerator's value is an assumption that only a GPU can check.
IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR = 2, 64


class MaskedInputs(NamedTuple):
    """S versions of each of N images: a pixel is shown where ``compare(order, level)`` holds and hidden elsewhere.

    A level outside the range of ``order`` shows or hides the whole image; such versions are predicted once for all
    masked inputs that share the image.

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
        """Return versions ``steps`` of images ``rows``, (B, C, H, W)."""
        mask = self.compare(self.order[rows], self.levels[rows, steps].reshape(-1, 1, 1))
        return torch.where(mask.unsqueeze(1), self.shown[rows], self.hidden[rows])

    def keys(self) -> Iterator[Hashable]:
        """Yield a key for each version, image by image: equal keys are equal images."""
        lowest, highest = (end.unsqueeze(1) for end in (self.order.amin((1, 2)), self.order.amax((1, 2))))
        uniform = (self.levels < lowest) | (self.levels > highest)
        all_shown = self.compare(lowest, self.levels)
        mine = tuple(map(id, self))
        for row, (alike, shown) in enumerate(zip(uniform.tolist(), all_shown.tolist(), strict=True)):
            for step, same in enumerate(alike):
                source = self.shown if shown[step] else self.hidden
                yield (id(source), row) if same else (mine, row, step)


class Plan(NamedTuple):
    """One metric of one batch of maps: the images that it needs, and what it makes of their probabilities.

    Attributes:
        masked: The images.
        read: From probabilities (N, S) to a reading.
    """

    masked: MaskedInputs
    read: Callable[[Tensor], Reading]


def run_plans(
    plans: Sequence[Plan], model: Model, target: Target, softmax: bool = True, internal_batch_size: int | None = None
) -> list[Reading]:
    """Return what plans for the same images read, in one pass; arguments as for ``class_probabilities``."""
    found = class_probabilities(model, [plan.masked for plan in plans], target, softmax, internal_batch_size)
    return [plan.read(each) for plan, each in zip(plans, found, strict=True)]


@torch.no_grad()
def class_probabilities(
    model: Model,
    masked: Sequence[MaskedInputs],
    target: Target,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> list[Tensor]:
    """Return the probability of each image's class for each of its versions.

    Forward passes are filled across images, versions and masked inputs, and no image is predicted twice; memory does
    not grow with the number of versions.

    Args:
        model: From images (B, C, H, W) to scores (B, classes). A module must be in evaluation mode.
        masked: Versions of the same N images.
        target: Class of all images, or of each.
        softmax: Turn the model's scores into probabilities. False takes them as they are.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        One tensor of shape (N, S) for each of ``masked``, in at least single precision.

    Raises:
        InputError: If the model is in training mode, the targets are not classes of its, or not one for each image.
    """
    require_evaluation_mode(model)
    images = masked[0].shown
    targets = class_targets(target, images)
    keys = [list(each.keys()) for each in masked]
    first: dict[Hashable, tuple[int, int, int]] = {}
    for index, each in enumerate(masked):
        for item, key in enumerate(keys[index]):
            first.setdefault(key, (index, *divmod(item, each.levels.shape[1])))
    wanted = torch.tensor(list(first.values()), device=images.device)
    size = internal_batch_size or examples_per_batch(
        images, IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR, total=len(wanted)
    )
    outputs = []
    for part in wanted.split(size):
        groups = [part[part[:, 0] == index] for index in part[:, 0].unique_consecutive().tolist()]
        batch = torch.cat([masked[int(group[0, 0])].images(group[:, 1], group[:, 2]) for group in groups])
        outputs.append(_read(model(batch), targets[part[:, 1]], softmax))
    place = {key: position for position, key in enumerate(first)}
    found = torch.cat(outputs)
    return [found[[place[key] for key in of]].reshape(each.levels.shape) for of, each in zip(keys, masked, strict=True)]


def require_evaluation_mode(model: Model) -> None:
    """Refuse a module in training mode.

    Raises:
        InputError: If it is.
    """
    if isinstance(model, nn.Module) and model.training:
        raise InputError("The model is in training mode, so its outputs are random; call model.eval() first.")


def _read(outputs: Tensor, target: Tensor, softmax: bool) -> Tensor:
    """Return the probability of the target class in each of a batch of model outputs."""
    if outputs.ndim != 2 or len(outputs) != len(target) or int(target.max()) >= outputs.shape[1]:
        raise InputError(
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
                # _read, class_probabilities and its decorator, run_plans, evaluate, the function that was called.
                stacklevel=7,
            )
        outputs = outputs.softmax(1)
    return outputs.gather(1, target.unsqueeze(1)).squeeze(1)
