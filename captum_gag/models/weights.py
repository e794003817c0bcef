"""Weights: read without running code from their file, found inside checkpoints, and loaded into a network."""

from __future__ import annotations

import pickle
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captum_gag.errors import InputError, first_line
from captum_gag.files import require_file

CONTAINERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params", "ema")
"""Below which key a checkpoint holds the state dict: those of training loops, Lightning, timm and DeepSpeed."""

_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)([12])")

NAMED = 4
"""Parameters that a message names of each kind of misfit."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read weights from a file.

    Args:
        path: ``.safetensors``, whatever it is called, or a file of ``torch.save``, which is read without
            running any code from it. The state dict may be below the keys of ``CONTAINERS``, in any order.

    Returns:
        Tensors on the CPU, by the name of the parameter.

    Raises:
        InputError: It cannot be read, or holds something else; in one line.
    """
    import safetensors.torch

    try:
        require_file(path)
        if _is_safetensors(path):
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused, as it holds more than tensors and reading it could run code; save the weights alone: "
            "torch.save(model.state_dict(), FILE)"
        ) from error
    # Broken archives raise RuntimeError, EOFError, UnicodeDecodeError, SafetensorError and more.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as weights: {first_line(error)}") from error
    while (inside := _inside(state)) is not None:
        state = inside
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        keys = f" of {', '.join(map(str, list(state)[:NAMED]))}" if isinstance(state, dict) else ""
        raise InputError(
            f"{path}: expected a state dict, from parameter names to tensors; found another {type(state).__name__}"
            f"{keys}"
        )
    return state


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file of weights; none if it is no ``.safetensors``, or is not there."""
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file() or not _is_safetensors(path):
            return {}
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    # The fault is named where the weights are read.
    except (SafetensorError, OSError):
        return {}


def _is_safetensors(path: Path) -> bool:
    """Tell by its name or its content: files in the cache of Hugging Face are called by a digest, without a suffix."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        # The length of the header in eight bytes, and the header, which is JSON.
        return file.read(9)[8:] == b"{"


def fitted(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return weights by the names that a network has for them.

    What wraps a network puts a word before all names: ``module.`` (DataParallel), ``model.`` or ``net.`` (Lightning),
    ``_orig_mod.`` (compile), in any nesting. It is taken off where all names have it and what is left fits better. Old
    files of DenseNets, such as those for Places365, say ``norm.1`` for what has been ``norm1`` since.

    Args:
        state: By the names in the file.
        names: Of the network's parameters and buffers.
    """
    best = plain = dict(state)
    if not any("_orig_mod." in name for name in names):
        best = plain = {name.replace("_orig_mod.", ""): value for name, value in plain.items()}
    if not any(_OLD_DENSENET.search(name) for name in names):
        best = plain = {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in plain.items()}
    while len({name.partition(".")[0] for name in plain}) == 1 and all("." in name for name in plain):
        plain = {name.partition(".")[2]: value for name, value in plain.items()}
        if len(plain.keys() & set(names)) > len(best.keys() & set(names)):
            best = plain
    return best


def load_state(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load weights into a network.

    Args:
        model: Gets them.
        state: By the name of the parameter; see ``fitted``.
        name: What to call the network in the message.

    Raises:
        InputError: They do not fit.
    """
    own = model.state_dict()
    weights = fitted(state, own)
    try:
        # As it came where it can be: it may carry versions by which torch reads old files.
        model.load_state_dict(state if weights.keys() == state.keys() else weights)
    # Parameters of other shapes, names or types meet torch with several errors.
    except Exception as error:
        shapes = [
            f"{key} {tuple(weights[key].shape)}, expected {tuple(own[key].shape)}"
            for key in own
            if key in weights and weights[key].shape != own[key].shape
        ]
        misfits = {
            "missing": [key for key in own if key not in weights],
            "unexpected": [key for key in weights if key not in own],
            "of another shape": shapes,
        }
        reason = "; ".join(f"{kind} {_some(keys)}" for kind, keys in misfits.items() if keys)
        raise InputError(f"the weights do not fit {name}: {reason or first_line(error)}") from error


def _inside(state: Any) -> Mapping[Any, Any] | None:
    """Return the mapping below the first of ``CONTAINERS`` in a checkpoint; None if it is the weights already."""
    parts = (state.get(key) for key in CONTAINERS) if isinstance(state, Mapping) else ()
    return next((part for part in parts if isinstance(part, Mapping)), None)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
