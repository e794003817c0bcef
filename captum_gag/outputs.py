"""What a model returns: declared by one option, checked against what comes out, and read here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from captum_gag.errors import InputError, warn
from captum_gag.importing import imported
from captum_gag.options import option, unknown
from captum_gag.output_kinds import KINDS, in_unit_interval, sum_to_one, with_complement
from captum_gag.tensors import at_least_single, require_dense

OUTPUT_HELP = (
    "What the model returns: "
    + "; ".join(f"{name} ({kind.help})" for name, kind in KINDS.items())
    + "; a callable from what the model returns to the numbers (N, classes) to read; or auto, which decides by what "
    "comes out (a sum of 1: probabilities; one column: logit; else logits), says so, and refuses what could be either."
)


class OutputReader:
    """Reads what a model returns, by one meaning that is declared or, once, decided.

    Attributes:
        output: As declared.
        kind: The meaning in use: a name of ``KINDS``, "callable", or None where nothing has been read yet.
    """

    def __init__(self, output: Output = "auto") -> None:
        """Take a declaration.

        Args:
            output: See ``OUTPUT_HELP``.

        Raises:
            InputError: There is no such meaning.
        """
        self.output = _known(output)
        self.kind: str | None = None
        if callable(self.output):
            self.kind = "callable"
        elif self.output != "auto":
            self.kind = self.output
        # Whether some outputs were none that look like another meaning; whether one column was said to be two classes.
        self._unsuspected = self._said = False

    @classmethod
    def of(cls, output: Output) -> OutputReader:
        """Return a reader as it is, or one of a declaration."""
        return output if isinstance(output, cls) else cls(output)

    def scores(self, returned: Any) -> Tensor:
        """Return what attributions explain.

        Args:
            returned: By the model, for N images.

        Returns:
            Scores (N, classes, ...) of the model's own scale and dtype, with gradient. Of the one column z of a binary
            model there are two: -z and z, or 1 - z and z for probabilities. Their gradients are the same, so "auto"
            need not know which of both it is.

        Raises:
            InputError: What came out is no tensor of scores, or contradicts what was declared.
        """
        outputs = self._taken(returned)
        if self.kind is not None:
            self._check(outputs)
        if self.kind == "probabilities":
            return with_complement(outputs)
        if outputs.shape[1] > 1 or self.kind not in (None, "logit"):
            return outputs
        if self.kind is None and not self._said:
            self._said = True
            warn(
                "The model gives one number for each image, read as the score of class 1 of two; declare "
                'output="logit" or "probabilities" if that is so.'
            )
        return torch.cat([-outputs, outputs], 1)

    def probabilities(self, returned: Any) -> Tensor:
        """Return probabilities (N, classes, ...) in at least single precision; errors as for ``scores``.

        What a callable returns is taken as it is. "auto" decides by the first outputs.
        """
        outputs = self._taken(returned)
        if self.kind is None:
            self.settle([outputs])
        kind = self._check(outputs)
        outputs = outputs.to(at_least_single(outputs.dtype))
        return outputs if kind == "callable" else KINDS[kind].probabilities(outputs)

    @torch.no_grad()
    def settled(self, returned: Any) -> bool:
        """Return whether what outputs mean is known, after a look at some: numbers outside [0, 1] are scores."""
        if self.kind is None:
            outputs = _compared(self._taken(returned))
            # Outputs of many numbers are too large to wait for more.
            if len(outputs) and (outputs.ndim > 2 or not in_unit_interval(outputs)):
                self.settle([outputs])
        return self.kind is not None

    @torch.no_grad()
    def settle(self, returned: Sequence[Any]) -> None:
        """Decide by all of some outputs what they mean, unless that is known.

        Raises:
            InputError: They could mean several things, or none is finite.
        """
        if self.kind is None:
            outputs = torch.cat([_compared(self._taken(each)) for each in returned])
            if not len(outputs):
                raise InputError('The model returned no finite output, by which output="auto" could decide.')
            self.kind = self._decide(outputs)

    @contextmanager
    def reading(self, model: nn.Module, probabilities: bool = False) -> Iterator[None]:
        """Let a module return scores, or probabilities, inside this context, by a hook on it."""
        read = self.probabilities if probabilities else self.scores
        handle = model.register_forward_hook(lambda module, inputs, returned: read(returned))
        try:
            yield
        finally:
            handle.remove()

    def _decide(self, outputs: Tensor) -> str:
        """Decide what the outputs mean, and say so unless it is what everybody expects."""
        if outputs.shape[1] == 1:
            if in_unit_interval(outputs):
                raise InputError(
                    "The model gives one number in [0, 1] for each image, a probability, a small logit or a quantity; "
                    'declare output="probabilities", "logit" or a callable that reads it.'
                )
            kind, why = "logit", "one number for each image, read as the logit of class 1 of two"
        elif sum_to_one(outputs):
            kind, why = "probabilities", "numbers in [0, 1] that sum to 1, read as probabilities"
        # Nothing but 0 is what a last layer says that was never trained.
        elif in_unit_interval(outputs) and bool((outputs > 0).any()):
            raise InputError(
                "The model gives numbers in [0, 1] that do not sum to 1, probabilities of several labels or small "
                'logits; declare output="probabilities" or "logits".'
            )
        else:
            # Logarithms of probabilities are logits whose softmax is what they are of: nothing to be said.
            self._unsuspected = True
            return "logits"
        warn(f'The model gives {why}; declare output="{kind}" if that is so.')
        return kind

    def _taken(self, returned: Any) -> Tensor:
        """Return outputs (N, columns, ...), which are logits if they are called so by who returns them."""
        outputs = tensor_of(self.output(returned) if callable(self.output) else returned)
        require_dense("the model's outputs", outputs)
        if not outputs.is_floating_point() or outputs.ndim == 0 or outputs.numel() == 0:
            raise InputError(
                f"The model returned {_described(outputs)}, expected floating-point scores (N, classes); class "
                "numbers have no probability."
            )
        outputs = outputs.unsqueeze(1) if outputs.ndim == 1 else outputs
        if self.kind is None and outputs.shape[1] > 1 and isinstance(_part(returned, "logits"), Tensor):
            # Their name says what small ones are; one column may be a quantity all the same.
            self.kind = "logits"
        return outputs

    def _check(self, outputs: Tensor) -> str:
        """Return what outputs mean; refuse those that contradict it."""
        kind = str(self.kind)
        if kind == "callable":
            return kind
        # Their shape alone says all: looking at numbers would wait for an accelerator, batch after batch.
        compared = outputs if KINDS[kind].by_shape and self._unsuspected else _compared(outputs)
        if len(compared):
            found = KINDS[kind].contradiction(compared) or (not self._unsuspected and KINDS[kind].suspicion(compared))
            if found:
                raise InputError(
                    f'The model\'s outputs are read as output="{kind}", but {found}; declare another, one of '
                    f"{', '.join(KINDS)}, or a callable from what the model returns to probabilities."
                )
            # Of logits a sum other than 1 says enough.
            self._unsuspected = self._unsuspected or kind in ("logits", "logit") or not in_unit_interval(compared)
        return kind


def _compared(outputs: Tensor) -> Tensor:
    """Return those of outputs (N, ...) by which can be decided, in at least single precision.

    A score of minus infinity is that of a class that is ruled out.
    """
    found = outputs.detach().to(at_least_single(outputs.dtype))
    return found[(found.flatten(1) < torch.inf).all(1)]


def declarable(output: Any) -> Any:
    """Return what may be declared as ``output``; ``package.module:callable`` is not imported yet.

    Raises:
        InputError: It is something else.
    """
    known = isinstance(output, str) and (":" in output or output in (*KINDS, "auto"))
    if not known and not callable(output) and not isinstance(output, OutputReader):
        raise unknown("output", output, ["auto", *KINDS, "a callable", "package.module:callable"])
    return output


def _known(output: Any) -> Any:
    found = imported(output, "output") if isinstance(output, str) and ":" in output else output
    if isinstance(output, str) and found is not output and not callable(found):
        raise InputError(f"output {output!r} is a {type(found).__name__}, expected a callable.")
    return declarable(found)


Output = Annotated[str | Callable[[Any], Tensor] | OutputReader, AfterValidator(_known)]
"""What a user gives as ``output``: see ``OUTPUT_HELP``; or a reader, to decide once for several calls."""


def output_option() -> Any:
    """Declare the option that says what the model returns."""
    return option(default="auto", help=OUTPUT_HELP)


def tensor_of(returned: Any) -> Tensor:
    """Return the scores in what a model returned.

    Args:
        returned: A tensor; an object or dict with ``logits`` (transformers, the auxiliary outputs of Inception and
            GoogLeNet) or ``out`` (torchvision's segmentation); or a tuple, list or dict with one tensor in it.

    Raises:
        InputError: It is none of these.
    """
    if isinstance(returned, Tensor):
        return returned
    for name in ("logits", "out"):
        if isinstance(found := _part(returned, name), Tensor):
            return found
    several = list(returned.values()) if isinstance(returned, Mapping) else returned
    tensors = [each for each in several if isinstance(each, Tensor)] if isinstance(several, list | tuple) else []
    if len(tensors) == 1:
        return tensors[0]
    raise InputError(
        f"The model returned {_described(returned)}, expected a tensor (N, classes), or an object or dict with logits; "
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
