"""Options that several commands share, and the configuration of a run that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from captum_gag.errors import InputError
from captum_gag.names import OWN_MODELS, STORED_DATA, parse_data, parse_model, require_folder, require_model
from captum_gag.options import assignments, declared, option, options_of, unknown
from captum_gag.runs.config import Config

if TYPE_CHECKING:
    from captum_gag.models import Classifier

RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="Directory that captum-gag run made.")]
RunDirectories = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Directories that captum-gag run made; several are one table.")
]
Json = Annotated[bool, typer.Option(help="Print JSON, for machines.")]


@declared
class Source:
    """The model and the images."""

    case: Literal["imagenet-s", "isic", "places365"] | None = option(
        default=None,
        help="A case of Huang & Liu: sets type of the data set, model, image size, confidence and samples as the paper "
        "does, where no other option says otherwise, and compares with its published values.",
    )
    model: str | None = option(
        default=None,
        metavar="NAME",
        help=f"{', '.join(OWN_MODELS)}, a torchvision classifier such as resnet18, timm:NAME, or "
        "package.module:callable, which returns a torch.nn.Module (fed as for ImageNet) or a "
        "captum_gag.models.Classifier.",
        unset="demo",
    )
    weights: str | None = option(
        default=None,
        metavar="FILE|NAME",
        help="State dict for the model, .safetensors or .pth (read without running code), or the name of weights that "
        "torchvision publishes for it, such as IMAGENET1K_V1. Without it, torchvision downloads its newest.",
    )
    data: str | None = option(
        default=None,
        metavar="NAME",
        help=f"demo, a folder of images or of a folder per class, {', '.join(STORED_DATA)}, planted:KIND, or "
        "package.module:callable, which returns a torch Dataset. With --case a folder is of the case's type.",
        unset="demo",
    )
    set: tuple[str, ...] = option(
        default=(),
        metavar="model.KEY=VALUE|data.KEY=VALUE",
        help="Set an option of the model, such as model.output=logit or model.image_size=[64,96], or of the data set, "
        "such as data.split=train. captum-gag list models NAME and list data NAME list them.",
    )


def config_of(suite: str, source: Mapping[str, Any], settings: Mapping[str, Any], workers: int = 1) -> Config:
    """Return the configuration of a run from options of ``Source`` and ``Config``, and print what its case assumes.

    Misspelt names are found before torch is imported.
    """
    from captum_gag.runs.suite_file import ORDERINGS, SuiteFile, labelled, read_suite, require_names

    content = read_suite(suite)
    require_names(SuiteFile(**content))
    labels, against = dict(labelled(SuiteFile(**content))), settings.get("against", "best")
    if against not in ("best", ORDERINGS, *labels):
        raise unknown("method to compare with", against, labels)
    from captum_gag.papers.published import means

    # Raises InputError where the suite's case, or what it is compared with, is unknown.
    means(SuiteFile(**content))
    options, name = sections(source, "model", "data"), source.get("model")
    require_device(settings.get("device", "auto"))
    if name is not None or "case" not in source:
        require_model(name or "demo")
    # The other settings are checked here, before anything is opened.
    config = Config(suite=content, model={}, data={}, **settings)
    if "case" in source:
        from captum_gag.papers.cases import case

        column, of_model = case(source["case"]), options["model"]
        data, model = column.data_spec(source.get("data")), column.model_spec(name, of_model)
        column.require_fitting(model)
        content = column.suite(content)
        typer.echo(f"case {column.name}: {column.title}", err=True)
        for line in column.assumptions({**of_model, "model": name, "weights": of_model.get("weights", name)}):
            typer.echo(f"assumed, as the paper does not say: {line}", err=True)
    else:
        data, model = parse_data(source.get("data", "demo")), {**parse_model(name or "demo"), **options["model"]}
    data |= options["data"]
    require_folder(data)
    from captum_gag.data import dataset
    from captum_gag.models.catalogue import model as model_of
    from captum_gag.threads import threads_each

    return replace(
        config,
        suite=content,
        model=model_of(model).absolute().spec(),
        data=dataset(data).absolute().spec(),
        confidence=settings.get("confidence", SuiteFile(**content).confidence),
        device=device_named(config.device),
        threads=settings.get("threads") or threads_each(workers),
    )


def classifier_of(source: Mapping[str, Any], options: Mapping[str, Any], device: str) -> Classifier:
    """Return the model that options of ``Source`` name, with options of its own, loaded."""
    name = source.get("model", "demo")
    require_device(device)
    require_model(name)
    from captum_gag.models.catalogue import model

    return model({**parse_model(name), **options}).load(device_named(device))


def sections(source: Mapping[str, Any], *names: str) -> dict[str, dict[str, Any]]:
    """Return the options of ``--set`` by section: "model" with ``--weights``, "data", or "" for methods."""
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    options["model"] |= {"weights": source["weights"]} if "weights" in source else {}
    for text, value in assignments(source.get("set", ())).items():
        *prefix, key = text.split(".", 1)
        section = "".join(prefix)
        if section not in options or not key:
            expected = " or ".join(f"{name}.KEY=VALUE" if name else "KEY=VALUE" for name in names)
            raise InputError(f"--set {text}=... must be {expected}")
        if section and key == "type":
            noun = "data set" if section == "data" else section
            raise InputError(f"--set {text}=... would make it another {noun}; name that one with --{section}")
        options[section][key] = value
    return options


def require_device(name: str) -> None:
    """Raise InputError if torch has no such kind of device; torch is not imported."""
    if not re.fullmatch(r"auto|(cpu|cuda|mps|xpu)(:\d+)?", name):
        raise InputError(f"device {name!r} must be auto, cpu, cuda, cuda:N or mps")


def device_named(name: str) -> str:
    """Return the device to compute on, and let torch take no more threads than cores that this process may use."""
    import torch

    from captum_gag.models.loading import best_device
    from captum_gag.threads import threads_each

    torch.set_num_threads(min(torch.get_num_threads(), threads_each()))
    return best_device() if name == "auto" else name


# Options of models, for commands without a data set.
SET_MODEL = options_of(Source, "set")[0]._replace(
    metavar="model.KEY=VALUE",
    help="Set an option of the model, such as model.output=logit or model.image_size=[64,96]. captum-gag list models "
    "NAME lists them.",
)
# Options of methods and models.
SET_METHOD = SET_MODEL._replace(
    metavar="KEY=VALUE|model.KEY=VALUE",
    help="Set an option of the methods, such as percentile=70 (those that have it take it), or of the model, such as "
    "model.output=logit. captum-gag list methods NAME and list models NAME list them.",
)
