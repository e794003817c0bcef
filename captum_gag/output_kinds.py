"""What the numbers that a model returns can mean: how they become probabilities, and what contradicts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Kind(NamedTuple):
    """One meaning that outputs (N, columns, ...) can have.

    Attributes:
        probabilities: Reads them, in at least single precision.
        contradiction: Says what about them contradicts this meaning; "" if nothing does.
        help: What it means, in a few words.
        suspicion: Says what they look like instead; "" if they do not. A few outputs can look so by chance.
        by_shape: Whether the contradiction is one of their shape, which is known without looking at numbers.
    """

    probabilities: Callable[[Tensor], Tensor]
    contradiction: Callable[[Tensor], str]
    help: str
    suspicion: Callable[[Tensor], str] = lambda outputs: ""
    by_shape: bool = False


def sum_to_one(outputs: Tensor) -> bool:
    """Return whether all outputs are in [0, 1] and those of each image sum to 1."""
    # Half precision rounds each of the terms, and a model may compute in less than it returns.
    tolerance = 4e-3 if outputs.shape[1] < 10 else 1e-2
    return outputs.shape[1] > 1 and in_unit_interval(outputs) and bool(((outputs.sum(1) - 1).abs() < tolerance).all())


def in_unit_interval(outputs: Tensor) -> bool:
    """Return whether all outputs are in [0, 1], but for rounding."""
    return bool(((outputs >= -1e-6) & (outputs <= 1 + 1e-3)).all())


def _one_column(outputs: Tensor) -> str:
    return "there is one number for each image, whose softmax is always 1" if outputs.shape[1] == 1 else ""


def _like_probabilities(outputs: Tensor) -> str:
    return "they are in [0, 1] and sum to 1, as probabilities do" if sum_to_one(outputs) else ""


def _like_a_sigmoid(outputs: Tensor) -> str:
    # A few numbers are so by chance.
    found = outputs.numel() >= 8 and in_unit_interval(outputs)
    return "they are all in [0, 1], as they are after a sigmoid" if found else ""


def _not_probabilities(outputs: Tensor) -> str:
    return (
        "" if in_unit_interval(outputs) else f"they reach from {float(outputs.min()):.3g} to {float(outputs.max()):.3g}"
    )


def _not_log_probabilities(outputs: Tensor) -> str:
    return "" if sum_to_one(outputs.exp()) else "their exponentials do not sum to 1"


def with_complement(column: Tensor) -> Tensor:
    """Return probabilities of two classes from one column, that of class 1; several columns as they are."""
    return torch.cat([1 - column, column], 1) if column.shape[1] == 1 else column


KINDS: dict[str, Kind] = {
    "logits": Kind(
        lambda outputs: outputs.softmax(1),
        _one_column,
        "one score per class; a softmax follows",
        _like_probabilities,
        by_shape=True,
    ),
    "probabilities": Kind(with_complement, _not_probabilities, "in [0, 1]; of one column, of class 1 of two"),
    "logit": Kind(
        lambda outputs: with_complement(outputs.sigmoid()),
        lambda outputs: "" if outputs.shape[1] == 1 else f"there are {outputs.shape[1]} columns, not one",
        "one score, of class 1 of two; a sigmoid follows",
        by_shape=True,
    ),
    "sigmoid": Kind(
        lambda outputs: outputs.sigmoid(),
        lambda outputs: "",
        "one score per label, several may hold; a sigmoid follows",
        _like_a_sigmoid,
        by_shape=True,
    ),
    "log_probabilities": Kind(lambda outputs: outputs.exp(), _not_log_probabilities, "as log_softmax returns them"),
}
"""By name, what outputs can mean; "auto" decides among them, and a callable reads them in a way of its own."""
