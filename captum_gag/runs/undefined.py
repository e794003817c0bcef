"""Why a score is not a number: the model, the map, or nothing that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from captum_gag.errors import InputError
from captum_gag.metrics.readings import Reading
from captum_gag.outputs import tensor_of
from captum_gag.tensors import finite_rows


def has_nan(returned: Any) -> bool:
    """Return whether a NaN is in what a model returned, or +inf, whose softmax is one."""
    try:
        outputs = tensor_of(returned)
    # What a callable reads may hold no tensor by itself.
    except InputError:
        return False
    return bool((outputs.isnan() | outputs.isposinf()).any())


class Watch:
    """Looks at what a model returns.

    Attributes:
        met: Whether there was a NaN in it, or an infinity that makes one.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.met = False

    def look(self, module: nn.Module, inputs: Any, returned: Any) -> None:
        """Look at one batch of outputs, as a forward hook."""
        self.met = self.met or has_nan(returned)

    def reasons(self, reading: Reading, attributions: Tensor) -> list[str]:
        """Return why the scores of images are NaN, where the model's answers are those for all of them.

        Returns:
            For each "" where it is a number, or where the score is not defined though nothing failed: the map is
            constant, or nothing that is compared varies.
        """
        undefined = reading.score.isnan().tolist()
        if not any(undefined):
            return [""] * len(undefined)
        whole = finite_rows(attributions).tolist()
        found = []
        for row, nothing in enumerate(undefined):
            why = "the model returned a NaN or an infinity" if whole[row] else "the map has a NaN or an infinity in it"
            said = reading.causes[row] if reading.causes else why
            found.append("" if not nothing or (whole[row] and not self.met) else said)
        return found


@contextmanager
def watched(model: nn.Module) -> Iterator[Watch]:
    """Watch what a model returns inside this context."""
    watch = Watch()
    handle = model.register_forward_hook(watch.look)
    try:
        yield watch
    finally:
        handle.remove()
