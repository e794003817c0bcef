"""What a run is asked for on the command line: the options that decide its numbers, and the config that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from captum_gag.cli.common import MODEL, device_named, model_options, model_spec, with_options

if TYPE_CHECKING:
    from captum_gag.runs.config import Config

Suite = Annotated[str, typer.Argument(metavar="SUITE", help="A name that captum-gag suites lists, or a TOML file.")]
Case = Annotated[
    str | None,
    typer.Option(
        metavar="imagenet-s|isic|places365",
        help="A case of Huang & Liu: sets type of the data set, model, image size, confidence and samples as the "
        "paper does, where no other option says otherwise, and compares with its published values.",
    ),
]
Model = Annotated[str | None, MODEL]
Data = Annotated[
    str | None,
    typer.Option(
        help="demo, a folder of images or of a folder per class, imagenet-s:DIR, isic:DIR, places365:DIR, "
        "cifar10:DIR, mosaic:DIR, planted:KIND, or package.module:callable, which returns a torch Dataset. With "
        "--case a folder is of the case's type. Default: demo."
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="data.KEY=VALUE|model.KEY=VALUE",
        help="An option of the data set or the model, such as data.split=train or data.training=DIR.",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Images at most.")]
Confidence = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Leave out images with less in their true class. Default: the suite's."),
]
Dtype = Annotated[str, typer.Option(metavar="float32|float64|bfloat16|float16", help="In which the model computes.")]
AttributionAutocast = Annotated[
    str | None,
    typer.Option(metavar="bfloat16", help="Let the model compute in it what stands it, while methods explain."),
]
MetricsAutocast = Annotated[str | None, typer.Option(metavar="bfloat16|float16", help="The same while metrics judge.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads per worker. Default: the cores allowed, shared out.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Images scored at a time. Default: many small ones, one of 224 x 224 or larger."),
]
Alpha = Annotated[
    float | None,
    typer.Option(help="With --until decided: the probability of any wrong decision, in (0, 1). Default: 0.05."),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD|best",
        help="With --until decided: the method that all others are compared with. Default: best, the one with the "
        "best mean score by each metric, which needs more images.",
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes (or Ray actors) that share the images.")]


def config_of(
    suite: str,
    *,
    case: str | None,
    model: str | None,
    data: str | None,
    weights: str | None,
    output: str | None,
    image_size: str | None,
    set: list[str] | None,
    confidence: float | None,
    device: str,
    threads: int | None,
    workers: int,
    **as_they_are: Any,
) -> Config:
    """Return what a run is that is asked for so.

    Args:
        suite: A name, or a TOML file.
        case: Fixes what nothing else says; what it assumes is printed.
        model: Its name, or None for the case's or the demo.
        data: The same of the data set.
        weights: Of the model.
        output: What the model returns.
        image_size: What the network sees.
        set: Further options of model and data set.
        confidence: None for the suite's.
        device: As torch names it, or auto.
        threads: CPU threads per worker; None shares out the cores that this process may use.
        workers: Who share them.
        as_they_are: Further options of ``Config``.

    Raises:
        InputError: One of them has no meaning.
    """
    from captum_gag.data.catalogue import dataset
    from captum_gag.papers.published import check
    from captum_gag.runs.config import Config
    from captum_gag.runs.spec import SuiteFile, read_suite
    from captum_gag.threads import threads_each

    further = _sections(set or [])
    of_model = model_options(weights, output, image_size, further["model"])
    asked = _asked(case, read_suite(suite), model, of_model, data)
    check(asked.suite)
    return Config(
        suite=asked.suite,
        model=asked.model,
        data=dataset(with_options(asked.data, "data", further["data"])).absolute().spec(),
        confidence=SuiteFile(**asked.suite).confidence if confidence is None else confidence,
        device=device_named(device),
        threads=threads or threads_each(workers),
        **as_they_are,
    )


class _Asked(NamedTuple):
    """What a suite says, and the specs of model and data set, before the options of the data set."""

    suite: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]


def _asked(
    name: str | None, suite: dict[str, Any], model: str | None, of_model: dict[str, Any], data: str | None
) -> _Asked:
    """Return what is asked for, with what a case fixes where nothing else is said; say what the case assumes."""
    if name is None:
        from captum_gag.data.catalogue import parse

        return _Asked(suite, model_spec(model or "demo", of_model), parse(data or "demo"))
    from captum_gag.models.catalogue import model as made
    from captum_gag.papers.cases import case

    chosen = case(name)
    listed = chosen.data_spec(data)
    spec = made(chosen.model_spec(model, of_model)).absolute().spec()
    chosen.require_fitting(spec)
    typer.echo(f"case {name}: {chosen.title}", err=True)
    for said in chosen.assumptions({**of_model, "model": model, "weights": of_model.get("weights", model)}):
        typer.echo(f"assumed, as the paper does not say: {said}", err=True)
    return _Asked(chosen.suite(suite), spec, listed)


def _sections(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return the options of the data set and of the model that --set names."""
    from captum_gag.errors import InputError
    from captum_gag.options import assignments

    found: dict[str, dict[str, Any]] = {"data": {}, "model": {}}
    for key, value in assignments(texts).items():
        section, _, name = key.partition(".")
        if section not in found or not name:
            raise InputError(f"--set {key}=... has no meaning; expected data.KEY=VALUE or model.KEY=VALUE")
        found[section][name] = value
    return found
