"""The arguments of an attribution in one layout: examples first, then channels, whatever the model takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from captum_gag.attr.contract import TensorOrTuple, as_tuple, checked_inputs, finite_only, rounded_like
from captum_gag.errors import InputError, shown
from captum_gag.model_probe import Behaviour, behaviour_of
from captum_gag.outputs import tensor_of
from captum_gag.tensors import channels_back, channels_first, check_channel_axis, copied, require_dense, target_indices

Rows = Literal["independent", "together"]
"""What the rows of the inputs are: examples, or parts of one, such as nodes of a graph or frames of a clip."""


CaptumTarget = int | tuple[Any, ...] | list[Any] | None
"""A target in plain Python: for all examples, or a list with an entry for each."""


def checked_target(target: Any, n: int) -> CaptumTarget:
    """Return a target of n examples, in any form of Captum's or of NumPy's, in plain Python.

    Raises:
        InputError: It has another form or number of entries, or one that is no integer >= 0.
    """
    if target is None or (isinstance(target, tuple) and any(isinstance(index, slice) for index in target)):
        return target
    entries = [tuple(entry) if isinstance(entry, list) else entry for entry in target_indices(target, n).tolist()]
    return entries[0] if len(entries) == 1 else entries


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

    def scores(self, model: Callable[..., Any], rows: Sequence[int], values: Sequence[Any]) -> Tensor:
        """Return the outputs for rows, with points like ``tensors`` and further arguments as values.

        Where rows are together, the target's scores. The model gets copies, which it may write into.
        """
        values, count = copied(tuple(values)), len(self.tensors)
        points, arguments = values[:count], values[count:]
        if not self.together:
            return self.read(model(*self.as_model_takes(points), *arguments), rows)
        copies = zip(*(point.split(1) for point in points), strict=True)
        outputs = (self.read(model(*self.as_model_takes(copy), *arguments), rows) for copy in copies)
        return torch.stack([self._selected(output) for output in outputs])

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

    def read(self, returned: Any, rows: Sequence[int]) -> Tensor:
        """Return the scores in a model's return value for these rows, of which the target can be selected."""
        together, one_row = self.together, 1 if self.in_order else 0
        target, n = (self.all_targets, self.all_rows) if together else (self.targets_of(rows), len(rows))
        try:
            outputs = tensor_of(returned)
        except InputError:
            raise InputError(
                f"forward_func returned {shown(returned)}, expected a tensor (N, classes), or an object or dict with "
                "logits; pass a function that takes the scores out, such as lambda x: model(x)[0]."
            ) from None
        require_dense("what forward_func returns", outputs)
        outputs = outputs.reshape(1) if one_row and outputs.ndim == 0 else outputs
        if not outputs.is_floating_point() or outputs.ndim == 0 or len(outputs) not in (n, one_row or n):
            raise InputError(
                f"forward_func returned {shown(outputs)} for {n} examples, expected floating-point scores "
                "(N, classes), or (N,) without a target."
            )
        if not outputs.requires_grad and torch.is_grad_enabled():
            raise InputError(
                "What forward_func returned has no gradient by the inputs; it must neither detach, nor convert to "
                "NumPy, nor compute without gradients."
            )
        for index in dict.fromkeys(target) if isinstance(target, list) else [target]:
            if complaint := _complaint(outputs, index, isinstance(target, list)):
                shape = ", ".join(["N", *map(str, outputs.shape[1:])])
                raise InputError(f"target is {shown(index)} for outputs of shape ({shape}): {complaint}.")
        return outputs

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


def _complaint(outputs: Tensor, target: Any, of_each: bool) -> str:
    """Return the reason for which a target, of one example or of all, selects no score; "" where it selects one."""
    shape = outputs.shape[1:]
    index = () if target is None else target if isinstance(target, tuple) else (target,)
    if len(index) > len(shape):
        return f"expected {len(shape)} indices" if shape else "there is one score for each example; leave target out"
    for entry, size in zip(index, shape, strict=False):
        if isinstance(entry, int) and entry >= size:
            return f"{entry} is too large, expected an index from 0 to {size - 1}"
    position = (0, *index)
    selected = outputs[position]
    # Captum takes (N, 1) for (N,) only where there is no list of targets.
    if selected.numel() == 1 and not (of_each and selected.ndim):
        return ""
    return f"that is {selected.numel()} scores of each example, expected one: give {len(shape)} indices, as a tuple"
