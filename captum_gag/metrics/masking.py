"""The engine behind the metrics: show some pixels, hide the others, read the probability of the class."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_gag.attr.contract import explained
from captum_gag.batching import examples_per_batch
from captum_gag.errors import InputError
from captum_gag.metrics.readings import Reading, nan_causes
from captum_gag.model_probe import behaviour_of
from captum_gag.modules import state_kept
from captum_gag.outputs import Output, OutputReader
from captum_gag.tensors import Target, class_targets, finite_rows, over_channels
from captum_gag.threads import one_at_a_time

Model = Callable[[Tensor], Any]

# Images per forward pass when the caller does not say: 2 per CPU thread was best for EfficientNet-Lite0 on 2 threads
# (benchmarks/metrics.py). The accelerator's value is an assumption that only a GPU can check.
IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR = 2, 64


class Imputed(NamedTuple):
    """Values of hidden pixels that depend on which pixels are hidden.

    Attributes:
        baseline: Images with all pixels hidden, (N, C, *positions) or (N, F).
        fill: From images and a mask of the hidden pixels that broadcasts to them, to the images filled in.
    """

    baseline: Tensor
    fill: Callable[[Tensor, Tensor], Tensor]


class MaskedInputs(NamedTuple):
    """S versions of each of N images: a pixel is visible where ``compare(order, level)`` holds, and hidden elsewhere.

    A level outside the range of ``order`` shows or hides the entire image; such versions are predicted once for all
    masked inputs that share the image.

    Attributes:
        images: Images (N, C, *positions), or rows (N, F), visible where the comparison holds.
        hidden: Values elsewhere: a baseline of the batch, like the images.
        order: Saliency or rank of each pixel, (N, *positions) or (N, F).
        levels: Numbers that ``order`` is compared with, (N, S).
        compare: ``torch.ge`` for saliency against thresholds, ``torch.lt`` for ranks against counts, ``torch.ne``.
    """

    images: Tensor
    hidden: Tensor | Imputed
    order: Tensor
    levels: Tensor
    compare: Callable[[Tensor, Tensor], Tensor] = torch.ge

    @property
    def baseline(self) -> Tensor:
        """Images with all pixels hidden, like ``images``."""
        return self.hidden.baseline if isinstance(self.hidden, Imputed) else self.hidden

    def write(self, rows: Tensor | slice, levels: Tensor, batch: Tensor) -> None:
        """Write versions of some images into a batch.

        Args:
            rows: Row of ``images`` of each version, (B,); or a slice of a single row, which is not copied then.
            levels: The level of each version, (B,).
            batch: Receives the versions, (B, C, *positions).
        """
        order = self.order[rows]
        mask = over_channels(self.compare(order, levels.reshape(-1, *[1] * (order.ndim - 1))), self.images)
        if isinstance(self.hidden, Imputed):
            batch.copy_(self.hidden.fill(self.images[rows].expand_as(batch), ~mask))
        else:
            torch.where(mask, self.images[rows], self.hidden[rows], out=batch)

    def uniform(self) -> tuple[Tensor, Tensor]:
        """Return masks (N, S) of the versions that are entirely visible or hidden, and of those that are visible."""
        lowest, highest = self.order.flatten(1).aminmax(dim=1, keepdim=True)
        return (self.levels < lowest) | (self.levels > highest), self.compare(lowest, self.levels)


class Versions:
    """All versions of some masked inputs, with equal images found.

    Attributes:
        unique: Versions to predict, (U, 3): number of the masked inputs, row, step; each image once, in input order.
        index: For every version, masked inputs by masked inputs and row by row, its row of ``unique``.
    """

    def __init__(self, masked: Sequence[MaskedInputs]) -> None:
        """Give each version a label, equal ones the same."""
        blocks: dict[Hashable, int] = {}
        labels, sources = [], []
        n, most = len(masked[0].images), max(inputs.levels.shape[1] for inputs in masked)
        for number, inputs in enumerate(masked):
            # Three blocks of labels: for its own versions, for the images as they are, and for their baselines.
            keys = (tuple(map(id, inputs)), id(inputs.images), id(inputs.hidden))
            own, images, baselines = (blocks.setdefault(key, len(blocks)) for key in keys)
            uniform, visible = (side.cpu().numpy() for side in inputs.uniform())
            row, step = np.indices(uniform.shape)
            block = np.where(uniform, np.where(visible, images, baselines), own)
            labels.append(((block * n + row) * most + np.where(uniform, 0, step)).ravel())
            sources.append(np.stack([np.full_like(row, number), row, step], -1).reshape(-1, 3))
        _, first, equal = np.unique(np.concatenate(labels), return_index=True, return_inverse=True)
        order = first.argsort()
        self.index = torch.from_numpy(order.argsort()[equal])
        self.unique: NDArray[np.int64] = np.concatenate(sources)[first[order]]

    def batch(self, masked: Sequence[MaskedInputs], part: slice) -> Tensor:
        """Return the images of a part of ``unique``, (B, C, *positions)."""
        unique = self.unique[part]
        images = masked[0].images
        batch = images.new_empty((len(unique), *images.shape[1:]))
        rows, steps = torch.from_numpy(unique[:, 1:].T.copy()).to(images.device)
        ends = [*(np.flatnonzero(np.diff(unique[:, 0])) + 1).tolist(), len(unique)]
        for start, end in zip([0, *ends], ends, strict=False):
            inputs, (first, last) = masked[unique[start, 0]], unique[[start, end - 1], 1].tolist()
            block = slice(first, first + 1) if first == last else rows[start:end]
            inputs.write(block, inputs.levels[rows[start:end], steps[start:end]], batch[start:end])
        return batch


class Plan(NamedTuple):
    """One metric of one batch of maps: the images that it needs, and how it reads their probabilities.

    Attributes:
        masked: The images.
        read: From probabilities (N, S) to a reading.
        ranking: Values of the maps that rank the pixels, (N, *positions), or None: where they are constant or not
            finite, that is the cause of a NaN.
    """

    masked: MaskedInputs
    read: Callable[[Tensor], Reading]
    ranking: Tensor | None = None


class Context(NamedTuple):
    """The model, how its outputs are read, and what else metrics take beside images and maps.

    Attributes:
        model: From images (B, ...) to their outputs. It must treat each by itself, and be deterministic.
        target: Class of all images, or one per image; tuples for outputs (B, classes, ...) with further axes.
        output: Meaning of the model's outputs; see ``captum_gag.outputs``.
        internal_batch_size: Images in one forward pass. None picks a number.
        segmentation: Binary masks (N, 1, *positions) or (N, *positions).
        explain: From (model, images, targets) to attributions.
        channel_axis: Where the model has the channels that the batches of maps have on axis 1.
        layout: From images with channels on axis 1, and their rows in the batch, to the model's inputs.
        arguments: Further arguments of the model.
        keywords: Names of the last of these.
        rows: First row of the batch among all, and the number of these, where arguments have rows for all.
    """

    model: Model
    target: Target
    output: Output = "auto"
    internal_batch_size: int | None = None
    segmentation: Tensor | None = None
    explain: Callable[[Any, Tensor, Tensor], Tensor] | None = None
    channel_axis: int = 1
    arguments: Sequence[Any] = ()
    keywords: Sequence[str] = ()
    rows: tuple[int, int | None] = (0, None)
    layout: Callable[[Tensor, Tensor], tuple[Tensor, ...]] = lambda images, rows: (images,)

    def with_arguments(self, additional_forward_args: Any) -> Context:
        """Return the context with the model's further arguments in Captum's form: a tuple, one alone, or None."""
        if additional_forward_args is None:
            return self
        several = isinstance(additional_forward_args, tuple)
        return self._replace(arguments=additional_forward_args if several else (additional_forward_args,))


def run_plans(plans: Sequence[Plan], context: Context) -> list[Reading]:
    """Return the reading of each plan; all are for the same images, and share forward passes."""
    probabilities = class_probabilities([plan.masked for plan in plans], context)
    return [_read(*pair) for pair in zip(plans, probabilities, strict=True)]


def _read(plan: Plan, probabilities: Tensor) -> Reading:
    images = (plan.masked.images, plan.masked.baseline)
    # A broken image or map has no score, even where the metric hides the broken pixels, or does not ask for them.
    sound = torch.stack([finite_rows(values) for values in (*images, plan.ranking) if values is not None]).all(0)
    reading = plan.read(probabilities.masked_fill(~sound.unsqueeze(1), torch.nan))
    return replace(reading, causes=nan_causes(reading.score, plan.ranking, images, probabilities))


@torch.inference_mode(False)
@torch.no_grad()
@one_at_a_time
def class_probabilities(masked: Sequence[MaskedInputs], context: Context) -> list[Tensor]:
    """Return the probability of each image's class for each of its versions.

    All are versions of the same N images. Forward passes are filled across images, versions and masked inputs, and no
    image is predicted twice; memory does not grow with the number of versions.

    Returns:
        One tensor of shape (N, S) for each of ``masked``, in at least single precision.

    Raises:
        InputError: If the model is random, or does not treat each image by itself; if the targets are not its classes,
            or not one for each image; if its outputs contradict ``output``, or could mean several things; if it does
            not take such images.
    """
    model, size = context.model, context.internal_batch_size
    if not callable(model):
        raise InputError(f"model is a {type(model).__name__}, must be a torch module, or a function of images.")
    if size is not None and (type(size) is not int or size < 1):
        raise InputError(f"internal_batch_size is {size!r}, must be an integer >= 1 or None.")
    images = masked[0].images
    targets = class_targets(context.target, images)
    reader = OutputReader.of(context.output)
    first, rows_of_all = context.rows
    behaviour = behaviour_of(
        model,
        context.layout(images, torch.arange(len(images))),
        *(context.arguments, context.keywords),
        first=first,
        total=rows_of_all,
        read=reader.outputs,
    )
    behaviour.require_independent("a metric needs a model that judges each image by itself")
    versions = Versions(masked)
    total = len(versions.unique)
    size = size or examples_per_batch(images, IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR, total=total)
    at_once = len(images) if behaviour.rows == "fixed" else None
    size = at_once or size
    rows = torch.from_numpy(versions.unique[:, 1].copy())
    targets = targets[rows.to(images.device)]
    positional = len(context.arguments) - len(context.keywords)

    def predict(part: slice) -> Any:
        batch, indices = versions.batch(masked, part), rows[part]
        if at_once:
            # The last version again, up to the number that the model takes.
            filled = torch.arange(at_once).clamp(max=len(batch) - 1)
            batch, indices = batch[filled.to(batch.device)], indices[filled]
        arguments = behaviour.arguments_of(context.arguments, first + indices)
        named = dict(zip(context.keywords, arguments[positional:], strict=True))
        inputs = context.layout(batch, indices)
        with explained(model, inputs):
            return model(*inputs, *arguments[:positional], **named)

    probabilities: list[Tensor] = []
    # Outputs wait here, with their rows, until their meaning is clear, most often at once.
    waiting: list[tuple[Any, slice]] = []
    with state_kept(model) as put_back:
        for start in range(0, total, size):
            part = slice(start, start + size)
            waiting.append((predict(part), part))
            # Each pass starts from the same state.
            put_back()
            if not reader.settled(waiting[-1][0]) and start + size >= total:
                reader.settle([outputs for outputs, _ in waiting])
            if reader.kind is not None:
                probabilities += [
                    _target_probabilities(reader.probabilities(outputs), targets[part], at_once)
                    for outputs, part in waiting
                ]
                waiting = []
    parts = torch.cat(probabilities)[versions.index.to(images.device)].split([m.levels.numel() for m in masked])
    return [part.reshape(inputs.levels.shape) for part, inputs in zip(parts, masked, strict=True)]


def _target_probabilities(probabilities: Tensor, targets: Tensor, at_once: int | None) -> Tensor:
    """Return the probability of each target, (B,), of probabilities (B, classes, ...), or of more that fill a batch."""
    probabilities = probabilities[: len(targets)] if at_once == len(probabilities) else probabilities
    indices = targets.reshape(len(targets), -1)
    axes = probabilities.shape[1:]
    highest = indices.amax(0).tolist()
    fits = len(probabilities) == len(indices) and len(axes) == len(highest)
    if not fits or any(index >= size for index, size in zip(highest, axes, strict=True)):
        hint = "(images, classes) with more classes than the highest target"
        if len(axes) != len(highest):
            hint += (
                "; the target of an output (images, classes, ...) with further axes is a tuple with an index for "
                "each, that of an output (images, classes) one number, not a one-hot label"
            )
        raise InputError(
            f"The model gave an output of shape {tuple(probabilities.shape)} for {len(indices)} images with targets up "
            f"to {highest[0] if len(highest) == 1 else tuple(highest)}, must be {hint}."
        )
    index = (torch.arange(len(indices), device=indices.device), *indices.unbind(1))
    return probabilities[index]
