"""What a model returns, found out once on three images of no data set, so that whoever works decides alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from captum_gag.data.datasets import ImageData
from captum_gag.errors import InputError, in_one_line
from captum_gag.models import Classifier
from captum_gag.models.loading import name_of
from captum_gag.outputs import Output, OutputReader, tensor_of


class Found(NamedTuple):
    """What is known of a model's outputs before any photograph is read.

    Attributes:
        output: What they mean: as declared, or as decided; "auto" where the model fails on the probe, and each image
            decides for itself.
        said: The same, as text.
        classes: How many there are; None where the model fails on the probe.
    """

    output: Output
    said: str
    classes: int | None


def probed(classifier: Classifier, model: nn.Module, dtype: torch.dtype) -> Found:
    """Find out what a model returns, on a black, a white and a noise image.

    Args:
        classifier: The preprocessing, and what is declared.
        model: On its device, in its precision, in evaluation mode.
        dtype: That precision.

    Returns:
        What its outputs mean. Where the model fails on all three for a reason of its own, that is for each image to
        say.

    Raises:
        InputError: The outputs contradict what is declared, could mean several things, or are not (1, classes).
    """
    reader = OutputReader(classifier.output)
    said = name_of(classifier.output)
    returned = list(_returned(classifier, model, dtype))
    if not returned:
        return Found(reader.output, said, None)
    shown = [each for each in returned if reader.kind == "callable" or bool(_finite(each))]
    if not shown:
        return Found(reader.output, said, None)
    if reader.kind is None:
        for each in shown:
            _require_scores(classifier, each)
        # All of them together: one image's scores may by chance look like something else.
        reader.settle(shown)
        said = reader.kind or said
    probabilities = [classes_of(classifier, reader, each) for each in shown]
    decided = reader.output if reader.kind in (None, "callable") else reader.kind
    return Found(decided, said, probabilities[0].shape[1])


def require_own_numbers(data: ImageData, classifier: Classifier, classes: int) -> None:
    """Refuse a data set whose classes were numbered by their order, where the model has another number of them.

    Raises:
        InputError: It has, or its classes have other names than the data set's must have.
    """
    if data.labels is not None and classifier.labels is not None and data.labels != tuple(classifier.labels):
        raise InputError(
            f"{data}: its classes are {', '.join(data.labels)}, and those of {classifier.name} are "
            f"{', '.join(classifier.labels[: len(data.labels)])}; take a model that was trained on this data set"
        )
    listed = {target for target in map(data.listed_target, range(len(data))) if target is not None}
    if classes in listed and 0 not in listed:
        raise InputError(
            f"{data}: its classes are numbered from 1 to {classes}, and {classifier.name} has 0 to {classes - 1}; "
            "number them from 0"
        )
    numbered = data.numbered_by_order
    if numbered not in (None, classes):
        how = "say which class each is by a classes.csv (class_index, wnid or name) beside the folders"
        how += ", or by the option classes of a table"
        how = "give the model's numbers as labels" if data.in_memory else how
        raise InputError(
            f"{data}: its {numbered} classes are numbered by the order of their names, and {classifier.name} has "
            f"{classes}, so these are not its numbers; {how}"
        )


def classes_of(classifier: Classifier, reader: OutputReader, returned: Any, count: int = 1) -> Tensor:
    """Return the probabilities (N, classes) of what a model returned for N images.

    Args:
        classifier: For messages.
        reader: Reads what the model returns.
        returned: By the model.
        count: N.

    Raises:
        InputError: There are no such, or not for as many images.
    """
    try:
        probabilities = reader.probabilities(returned)
    except InputError:
        raise
    # A callable of the user's can fail in any way.
    except Exception as error:
        raise InputError(f"output cannot read what {classifier.name} returned: {in_one_line(error)}") from error
    if probabilities.ndim != 2 or len(probabilities) != count:
        # What a callable reads may be no tensor before.
        raise _no_scores(classifier, probabilities if reader.kind == "callable" else tensor_of(returned))
    return probabilities


def _require_scores(classifier: Classifier, returned: Any) -> None:
    outputs = tensor_of(returned)
    if outputs.ndim not in (1, 2) or len(outputs) != 1:
        raise _no_scores(classifier, outputs)


def _no_scores(classifier: Classifier, outputs: Tensor) -> InputError:
    return InputError(
        f"{classifier.name} returned {tuple(outputs.shape)} for one image; expected logits (1, classes), or declare "
        "output=package.module:callable, from what it returns to probabilities (1, classes)"
    )


def _returned(classifier: Classifier, model: nn.Module, dtype: torch.dtype) -> Iterator[Any]:
    """Yield what the model returns for each image of the probe that it does not fail on."""
    height, width = classifier.seen
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for image in (np.zeros_like(noise), np.full_like(noise, 255), noise):
        try:
            inputs = classifier.preprocess(Image.fromarray(image))[None].to(classifier.device, dtype)
            with torch.no_grad():
                yield model(inputs)
        # A model, or a preprocessing, of the user's can fail in any way; it says so of each photograph.
        except Exception:
            continue


def _finite(returned: Any) -> bool:
    return bool(tensor_of(returned).isfinite().all())
