"""Model outputs: what they mean is declared by one option, checked against what comes out, and read here only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from captum_gag.errors import InputError, shown, warn
from captum_gag.names import imported
from captum_gag.options import unknown
from captum_gag.tensors import at_least_single, require_dense


def sum_to_one(outputs: Tensor) -> bool:
    """Return whether all outputs are in [0, 1] and those of each image sum to 1."""
    # Half precision rounds each of the terms, and a model may compute in less than it returns.
    tolerance = 4e-3 if outputs.shape[1] < 10 else 1e-2
    return outputs.shape[1] > 1 and _in_unit_interval(outputs) and bool(((outputs.sum(1) - 1).abs() < tolerance).all())


def _in_unit_interval(outputs: Tensor) -> bool:
    return bool(((outputs >= -1e-6) & (outputs <= 1 + 1e-3)).all())


def _with_complement(column: Tensor) -> Tensor:
    """Return probabilities of two classes from one column, that of class 1; several columns as they are."""
    return torch.cat([1 - column, column], 1) if column.shape[1] == 1 else column


class Kind(NamedTuple):
    """One meaning of outputs (N, columns, ...): in a few words, and as the function that makes them probabilities."""

    help: str
    probabilities: Callable[[Tensor], Tensor]


KINDS = {
    "logits": Kind("one score per class; a softmax follows", lambda outputs: outputs.softmax(1)),
    "probabilities": Kind("in [0, 1]; of one column, of class 1 of two", _with_complement),
    "logit": Kind("one score, of class 1 of two; a sigmoid follows", lambda logit: _with_complement(logit.sigmoid())),
    "sigmoid": Kind("one score per label, several may hold; a sigmoid follows", torch.sigmoid),
    "log_probabilities": Kind("as log_softmax returns them", torch.exp),
}
"""Meanings by name; "auto" decides among them, and a callable reads outputs in a way of its own."""


def _contradiction(kind: str, outputs: Tensor, by_chance: bool) -> str:
    """Explain why outputs contradict a meaning, or return ""; ``by_chance``: report what is merely improbable too."""
    match kind:
        case "logits" if outputs.shape[1] == 1:
            return "there is one number for each image, whose softmax is always 1"
        case "logits" if by_chance and sum_to_one(outputs):
            return "they are in [0, 1] and sum to 1, as probabilities do"
        case "probabilities" if not _in_unit_interval(outputs):
            return f"they reach from {float(outputs.min()):.3g} to {float(outputs.max()):.3g}"
        case "logit" if outputs.shape[1] > 1:
            return f"there are {outputs.shape[1]} columns, not one"
        case "sigmoid" if by_chance and outputs.numel() >= 8 and _in_unit_interval(outputs):
            return "they are all in [0, 1], as they are after a sigmoid"
        case "log_probabilities" if not sum_to_one(outputs.exp()):
            return "their exponentials do not sum to 1"
    return ""


OUTPUT_HELP = (
    "What the model returns: "
    + "; ".join(f"{name} ({kind.help})" for name, kind in KINDS.items())
    + "; a callable from what the model returns to the numbers (N, classes) to read; or auto, which decides by what "
    "comes out (a sum of 1: probabilities; one column: logit; else logits), says so, and refuses what could be either."
)
CLASS_AXIS_HELP = (
    "The axis of the classes in what the model returns: 1, as in (N, classes) and (N, classes, H, W), or -1, as in "
    "(N, tokens, classes). None takes 1, and refuses shapes that leave it open: those of three axes, and "
    "(N, H, W, classes)."
)


class OutputReader:
    """Reads model outputs, by one meaning that is declared or, once, decided.

    Attributes:
        output: As declared.
        class_axis: The axis of the classes, declared or shown by the numbers; None while it is neither.
        kind: The meaning in use: a name of ``KINDS``, "callable", or None while "auto" has not decided.
    """

    def __init__(self, output: Output = "auto", class_axis: int | None = None) -> None:
        if class_axis is not None and (type(class_axis) is not int or class_axis < -1 or class_axis == 0):
            raise InputError(f"class_axis is {shown(class_axis)}, must be an axis after the first, or -1 for the last.")
        self.output, self.class_axis = _loaded(output), class_axis
        self.kind: str | None = "callable" if callable(self.output) else self.output
        if self.kind == "auto":
            self.kind = None
        # Whether some outputs did not look like another meaning; whether it was warned of one column.
        self._unsuspected = self._warned = False

    @classmethod
    def of(cls, output: Output, class_axis: int | None = None) -> OutputReader:
        """Return a reader, which has an axis of its own, as it is, or a new one of a declaration."""
        return output if isinstance(output, cls) else cls(output, class_axis)

    def scores(self, returned: Any) -> Tensor:
        """Return the scores (N, classes, ...) that attributions explain, from a model's return value for N images.

        They have the model's own scale and dtype, and gradients. Of the one column z of a binary model there are two:
        -z and z, or 1 - z and z for probabilities. Their gradients are the same, so "auto" need not know which it is.

        Raises:
            InputError: There is no tensor of scores, or it contradicts the declaration.
        """
        outputs = self._tensor(returned)
        axis = self._axis(outputs)
        columns = outputs.movedim(axis, 1)
        self._check(columns)
        if self.kind == "probabilities":
            return _with_complement(columns).movedim(1, axis)
        if columns.shape[1] > 1 or self.kind not in (None, "logit"):
            return outputs
        if self.kind is None and not self._warned:
            self._warned = True
            warn(
                "The model gives one number for each image, read as the score of class 1 of two; declare "
                'output="logit" or "probabilities" if that is so.'
            )
        return torch.cat([-columns, columns], 1).movedim(1, axis)

    def probabilities(self, returned: Any) -> Tensor:
        """Return probabilities (N, classes, ...) in at least single precision; errors as for ``scores``.

        Those of a callable are taken as they are. "auto" decides by the first outputs.
        """
        outputs = self._tensor(returned)
        self.settle([outputs])
        axis = self._axis(outputs, normalises=self.kind in ("logits", "logit"))
        columns = outputs.movedim(axis, 1)
        self._check(columns)
        columns = columns.to(at_least_single(columns.dtype))
        return (KINDS[self.kind].probabilities(columns) if self.kind in KINDS else columns).movedim(1, axis)

    @torch.no_grad()
    def settled(self, returned: Any) -> bool:
        """Return whether the meaning is decided, after a look at some outputs: numbers outside [0, 1] are scores."""
        if self.kind is None:
            outputs = _usable(self._tensor(returned))
            # Outputs of many numbers are too large to wait for more.
            if len(outputs) and (outputs.ndim > 2 or not _in_unit_interval(outputs)):
                self.settle([outputs])
        return self.kind is not None

    @torch.no_grad()
    def settle(self, returned: Sequence[Any]) -> None:
        """Decide the meaning by all of several outputs, unless it is decided.

        Raises:
            InputError: They could mean several things, or none is finite.
        """
        if self.kind is not None:
            return
        outputs = torch.cat([_usable(self._tensor(part)) for part in returned])
        if not len(outputs):
            raise InputError('The model returned no finite output, by which output="auto" could decide.')
        outputs = outputs.movedim(self._axis(outputs, normalises=True), 1)
        small, single = _in_unit_interval(outputs), outputs.shape[1] == 1
        if small and single:
            raise InputError(
                "The model gives one number in [0, 1] for each image, a probability, a small logit or a quantity; "
                'declare output="probabilities", "logit" or a callable that reads it.'
            )
        if single:
            kind, why = "logit", "one number for each image, read as the logit of class 1 of two"
        elif sum_to_one(outputs):
            kind, why = "probabilities", "numbers in [0, 1] that sum to 1, read as probabilities"
        # The last layer of a model that was never trained may return zeros only.
        elif small and bool((outputs > 0).any()):
            raise InputError(
                "The model gives numbers in [0, 1] that do not sum to 1, probabilities of several labels or small "
                'logits; declare output="probabilities" or "logits".'
            )
        else:
            # The softmax of log-probabilities gives the probabilities back: no warning needed.
            self.kind, self._unsuspected = "logits", True
            return
        warn(f'The model gives {why}; declare output="{kind}" if that is so.')
        self.kind = kind

    def reading(self, model: nn.Module) -> RemovableHandle:
        """Return a hook by which a module returns scores; as a context, it is removed afterwards."""
        return model.register_forward_hook(lambda module, inputs, returned: self.scores(returned))

    def outputs(self, returned: Any) -> Tensor:
        """Return the outputs in a model's return value, whatever they mean."""
        return tensor_of(self.output(returned) if callable(self.output) else returned)

    def _tensor(self, returned: Any) -> Tensor:
        """Return outputs (N, columns, ...); "auto" decides for logits if they are returned under that name."""
        outputs = self.outputs(returned)
        require_dense("the model's outputs", outputs)
        if not outputs.is_floating_point() or outputs.ndim == 0 or outputs.numel() == 0:
            raise InputError(
                f"The model returned {_described(outputs)}, must be floating-point scores (N, classes); class "
                "numbers have no probability."
            )
        outputs = outputs.unsqueeze(1) if outputs.ndim == 1 else outputs
        # One column may be a quantity all the same.
        if self.kind is None and 1 not in outputs.shape[1:] and isinstance(_part(returned, "logits"), Tensor):
            self.kind = "logits"
        return outputs

    def _axis(self, outputs: Tensor, normalises: bool = False) -> int:
        """Return the axis of the classes.

        Args:
            outputs: Shape (N, ...).
            normalises: Whether probabilities are made along that axis, so that it must be known; it must be, too, where
                it may be a single column, which becomes two.
        """
        shape = outputs.shape[1:]
        if self.class_axis is not None:
            if self.class_axis > len(shape):
                raise InputError(
                    f"class_axis is {self.class_axis} for outputs of shape {tuple(outputs.shape)}, must be 1 to "
                    f"{len(shape)}, or -1 for the last."
                )
            return self.class_axis
        # Images' classes are on axis 1 throughout; of (N, classes, T) and (N, tokens, classes) both are usual.
        several = len(shape) == 2 or (len(shape) > 2 and shape[0] == shape[1] != shape[-1])
        needed = normalises or 1 in shape
        if not several or self.kind in ("sigmoid", "callable") or (self.kind is None and not needed):
            return 1
        if self.kind not in ("logits", "logit"):
            values = _usable(outputs)
            values = values.exp() if self.kind == "log_probabilities" else values
            axes = [axis for axis in (1, -1) if len(values) and sum_to_one(values.movedim(axis, 1))]
            if len(axes) == 1:
                [self.class_axis] = axes
                return axes[0]
        if needed:
            raise InputError(
                f"The model gives outputs of shape {tuple(outputs.shape)}, whose classes may be on axis 1 or on the "
                "last, as in (N, tokens, classes); declare class_axis=1 or -1."
            )
        return 1

    def _check(self, outputs: Tensor) -> None:
        """Raise InputError if outputs contradict the meaning in use."""
        if self.kind not in KINDS:
            return
        # Scores that are known to be such are checked by shape alone: looking at their numbers would wait for an
        # accelerator, batch after batch.
        scores = self._unsuspected and self.kind in ("logits", "logit", "sigmoid")
        values = outputs if scores else _usable(outputs)
        if not len(values):
            return
        if problem := _contradiction(self.kind, values, by_chance=not self._unsuspected):
            raise InputError(
                f'The model\'s outputs are read as output="{self.kind}", but {problem}; declare another, one of '
                f"{', '.join(KINDS)}, or a callable from what the model returns to probabilities."
            )
        # Logits that do not sum to 1 are unsuspected, whatever their range.
        self._unsuspected = self._unsuspected or self.kind in ("logits", "logit") or not _in_unit_interval(values)


def _usable(outputs: Tensor) -> Tensor:
    """Return the rows of outputs that can decide, in at least single precision; classes ruled out are at -inf."""
    outputs = outputs.detach().to(at_least_single(outputs.dtype))
    return outputs[(outputs.flatten(1) < torch.inf).all(1)]


def declarable(output: Any) -> Any:
    """Return a valid declaration as it is, without importing; anything else raises an InputError."""
    if callable(output) or isinstance(output, OutputReader):
        return output
    if isinstance(output, str) and (":" in output or output in (*KINDS, "auto")):
        return output
    raise unknown("output", output, ["auto", *KINDS, "a callable", "package.module:callable"])


def _loaded(output: Any) -> Any:
    """Return a valid declaration, with the callable that it names."""
    if not isinstance(output, str) or ":" not in output:
        return declarable(output)
    function = imported(output, "output")
    if not callable(function):
        raise InputError(f"output {output!r} is a {type(function).__name__}, must be a callable.")
    return function


Output = Annotated[str | Callable[[Any], Tensor] | OutputReader, AfterValidator(_loaded)]
"""Type of the option ``output``: see ``OUTPUT_HELP``; or a reader, to decide once for several calls."""


def tensor_of(returned: Any) -> Tensor:
    """Return the tensor of scores in a model's return value; anything else raises an InputError.

    Args:
        returned: A tensor; an object or dict with ``logits`` (transformers, the auxiliary outputs of Inception and
            GoogLeNet) or ``out`` (torchvision's segmentation); or a tuple, list or dict with one tensor in it.
    """
    if isinstance(returned, Tensor):
        return returned
    for name in ("logits", "out"):
        if isinstance(part := _part(returned, name), Tensor):
            return part
    parts = list(returned.values()) if isinstance(returned, Mapping) else returned
    tensors = [part for part in parts if isinstance(part, Tensor)] if isinstance(parts, list | tuple) else []
    if len(tensors) == 1:
        return tensors[0]
    raise InputError(
        f"The model returned {_described(returned)}, must be a tensor (N, classes), or an object or dict with logits; "
        "declare output=callable, which takes this and returns probabilities, such as "
        "lambda returned: returned[0].softmax(1)."
    )


def _part(returned: Any, name: str) -> Any:
    return returned.get(name) if isinstance(returned, Mapping) else getattr(returned, name, None)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of {', '.join(map(str, value))}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {', '.join(map(_described, value)) or 'nothing'}"
    return f"a {type(value).__name__}"
