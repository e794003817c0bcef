"""The one engine behind the metrics: show some pixels, hide the others, read the probability of the class."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_gag.batching import examples_per_batch, out_of_memory
from captum_gag.errors import InputError
from captum_gag.metrics.readings import Reading, causes
from captum_gag.modules import modules_inside, require_evaluation_mode
from captum_gag.outputs import Output, OutputReader
from captum_gag.tensors import Target, class_targets, finite_rows, over_channels
from captum_gag.threads import one_at_a_time

Model = Callable[[Tensor], Any]

# Images per forward pass when the caller does not say: 2 per CPU thread was best for EfficientNet-Lite0 on 2 threads
# (benchmarks/metrics.py). The accelerator's value is an assumption that only a GPU can check.
IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR = 2, 64


class Imputed(NamedTuple):
    """What hidden pixels show where that depends on which pixels are hidden.

    Attributes:
        whole: Images of which all is hidden, (N, C, *positions) or (N, F).
        fill: From images and a mask of the hidden pixels that broadcasts to them, to the images filled in.
    """

    whole: Tensor
    fill: Callable[[Tensor, Tensor], Tensor]


class MaskedInputs(NamedTuple):
    """S versions of each of N images: a pixel is shown where ``compare(order, level)`` holds and hidden elsewhere.

    A level outside the range of ``order`` shows or hides the whole image; such versions are predicted once for all
    masked inputs that share the image.

    Attributes:
        shown: Images (N, C, *positions), or rows (N, F), seen where the comparison holds.
        hidden: What is seen elsewhere: a baseline of the batch, like the images.
        order: Saliency or rank of each pixel, (N, *positions) or (N, F).
        levels: What ``order`` is compared with, (N, S).
        compare: ``torch.ge`` for saliency against thresholds, ``torch.lt`` for ranks against counts, ``torch.ne``.
    """

    shown: Tensor
    hidden: Tensor | Imputed
    order: Tensor
    levels: Tensor
    compare: Callable[[Tensor, Tensor], Tensor] = torch.ge

    @property
    def baseline(self) -> Tensor:
        """Images of which nothing is shown, like ``shown``."""
        return self.hidden.whole if isinstance(self.hidden, Imputed) else self.hidden

    def write(self, images: Tensor | slice, levels: Tensor, batch: Tensor) -> None:
        """Write versions of some images into a batch (B, C, *positions).

        Args:
            images: Which image each is a version of, (B,); or a slice of the only one, which is not copied then.
            levels: What decides what each shows, (B,).
            batch: Where to.
        """
        order = self.order[images]
        mask = over_channels(self.compare(order, levels.reshape(-1, *[1] * (order.ndim - 1))), self.shown)
        if isinstance(self.hidden, Imputed):
            batch.copy_(self.hidden.fill(self.shown[images].expand_as(batch), ~mask))
        else:
            torch.where(mask, self.shown[images], self.hidden[images], out=batch)

    def uniform(self) -> tuple[Tensor, Tensor]:
        """Return which versions are one image as a whole, and, of these, which are the one that is shown, (N, S)."""
        lowest, highest = self.order.flatten(1).aminmax(dim=1, keepdim=True)
        return (self.levels < lowest) | (self.levels > highest), self.compare(lowest, self.levels)


class Versions:
    """All versions of some masked inputs, and which of them are equal images.

    Attributes:
        wanted: Those to predict, (U, 3): number of the masked inputs, image, step; each image once, in the order asked.
        places: For every version, masked inputs by masked inputs and row by row, its place in ``wanted``.
    """

    def __init__(self, masked: Sequence[MaskedInputs]) -> None:
        """Give each version a number, equal ones the same."""
        blocks: dict[Hashable, int] = {}
        end, numbers = 0, []
        for each in masked:
            n, steps = each.levels.shape
            starts = []
            # A block of numbers for its own versions, and one for each of the two images that are seen as a whole.
            for key, size in ((tuple(map(id, each)), n * steps), (id(each.shown), n), (id(each.hidden), n)):
                if key not in blocks:
                    blocks[key], end = end, end + size
                starts.append(blocks[key])
            alike, shown = (side.cpu().numpy() for side in each.uniform())
            rows = np.arange(n)[:, None]
            own = starts[0] + rows * steps + np.arange(steps)
            numbers.append(np.where(alike, np.where(shown, starts[1], starts[2]) + rows, own).ravel())
        _, first, equal = np.unique(np.concatenate(numbers), return_index=True, return_inverse=True)
        order = first.argsort()
        self.places = torch.from_numpy(order.argsort()[equal])
        sizes = np.array([len(each) for each in numbers])
        ends = sizes.cumsum()
        index = np.searchsorted(ends, first[order], side="right")
        within = first[order] - (ends - sizes)[index]
        row, step = np.divmod(within, np.array([each.levels.shape[1] for each in masked])[index])
        self.wanted: NDArray[np.int64] = np.stack([index, row, step], 1)

    def batch(self, masked: Sequence[MaskedInputs], part: slice) -> Tensor:
        """Return the images of a part of ``wanted``, (B, C, *positions)."""
        wanted = self.wanted[part]
        images = masked[0].shown
        batch = images.new_empty((len(wanted), *images.shape[1:]))
        rows, steps = torch.from_numpy(wanted[:, 1:].T.copy()).to(images.device)
        ends = [*(np.flatnonzero(np.diff(wanted[:, 0])) + 1).tolist(), len(wanted)]
        for start, end in zip([0, *ends], ends, strict=False):
            asked, (first, last) = masked[wanted[start, 0]], wanted[[start, end - 1], 1].tolist()
            some = slice(first, first + 1) if first == last else rows[start:end]
            asked.write(some, asked.levels[rows[start:end], steps[start:end]], batch[start:end])
        return batch


class Plan(NamedTuple):
    """One metric of one batch of maps: the images that it needs, and what it makes of their probabilities.

    Attributes:
        masked: The images.
        read: From probabilities (N, S) to a reading.
        ranked: What of the maps ranks the pixels, (N, *positions); None where they do not count. Where it is constant
            or not finite, that is why a score is NaN.
    """

    masked: MaskedInputs
    read: Callable[[Tensor], Reading]
    ranked: Tensor | None = None


def run_plans(
    plans: Sequence[Plan],
    model: Model,
    target: Target,
    output: Output = "auto",
    internal_batch_size: int | None = None,
) -> list[Reading]:
    """Return what plans for the same images read, in one pass; arguments as for ``class_probabilities``."""
    found = class_probabilities(model, [plan.masked for plan in plans], target, output, internal_batch_size)
    return [_read(plan, each) for plan, each in zip(plans, found, strict=True)]


def _read(plan: Plan, probabilities: Tensor) -> Reading:
    images = (plan.masked.shown, plan.masked.baseline)
    # A broken image, or map, has no score, also where the broken pixels happen to be hidden, or not to be asked.
    sound = torch.stack([finite_rows(each) for each in (*images, plan.ranked) if each is not None]).all(0)
    reading = plan.read(probabilities.masked_fill(~sound.unsqueeze(1), torch.nan))
    score = reading.score
    if not bool(score.isnan().any()):
        return replace(reading, causes=[""] * len(score))
    return replace(reading, causes=causes(score, plan.ranked, images, probabilities))


@torch.no_grad()
@one_at_a_time
def class_probabilities(
    model: Model,
    masked: Sequence[MaskedInputs],
    target: Target,
    output: Output = "auto",
    internal_batch_size: int | None = None,
) -> list[Tensor]:
    """Return the probability of each image's class for each of its versions.

    Forward passes are filled across images, versions and masked inputs, and no image is predicted twice; memory does
    not grow with the number of versions.

    Args:
        model: From images (B, ...) to what it returns of them. Its modules must be in evaluation mode.
        masked: Versions of the same N images.
        target: Class of all images, or of each; tuples for outputs (B, classes, ...) with further axes.
        output: What the model returns; see ``captum_gag.outputs``.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        One tensor of shape (N, S) for each of ``masked``, in at least single precision.

    Raises:
        InputError: If the model is in training mode, the targets are not classes of its, or not one for each image;
            if its outputs are not what is declared, or could mean several things; if it does not take such images.
    """
    check_batch_size(internal_batch_size)
    require_callable(model)
    require_evaluation_mode(model)
    images = masked[0].shown
    targets = class_targets(target, images)
    reader = OutputReader.of(output)
    versions = Versions(masked)
    total = len(versions.wanted)
    size = internal_batch_size or examples_per_batch(images, IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR, total=total)
    of_rows = targets[torch.from_numpy(versions.wanted[:, 1].copy()).to(images.device)]
    outputs: list[Tensor] = []
    # Raw outputs wait until it is known what they mean; most are as soon as they come.
    waiting: list[tuple[Any, Tensor]] = []
    for start in range(0, total, size):
        part = slice(start, start + size)
        waiting.append((_answer(model, versions.batch(masked, part)), of_rows[part]))
        if reader.settled(waiting[-1][0]):
            outputs += _read_all(reader, waiting)
            waiting = []
    if waiting:
        reader.settle([each for each, _ in waiting])
        outputs += _read_all(reader, waiting)
    found = torch.cat(outputs)[versions.places.to(images.device)]
    sizes = [each.levels.numel() for each in masked]
    return [part.reshape(each.levels.shape) for part, each in zip(found.split(sizes), masked, strict=True)]


def _read_all(reader: OutputReader, waiting: Sequence[tuple[Any, Tensor]]) -> list[Tensor]:
    return [_of_targets(reader.probabilities(returned), targets) for returned, targets in waiting]


def require_callable(model: Any) -> None:
    """Refuse what is no model.

    Raises:
        InputError: It cannot be called.
    """
    if not callable(model):
        raise InputError(f"model is a {type(model).__name__}, expected a torch module, or a function of images.")


def check_batch_size(internal_batch_size: int | None) -> None:
    """Refuse what is no number of images.

    Raises:
        InputError: It is neither None nor an integer >= 1.
    """
    size = internal_batch_size
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise InputError(f"internal_batch_size is {size!r}, expected an integer >= 1 or None.")


def _answer(model: Model, images: Tensor) -> Any:
    try:
        return model(images)
    except RuntimeError as error:
        weights = (each for module in modules_inside(model) for each in module.parameters())
        first = next((each for each in weights if each.is_floating_point()), images)
        if out_of_memory(error) or (first.dtype, first.device) == (images.dtype, images.device):
            raise
        raise InputError(
            f"inputs are {images.dtype} on {images.device} and the model is {first.dtype} on {first.device}; bring one "
            "to the other: inputs.to(next(model.parameters()))."
        ) from error


def _of_targets(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the probability of the target in each of a batch, (B,)."""
    indices = targets.reshape(len(targets), -1)
    axes = probabilities.shape[1:]
    highest = indices.amax(0).tolist()
    fits = len(probabilities) == len(indices) and len(axes) == len(highest)
    if not fits or any(index >= size for index, size in zip(highest, axes, strict=True)):
        expected = "(images, classes) with more classes than the highest target"
        if len(axes) != len(highest):
            expected += (
                "; the target of an output (images, classes, ...) with further axes is a tuple with an index for "
                "each, that of an output (images, classes) one number, not a one-hot label"
            )
        shown = highest[0] if len(highest) == 1 else tuple(highest)
        raise InputError(
            f"The model gave an output of shape {tuple(probabilities.shape)} for {len(indices)} images with targets up "
            f"to {shown}, expected {expected}."
        )
    rows = torch.arange(len(indices), device=indices.device)
    place = (rows, *indices.unbind(1))
    return probabilities[place]
