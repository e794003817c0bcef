"""A user's function as a method of a suite: its further parameters are options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from captum_gag.attr.entries import NamedMethod, attributions_of, require_free
from captum_gag.attr.methods import Method
from captum_gag.errors import InputError
from captum_gag.options import option
from captum_gag.signatures import declared_as, first_sentence, options_in, passed


class FunctionMethod(NamedMethod):
    """A user's function with its options; see ``function_method``."""

    function: ClassVar[Callable[..., Any]]
    n_samples: int

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Call the function, and check its result."""
        options = {name: value for name, value in self.options().items() if name != "n_samples"}
        function = type(self).function
        result = function(model, inputs, targets, self.n_samples, seed, **passed(function, options))
        return attributions_of(inputs, result, type(self).__name__)


def function_method(name: str, function: Callable[..., Any]) -> type[Method]:
    """Return the method that a user's function is.

    Args:
        name: ``package.module:function``.
        function: Called with (model, inputs, targets, n_samples, seed), it returns attributions (N, C, *positions) or
            (N, 1, *positions), of tables (N, F); its further parameters are options.

    Raises:
        InputError: It cannot be called so.
    """
    arguments = ("model", "inputs", "targets", "n_samples", "seed")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise InputError(f"method {name!r} is a {type(function).__name__}, expected a callable") from error
    try:
        taken = signature.bind_partial(*arguments).arguments
    except TypeError as error:
        raise InputError(f"method {name!r} must take ({', '.join(arguments)})") from error
    options = options_in(function, without=taken)
    require_free(name, FunctionMethod, options)
    options["n_samples"] = (int, option(20, "Gradients per image.", ge=1))
    doc = first_sentence(inspect.getdoc(function) or "A method of the user's own.")
    return declared_as(name, FunctionMethod, options, doc, function=staticmethod(function))
