"""Why a score is not a number: the model, the map, or nothing that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from captum_gag.errors import InputError
from captum_gag.metrics.readings import Reading
from captum_gag.outputs import tensor_of


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

    def reason(self, reading: Reading, attribution: Tensor) -> str:
        """Return why the score of the only image is NaN.

        Returns:
            "" where it is a number, or where the score is not defined though nothing failed: the map is constant, or
            nothing that is compared varies.
        """
        if not bool(reading.score[0].isnan()):
            return ""
        whole = bool(attribution.isfinite().all())
        if whole and not self.met:
            return ""
        if reading.causes:
            return reading.causes[0]
        return "the model returned a NaN or an infinity" if whole else "the map has a NaN or an infinity in it"


@contextmanager
def watched(model: nn.Module) -> Iterator[Watch]:
    """Watch what a model returns inside this context."""
    watch = Watch()
    handle = model.register_forward_hook(watch.look)
    try:
        yield watch
    finally:
        handle.remove()
