"""What all commands share: options of the same meaning, errors in one line, and JSON for machines."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Seed = Annotated[int, typer.Option(help="Fixes the noise: the same seed gives the same maps.")]
Out = Annotated[Path, typer.Option(help="Directory for the results; made if missing, files of the same name replaced.")]
Device = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute; auto takes a GPU if there is one.")
]
MODEL: Any = typer.Option(
    "--model",
    metavar="NAME",
    help="demo (EfficientNet-Lite0, the default), efficientnet-lite1, efficientnet-lite2, cifar10, planted, a "
    "torchvision classifier such as resnet18, timm:NAME, or package.module:callable, which returns a torch.nn.Module "
    "(fed as for ImageNet) or a captum_gag.models.Classifier.",
)
ModelName = Annotated[str, MODEL]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="State dict for the model, .safetensors or .pth (read without running code), or the name of weights that "
        "torchvision publishes for it, such as IMAGENET1K_V1. Without it, torchvision downloads its newest.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="auto|logits|probabilities|logit|sigmoid|log_probabilities|package.module:callable",
        help="What the model returns; auto decides by what comes out, and says so where it is not plain logits. A "
        "callable takes what the model returns and gives probabilities (N, classes).",
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        metavar="N|HxW",
        help="What the network sees, in pixels: a square with the model's own margin around it, or height and width, "
        "to which the photograph is resized.",
    ),
]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="Directory that captum-gag run made.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run code of a user's own that the run names (package.module:callable), where it is needed to show it. "
        "Only for runs of your own, or of someone you trust.",
    ),
]


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn what the user can mend into one line on stderr and exit status 2, and each warning into one line.

    So is what nobody foresaw, unless Python's development mode asks for more (python -X dev -m captum_gag.cli).
    """
    from captum_gag.errors import InputError, in_one_line

    importable_from_here()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show  # type: ignore[assignment]
            yield
    except (typer.Exit, typer.Abort):
        raise
    except (InputError, OSError) as error:
        typer.echo(f"captum-gag: {error}", err=True)
        raise typer.Exit(2) from error
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        typer.echo(
            f"captum-gag: {in_one_line(error)} (not foreseen; python -X dev -m captum_gag.cli says where)", err=True
        )
        raise typer.Exit(2) from error


def _show(message: object, *_: Any) -> None:
    typer.echo(" ".join(str(message).split()), err=True)


def importable_from_here() -> None:
    """Let methods, metrics, models and data sets in the working directory be imported, as with python -m."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def device_named(name: str) -> str:
    """Return where to compute; there, torch takes no more threads than cores that this process may use."""
    import torch

    from captum_gag.models.loading import best_device
    from captum_gag.threads import threads_each

    torch.set_num_threads(min(torch.get_num_threads(), threads_each()))
    return best_device() if name == "auto" else name


def model_spec(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a model, with the absolute path of its weights: a run goes on from any directory.

    Args:
        name: See ``--model``.
        options: See ``model_options``.

    Raises:
        InputError: There is no such model, or it has no such options.
    """
    from captum_gag.models.catalogue import model, parse

    return model({**parse(name), **options}).absolute().spec()


def model_options(
    weights: str | None, output: str | None, image_size: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of a model that are given.

    Args:
        weights: See ``--weights``.
        output: See ``--output``.
        image_size: See ``--image-size``.
        options: Further ones, as ``--set model.KEY=VALUE`` gives them; they count more.

    Raises:
        InputError: The size is none, or an option would make it another model.
    """
    given = {
        "weights": weights,
        "output": output,
        "image_size": None if image_size is None else _size(image_size),
    }
    return with_options({key: value for key, value in given.items() if value is not None}, "model", options)


def with_options(spec: Mapping[str, Any], section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a model or a data set with the options that ``--set`` gives it.

    Raises:
        InputError: One of them would make it another.
    """
    from captum_gag.errors import InputError

    if "type" in options:
        raise InputError(f"--set {section}.type=... would make it another {section}; name that one with --{section}")
    return {**spec, **options}


def _size(text: str) -> int | list[int]:
    """Return one length, or height and width."""
    from captum_gag.errors import InputError

    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise InputError(f"--image-size {text!r} is no size; expected pixels, such as 224, or HEIGHTxWIDTH: 128x512")
    return int(sides[0]) if len(sides) == 1 else [int(side) for side in sides]


def print_json(value: Any) -> None:
    """Print a value as JSON; what is not a number there, NaN, is null."""
    from captum_gag.files import plain

    typer.echo(json.dumps(plain(value), indent=1, default=str))
