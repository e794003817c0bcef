"""Probe of a model: two forward passes of the first batch show how it treats rows and further arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from captum_gag.batching import memory_share, out_of_memory
from captum_gag.errors import InputError
from captum_gag.modules import modules_inside, references, state_kept
from captum_gag.outputs import tensor_of
from captum_gag.tensors import is_dense, require_dense

# A first batch of more values is asked by its first rows only.
MOST_VALUES = 2**22

# Differences of outputs, as a share of the largest, that come from rounding: of single precision on a CPU, of an
# accelerator's shortened products, and of half precision or of integers.
ROUNDING, ROUNDING_ON_ACCELERATOR, ROUNDING_IN_HALF = 1e-3, 1e-2, 5e-2

# Larger outputs are seldom scores, but classes ruled out, by which no difference of the others would be seen.
MOST_SCORE = 1e3

# Arguments with as many rows as the inputs for which all combinations are tried.
MOST_ARGUMENTS = 4


class Behaviour(NamedTuple):
    """Answers of a probed model: the treatment of rows in a batch, and of further arguments.

    Attributes:
        rows: "independent"; "fixed": independent, but it takes only as many at once as came; "together": what it
            returns for one depends on the others, on its place, or is one row for all.
        with_rows: For each further argument, whether it has a row for each row of the inputs.
        reason: Where rows belong together, what was seen.
    """

    rows: Literal["independent", "fixed", "together"] = "independent"
    with_rows: tuple[bool, ...] = ()
    reason: str = ""

    def require_independent(self, advice: str) -> None:
        """Raise InputError, with some advice, where rows belong together."""
        if self.rows == "together":
            raise InputError(
                f"The rows of the inputs belong together, as in a graph or a clip: {self.reason}; {advice}."
            )

    def arguments_of(self, arguments: Sequence[Any], rows: Sequence[int] | Tensor) -> tuple[Any, ...]:
        """Return the further arguments for some rows of the inputs: of those with rows, these rows."""
        return tuple(
            _rows_of(value, torch.as_tensor(rows)) if with_rows else value
            for value, with_rows in zip(arguments, self.with_rows, strict=True)
        )


def _rows_of(tensor: Tensor, index: Tensor) -> Tensor:
    # Sparse tensors, such as graphs, cannot be indexed by a list; compressed ones not even by rows.
    coordinates = tensor if tensor.layout in (torch.strided, torch.sparse_coo) else tensor.to_sparse_coo()
    rows = coordinates.index_select(0, index.to(tensor.device))
    return rows if coordinates is tensor else rows.to_sparse(layout=tensor.layout)


_behaviours: WeakKeyDictionary[Any, dict[Any, Behaviour]] = WeakKeyDictionary()


def behaviour_of(
    model: Callable[..., Any],
    inputs: Sequence[Any],
    arguments: Sequence[Any] = (),
    keywords: Sequence[str] = (),
    *,
    first: int = 0,
    total: int | None = None,
    read: Callable[[Any], Tensor] = tensor_of,
) -> Behaviour:
    """Return the behaviour of a model with the rows of its inputs, probed once for its mode and a form of inputs.

    The rows come once as they are, and once with the first one several times beside a changed copy and the last, so
    that these have another place and other neighbours; where arguments have as many rows, twice more with one row
    alone. A model that fails is not judged: the caller's own pass has the better message.

    Args:
        model: Any callable; its answers are kept for as long as it lives.
        inputs: Tensors (N, ...), and whatever else the model takes as it is.
        arguments: Further arguments.
        keywords: Names of the last of these.
        first: Row of the arguments that belongs to the first row of the inputs.
        total: Number of rows of an argument that has one for each row of all inputs; None: N.
        read: From what the model returns to its outputs.

    Raises:
        InputError: The model is in training mode and behaves differently there, or gives different outputs for the
            same inputs.
    """
    modules = list(modules_inside(model))
    require_evaluation_mode(modules)
    n = len(next(value for value in inputs if isinstance(value, Tensor) and value.ndim))
    total = total or n
    mode = hash((*map(_mode, modules), *(() if isinstance(model, nn.Module) else map(id, references(model)))))
    form = (*(_form(value, n) for value in inputs), *(_form(value, total) for value in arguments))
    key: Any = (getattr(model, "__name__", ""), mode, form, len(arguments), tuple(keywords), total == n)
    try:
        # A bound method is made anew whenever it is asked for.
        owner = getattr(model, "__self__", None)
        behaviours = _behaviours.setdefault(model if owner is None else owner, {})
    # Not every callable can be referred to weakly.
    except TypeError:
        behaviours = {}
    exact = (key, n)
    for form_and_number in (key, exact):
        if form_and_number in behaviours:
            return behaviours[form_and_number]
    probe = _Probe(model, inputs, arguments, keywords, n, first, total, read)
    behaviour = probe.behaviour()
    if behaviour is None:
        return Behaviour(with_rows=probe.candidates)
    behaviours[key if behaviour.rows == "independent" and n > 1 else exact] = behaviour
    return behaviour


def _mode(module: nn.Module) -> Any:
    """Return the mode, flags, hooks and own ``forward`` of a module, by which its behaviour may change."""
    values = vars(module)
    flags = [(name, value) for name, value in values.items() if isinstance(value, bool | str)]
    hooks = [*values.get("_forward_hooks", {}).values(), *values.get("_forward_pre_hooks", {}).values()]
    # This package's own read what the model returns, call after call.
    others = [hook for hook in hooks if not getattr(hook, "__module__", "").startswith("captum_gag")]
    names = [getattr(hook, "__qualname__", "") for hook in others]
    return id(module), id(values.get("forward")), getattr(module, "training", False), *flags, *names


def _form(value: Any, total: int) -> Any:
    if not isinstance(value, Tensor):
        return type(value), value if isinstance(value, bool | int | float | str) else None
    rows = "rows" if value.ndim and len(value) == total else value.shape[:1]
    return rows, value.shape[1:], value.dtype, value.device, value.layout


class _Probe(NamedTuple):
    """One model with the first batch of its inputs."""

    model: Callable[..., Any]
    inputs: Sequence[Any]
    arguments: Sequence[Any]
    keywords: Sequence[str]
    n: int
    first: int
    total: int
    read: Callable[[Any], Tensor]

    @property
    def candidates(self) -> tuple[bool, ...]:
        """Whether each argument has as many rows as the inputs."""
        return tuple(isinstance(value, Tensor) and value.shape[:1] == (self.total,) for value in self.arguments)

    def behaviour(self) -> Behaviour | None:
        """Return the behaviour, or None of a model that fails.

        The passes leave no gradient, no state of the model and no random state behind.
        """
        tensors = [value for value in self.inputs if isinstance(value, Tensor)]
        devices = {value.device for value in tensors if value.device.type == "cuda"}
        values = sum(value.numel() for value in tensors)
        graph = any(isinstance(value, Tensor) and not value.is_floating_point() for value in self.arguments)
        numpy_state, python_state = np.random.get_state(), random.getstate()
        try:
            with torch.random.fork_rng(list(devices)), torch.no_grad(), uncompiled(), state_kept(self.model):
                for most in (MOST_VALUES * memory_share(), 0):
                    try:
                        # All rows, unless they are large and do not share a graph.
                        few = values > most and not graph
                        rows = max(2, min(self.n, int(most * self.n / values))) if few else self.n
                        behaviour = self._asked(list(range(rows)))
                        # A model that takes no other number of rows.
                        too_few = behaviour is None and rows < self.n
                        return self._asked(list(range(self.n))) if too_few else behaviour
                    except Exception as error:
                        if not out_of_memory(error):
                            raise
            return None
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)

    def _asked(self, rows: list[int]) -> Behaviour | None:
        ways = list(product(*[(True, False) if candidate else (False,) for candidate in self.candidates]))
        if sum(self.candidates) > MOST_ARGUMENTS:
            ways = [ways[0], ways[-1]]
        # One row more, so that the last one has another place, and other neighbours; and among these a changed copy,
        # where all rows share what a model takes from its batch, such as their maximum.
        others = [-1, *[0] * (len(rows) - 1), rows[-1]] if self.n > 1 else [-1, 0]
        outputs: Tensor | None = None
        for way in ways:
            # As they are, the arguments belong to all rows whatever the way.
            if outputs is None or not len(rows) == self.n == self.total:
                outputs = self._attempt(rows, way)
            if outputs is None:
                continue
            again = self._attempt(others, way)
            if again is None:
                # A model that checks the range of its inputs.
                others = [max(row, 0) for row in others]
                again = self._attempt(others, way)
            if len(outputs) != len(rows) or not self._equal(again, outputs, others):
                continue
            # Rows of arguments count for their own row alone: not, say, by the largest of all.
            batches = [[row] * (len(rows) + 1) for row in (0, rows[-1])] if any(way) and self.n > 1 else []
            if all(self._equal(self._attempt(batch, way), outputs, batch) for batch in batches):
                return Behaviour(with_rows=way)
        return None if outputs is None else self._of_other_rows(rows, outputs, ways)

    def _of_other_rows(self, rows: list[int], outputs: Tensor, ways: list[tuple[bool, ...]]) -> Behaviour:
        """Return the behaviour of a model that does not treat a row alike wherever it is."""
        same = rows if len(outputs) == len(rows) else list(range(len(outputs)))
        if not any(self._equal(self._attempt(rows, way), outputs, same) for way in ways):
            reason = "by dropout as a function without training=self.training, by noise, or by a state that it keeps"
            for module in modules_inside(self.model):
                if getattr(module, "training", False):
                    reason = f"it is in training mode ({type(module).__name__}); call model.eval() first"
                    break
            raise InputError(f"The model gives different outputs for the same inputs: {reason}.")
        if self.n == 1:
            return Behaviour("fixed", ways[0])
        if len(outputs) != len(rows):
            return Behaviour("together", ways[-1], f"the model returns {tuple(outputs.shape)} for {len(rows)} of them")
        others = [-1, *[0] * (len(rows) - 2), rows[-1]] if len(rows) > 2 else [0] * len(rows)
        for way in ways:
            if self._equal(self._attempt(others, way), outputs, others):
                return Behaviour("fixed", way)
        shared = {
            number: isinstance(value, Tensor)
            for number, value in enumerate(self.arguments)
            if isinstance(value, list | tuple | np.ndarray | Tensor) and np.ndim(value) and len(value) == self.total
        }
        hint = f"; further argument {', '.join(map(str, shared))} has {self.total} rows, too" if shared else ""
        if not all(shared.values()):
            hint += ", and goes with those of the inputs only as a tensor"
        reason = "what the model returns for one depends on the others of its batch, or on its place there"
        return Behaviour("together", ways[-1], reason + hint)

    def _attempt(self, rows: list[int], way: tuple[bool, ...]) -> Tensor | None:
        """Return the outputs for some rows, -1 being a changed copy of the first; None of a model that fails."""
        index = [self.first + max(row, 0) for row in rows]
        try:
            inputs = [self._selected(value, rows) for value in self.inputs]
            arguments = Behaviour(with_rows=way).arguments_of(self.arguments, index)
            positional = len(arguments) - len(self.keywords)
            by_keyword = dict(zip(self.keywords, arguments[positional:], strict=True))
            outputs = self.read(self.model(*inputs, *arguments[:positional], **by_keyword)).detach()
            require_dense("outputs", outputs)
        # A model can fail in any way, for lack of rows that it counts on.
        except Exception as error:
            if out_of_memory(error):
                raise
            return None
        return outputs.unsqueeze(0) if outputs.ndim == 0 else outputs

    def _selected(self, value: Any, rows: list[int]) -> Any:
        if not isinstance(value, Tensor) or value.shape[:1] != (self.n,):
            return value
        if not is_dense(value):
            return _rows_of(value, torch.tensor([max(row, 0) for row in rows]))
        changed = value[:1].roll(1, -1)
        changed = changed * 1.25 if value.is_floating_point() else changed
        return torch.cat([changed if row < 0 else value[row : row + 1] for row in rows])

    def _rounding(self, outputs: Tensor) -> float:
        weights = [weight for module in modules_inside(self.model) for weight in module.parameters(recurse=False)]
        tensors = [value for value in (outputs, *self.inputs, *weights) if isinstance(value, Tensor)]
        half = any(value.dtype in (torch.float16, torch.bfloat16) for value in tensors)
        quantized = any("quant" in type(module).__module__ for module in modules_inside(self.model))
        if half or quantized or torch.is_autocast_enabled(outputs.device.type):
            return ROUNDING_IN_HALF
        return ROUNDING if outputs.device.type == "cpu" else ROUNDING_ON_ACCELERATOR

    def _equal(self, outputs: Tensor | None, expected: Tensor, rows: list[int]) -> bool:
        """Return whether these are the expected outputs of some rows; those of a changed copy may be anything."""
        if outputs is None or outputs.shape[1:] != expected.shape[1:] or len(outputs) != len(rows):
            return False
        unchanged = [number for number, row in enumerate(rows) if row >= 0]
        outputs, expected = outputs[unchanged], expected[[rows[number] for number in unchanged]]
        finite = expected[expected.isfinite()].double().abs()
        scores = finite[finite < MOST_SCORE] if bool((finite < MOST_SCORE).any()) else finite
        rounding = self._rounding(expected)
        atol = rounding * float(scores.max()) + 1e-30 if len(scores) else 0.0
        return torch.allclose(outputs.double(), expected.double(), rtol=rounding, atol=atol, equal_nan=True)


def require_evaluation_mode(modules: Iterable[nn.Module]) -> None:
    """Raise InputError where a module in training mode makes outputs random, or dependent on the batch."""
    for module in modules:
        if not getattr(module, "training", False):
            continue
        name = type(module).__name__
        # Dropout, attention and recurrent layers, and the stochastic depth and drop path of torchvision and timm.
        drops = isinstance(module, nn.RNNBase | nn.MultiheadAttention) or "Drop" in name or name == "StochasticDepth"
        shares = [getattr(module, share, 0) for share in ("p", "dropout", "drop_prob")] if drops else []
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            effect = "so the outputs of an image depend on the others of its batch"
        elif isinstance(module, nn.RReLU) or any(isinstance(share, int | float) and share > 0 for share in shares):
            effect = "so its outputs are random"
        else:
            continue
        raise InputError(f"The model is in training mode ({name}), {effect}; call model.eval() first.")


def uncompiled() -> AbstractContextManager[Any]:
    """Run compiled models eagerly inside this context, so that hooks are called, if torch can."""
    stance: Any = getattr(torch.compiler, "set_stance", None)
    return stance("force_eager") if stance else nullcontext()
