"""What a run's numbers depend on, by content: weights, photographs, class files, code and versions."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from captum_gag.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGES = ("captum-gag", "captum", "quantus", "torch", "torchvision", "numpy", "pillow", "scikit-image")

_TICK = 2.0
"""Seconds: of the coarsest clock of a file system."""


@cache
def versions() -> dict[str, str]:
    """Return the versions of all packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def file_digest(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the content of some files, 64 letters; "" for none.

    Raises:
        InputError: One cannot be read.
    """
    given = tuple(paths)
    return _file_digest(given, stamp(given))


@lru_cache
def _file_digest(paths: tuple[Path, ...], _: str) -> str:
    """Return the digest of files of a certain stamp: an archive of ten thousand images is read once."""
    whole, path = hashlib.sha256(), None
    for path in paths:
        try:
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    whole.update(part)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return "" if path is None else whole.hexdigest()


def stamp(paths: Iterable[Path]) -> str:
    """Return what tells cheaply that files may have changed: size, times and inode; "" for none.

    A file that was replaced has another stamp. Another stamp says little: its content has to be looked at then. A file
    just written may be written again within the same tick of the clock: its stamp is another each time.
    """
    try:
        stats = [path.stat() for path in paths]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    just_now = any(abs(time.time() - each.st_ctime) < _TICK for each in stats)
    return f"{uuid4().hex} " * just_now + " ".join(
        f"{each.st_size}.{each.st_mtime_ns}.{each.st_ctime_ns}.{each.st_ino}" for each in stats
    )


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors and their names, such as all weights of a model."""
    import torch

    whole = hashlib.sha256()
    for name, each in sorted(tensors.items()):
        whole.update(f"{name} {tuple(each.shape)} {each.dtype}".encode())
        whole.update(each.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def pixels_digest(photo: Any, target: int | None) -> str:
    """Return what an example that is in no file is known by: its pixels, a tensor or a PIL image, and its class."""
    import numpy as np
    import torch

    pixels = photo if isinstance(photo, torch.Tensor) else torch.from_numpy(np.array(photo))
    return f"{tensor_digest({'': pixels})} {target}"


def digest(value: Any) -> str:
    """Return the SHA-256 of what JSON says of a value, the same on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_name(image: str) -> str:
    """Return a file name for an image: names may hold slashes, or be longer than a file system takes."""
    return hashlib.sha256(image.encode()).hexdigest()[:20]


def identity(listings: Iterable[Path], *said: Mapping[str, Any] | str) -> dict[str, str]:
    """Return what a run depends on beside config, photographs and model: a digest, or a version, of each.

    Args:
        listings: Files that say which class is which.
        said: What the suite says, what the model says, and further names; where a text is
            ``package.module:attribute``, the module is known by its code, and so is each module of the user's own
            that it imports.
    """
    found = {f"classes {path}": file_digest([path]) for path in listings}
    for module in sorted({name.partition(":")[0] for name in _texts(said) if ":" in name}):
        file = getattr(sys.modules.get(module), "__file__", None)
        # Packages have versions; what has none is the user's own.
        if file and module.partition(".")[0] not in PACKAGES:
            found |= {f"code of {name}": file_digest([path]) for name, path in own_modules(module, Path(file)).items()}
    return found | {f"version of {name}": number for name, number in versions().items()}


def own_modules(module: str, path: Path) -> dict[str, Path]:
    """Return the files of a module and of all modules of the user's own that it imports, directly or not, by name.

    Imports are read from the source, wherever in it they are, so that the answer is the same in every process.
    """
    found, waiting = dict[str, Path](), [(module, path)]
    while waiting:
        name, file = waiting.pop()
        if name not in found:
            found[name] = file
            waiting += [(each, own) for each in _imported(name, file) if (own := _own_file(each)) is not None]
    return found


def _imported(name: str, file: Path) -> Iterable[str]:
    """Names of modules that the source of a module imports, and of attributes that may be modules."""
    try:
        tree = ast.parse(file.read_bytes())
    # Compiled, or gone.
    except (OSError, SyntaxError, ValueError):
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{each.name}" for each in node.names)]
        else:
            continue
        for each in names:
            parts = each.split(".")
            # Importing a.b runs a as well.
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))


@cache
def _own_file(name: str) -> Path | None:
    """Return the source of a module of the user's own; None of what is installed or no module."""
    top = name.partition(".")[0]
    if top == "captum_gag" or top in sys.stdlib_module_names:
        return None
    if top != name and _own_file(top) is None:
        return None
    try:
        spec = find_spec(name)
    # An attribute that is no module, or a package that does not import.
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None or not spec.has_location or not spec.origin:
        return None
    path = Path(spec.origin)
    return path if {"site-packages", "dist-packages"}.isdisjoint(path.parts) else None


def structure(model: nn.Module) -> str:
    """Return a digest of a model's modules, and of the source of those that are the user's own, as far as it is known.

    Weights alone do not tell what is computed with them.
    """
    sources = []
    for cls in sorted({type(module) for module in model.modules()}, key=lambda cls: (cls.__module__, cls.__qualname__)):
        if cls.__module__.partition(".")[0] not in PACKAGES:
            try:
                sources.append(inspect.getsource(cls))
            # Typed at a prompt, or generated.
            except (OSError, TypeError):
                sources.append(cls.__qualname__)
    return digest([str(model), sources])[:16]


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what is not as it was, in words."""
    said = []
    for name in [*before, *(name for name in now if name not in before)]:
        if before.get(name) != now.get(name):
            numbers = (
                f" ({before.get(name, 'none')}, now {now.get(name, 'none')})" if name.startswith("version") else ""
            )
            said.append(name + numbers)
    return said


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for each in pair for text in _texts(each))
    elif isinstance(value, list | tuple):
        yield from (text for each in value for text in _texts(each))
