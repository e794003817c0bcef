"""The arguments of an attribution in one layout: examples first, then channels, whatever the model takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from captum_gag.attr.contract import (
    CaptumTarget,
    TensorOrTuple,
    as_tuple,
    checked_inputs,
    checked_target,
    finite_only,
    rounded_like,
    scores_for,
)
from captum_gag.errors import InputError, shown
from captum_gag.model_probe import Behaviour, behaviour_of
from captum_gag.tensors import channels_back, channels_first, check_channel_axis

Rows = Literal["independent", "together"]
"""What the rows of the inputs are: examples, or parts of one, such as nodes of a graph or frames of a clip."""


class Examples:
    """Inputs, target and further arguments of a model.

    Attributes:
        checked: Inputs as they came, without graph.
        finite: Mask of the examples of ``tensors`` whose inputs have neither a NaN nor an infinity.
        tensors: Inputs (N, C, ...), or (N, F); of rows that belong together one example,
            (1, C, N, ...), or (1, N * C, ...) with ``rows_as_channels``, and (1, N * F).
        target: As ``checked_target`` returns it; None where the model's ``scores`` are those of the target already.
        rows_at_once: Number of rows that a pass may have, where the model takes no other; None: any.
        in_order: Whether a pass has all rows as they came, once.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        inputs: TensorOrTuple,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        channel_axis: int = 1,
        rows: Rows = "independent",
        rows_as_channels: bool = False,
        in_order: bool = False,
        behaviour: Behaviour | None = None,
    ) -> None:
        """Check the arguments, and ask the model how it treats rows; see ``model_probe``."""
        self.inputs, self.channel_axis = inputs, channel_axis
        self.together, self.rows_as_channels = rows == "together", rows_as_channels
        self.in_order = in_order or self.together
        tensors, finite = checked_inputs(inputs)
        self.finite = finite.all(0, keepdim=True) if self.together else finite
        for tensor in tensors if channel_axis != 1 else ():
            check_channel_axis(channel_axis, tensor)
        self.arguments = as_tuple(additional_forward_args)
        self.all_rows = len(tensors[0])
        self.all_targets = checked_target(target, self.all_rows)
        self.target = None if self.together else self.all_targets
        self.behaviour = behaviour or behaviour_of(forward_func, tensors, self.arguments)
        if not self.in_order:
            self.behaviour.require_independent(
                'declare rows="together" if they are one example, or nt_samples_batch_size=1 to pass all of them in '
                "order, once for each sample"
            )
        limited = self.in_order or self.behaviour.rows == "fixed"
        self.rows_at_once = self.all_rows if limited and not self.together else None
        self.checked, self.tensors = tensors, self.layout(tensors)

    def layout(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return tensors like the inputs in the layout of ``tensors``."""
        return tuple(self._layout(channels_first(tensor, self.channel_axis)) for tensor in tensors)

    def _layout(self, tensor: Tensor) -> Tensor:
        if not self.together:
            return tensor
        if tensor.ndim < 3:
            return tensor.reshape(1, -1)
        return (tensor.flatten(0, 1) if self.rows_as_channels else tensor.transpose(0, 1)).unsqueeze(0)

    def _user_layout(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Return a tensor in the layout of ``tensors``, (B, ...), as the model takes it, like one of its inputs."""
        if self.together and like.ndim < 3:
            tensor = tensor.reshape(like.shape)
        elif self.together:
            row = tensor.squeeze(0)
            tensor = row.unflatten(0, (len(like), -1)) if self.rows_as_channels else row.transpose(0, 1)
        return channels_back(tensor, self.channel_axis)

    def as_model_takes(self, points: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return points like ``tensors``, (B, ...), in the layout of the model's inputs."""
        return tuple(self._user_layout(point, like) for point, like in zip(points, as_tuple(self.inputs), strict=True))

    def scores(self, model: Callable[..., Any], points: Sequence[Tensor], arguments: Any, read: Any) -> Tensor:
        """Return the outputs for points like ``tensors``, (B, ...); where rows are together, the target's scores."""
        if not self.together:
            return read(model(*self.as_model_takes(points), *arguments))  # type: ignore[no-any-return]
        copies = zip(*(point.split(1) for point in points), strict=True)
        return torch.stack([self._selected(read(model(*self.as_model_takes(copy), *arguments))) for copy in copies])

    def _selected(self, outputs: Tensor) -> Tensor:
        """Return the sum of the target's scores over the rows of outputs."""
        targets = self.all_targets
        if not isinstance(targets, list):
            targets = [targets] * len(outputs)
        if len(targets) != len(outputs):
            shapes = f"{len(targets)} entries, but the model returns {len(outputs)} rows for all inputs"
            raise InputError(f"target has {shapes}; give one target.")
        index = [(row, *as_tuple(entry)) for row, entry in enumerate(targets)]
        return torch.stack([outputs[entry].sum() for entry in index]).sum()

    def reader(self, rows: Sequence[int]) -> Callable[[Any], Tensor]:
        """Return a function from what the model returns for these rows to its outputs."""
        if self.together:
            return scores_for(self.all_targets, self.all_rows, one_row=True)
        return scores_for(self.targets_of(rows), len(rows), one_row=self.in_order)

    def targets_of(self, rows: Sequence[int]) -> CaptumTarget:
        """Return the targets of some rows: of a list theirs, else the one of all."""
        return [self.target[row] for row in rows] if isinstance(self.target, list) else self.target

    def arguments_of(self, rows: Sequence[int]) -> tuple[Any, ...] | None:
        """Return the further arguments for some rows; None where there are none, as for Captum."""
        return (self.arguments if self.in_order else self.behaviour.arguments_of(self.arguments, rows)) or None

    def like_inputs(self, results: Sequence[Tensor]) -> TensorOrTuple:
        """Return results like ``tensors`` in the layout, the dtype and the form of the inputs; NaN where not finite."""
        finished = []
        for result, tensor in zip(results, self.tensors, strict=True):
            if not isinstance(result, Tensor) or result.shape != tensor.shape:
                raise InputError(f"aggregation returned {shown(result)}, expected a tensor {tuple(tensor.shape)}.")
            finished.append(rounded_like(tensor, finite_only(result, self.finite)))
        attributions = self.as_model_takes(finished)
        return attributions if isinstance(self.inputs, tuple) else attributions[0]
