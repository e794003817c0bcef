"""Methods of a user's own: any callable, with its keyword parameters as options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, get_type_hints

from torch import Tensor, nn

from captum_gag.attr.methods import Method
from captum_gag.errors import InputError
from captum_gag.importing import imported
from captum_gag.options import declared, option

_GIVEN = ("model", "inputs", "targets", "n_samples", "seed")


class OwnMethod(Method):
    """A callable of a user's own with its options; see ``own_type``."""

    function: ClassVar[Callable[..., Any]]
    further: ClassVar[tuple[str, ...]]
    n_samples: int

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Call it, and check what comes back."""
        options = {name: getattr(self, name) for name in self.further}
        found = type(self).function(model, inputs, targets, self.n_samples, seed, **options)
        expected = [tuple(inputs.shape), tuple(inputs[:, :1].shape)] if inputs.ndim > 2 else [tuple(inputs.shape)]
        if not isinstance(found, Tensor) or tuple(found.shape) not in expected:
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            fits = " or ".join(map(str, expected))
            raise InputError(f"{type(self).__name__} returned {got}, expected a tensor (N, C, *positions), here {fits}")
        if not found.is_floating_point():
            raise InputError(f"{type(self).__name__} returned {found.dtype}, expected floating-point attributions")
        return found

    @property
    def parts(self) -> str:
        """The name of the callable."""
        return type(self).__name__


def own_type(name: str) -> type[Method]:
    """Return the type of method that a user's own callable is.

    Args:
        name: ``package.module:callable``, called with (model, inputs, targets, n_samples, seed), which returns
            attributions (N, C, *positions) or (N, 1, *positions), of tables (N, F); its further parameters are
            options. A ``declared`` subclass of ``Method`` is taken as it is.

    Raises:
        InputError: It cannot be imported, or is not callable so.
    """
    found = imported(name, "method")
    if isinstance(found, type) and issubclass(found, Method):
        return found
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError) as error:
        raise InputError(f"method {name!r} is a {type(found).__name__}, expected a callable") from error
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if len(positional) < len(_GIVEN) and not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        raise InputError(f"method {name!r} must take ({', '.join(_GIVEN)})")
    taken = {each.name for each in positional[: len(_GIVEN)]}
    further = {
        each.name: each
        for each in parameters
        if each.name not in taken and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    }
    hints = _hints(found)
    options = {
        key: option(... if each.default is each.empty else each.default, "An option of the callable.")
        for key, each in sorted(further.items(), key=lambda item: item[1].default is not inspect.Parameter.empty)
    }
    made = type(
        name,
        (OwnMethod,),
        {
            "__doc__": (inspect.getdoc(found) or "A method of the user's own.").splitlines()[0],
            "__module__": __name__,
            "__annotations__": {**{key: hints.get(key, Any) for key in options}, "n_samples": int},
            "function": staticmethod(found),
            "further": tuple(options),
            **options,
            "n_samples": option(20, "Gradients per image.", ge=1),
        },
    )
    return declared(made)


def _hints(function: Any) -> dict[str, Any]:
    """Return the types of a callable's parameters, as far as they can be told."""
    try:
        return get_type_hints(function if inspect.isroutine(function) else function.__call__)
    # Annotations of a user's own can fail in any way; then nothing is checked.
    except Exception:
        return {}
