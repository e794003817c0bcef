"""``captum-gag run`` and ``resume``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from captum_gag.cli.common import (
    MODEL,
    Device,
    ImageSize,
    Output,
    RunDirectory,
    Seed,
    Weights,
    errors_in_one_line,
    model_options,
    model_spec,
    with_options,
)
from captum_gag.cli.executing import (
    Address,
    EngineName,
    Prefetch,
    Recompute,
    Shard,
    Workers,
    execute_run,
    executor_named,
)


def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A name that captum-gag suites lists, or a TOML file.")],
    out: Annotated[Path, typer.Option(help="Directory of the run; made if missing.")],
    case: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet-s|isic|places365",
            help="A case of Huang & Liu: sets type of the data set, model, image size, confidence and samples as the "
            "paper does, where no other option says otherwise, and compares with its published values.",
        ),
    ] = None,
    model: Annotated[str | None, MODEL] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="demo, a folder of images or of a folder per class, imagenet-s:DIR, isic:DIR, places365:DIR, "
            "cifar10:DIR, mosaic:DIR, planted:KIND, or package.module:callable, which returns a torch Dataset. With "
            "--case a folder is of the case's type. Default: demo."
        ),
    ] = None,
    weights: Weights = None,
    output: Output = None,
    image_size: ImageSize = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="data.KEY=VALUE|model.KEY=VALUE",
            help="An option of the data set or the model, such as data.split=train or data.training=DIR.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Images at most.")] = None,
    confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out images with less in their true class. Default: the suite's."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Annotated[
        str, typer.Option(metavar="float32|float64|bfloat16|float16", help="In which the model computes.")
    ] = "float32",
    attribution_autocast: Annotated[
        str | None,
        typer.Option(metavar="bfloat16", help="Let the model compute in it what stands it, while methods explain."),
    ] = None,
    metrics_autocast: Annotated[
        str | None, typer.Option(metavar="bfloat16|float16", help="The same while metrics judge.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads per worker. Default: the cores, shared out.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images scored at a time. Default: many small ones, one of 224 x 224 or larger."),
    ] = None,
    workers: Workers = 1,
    prefetch: Prefetch = 0,
    engine: EngineName = "local",
    address: Address = None,
    shard: Shard = "1/1",
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Keep the maps, as safetensors.")] = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="decided",
            help="Take the images in random order, and stop as soon as it is decided by every metric which of the "
            "methods are better on most images than the one of --against, or at --limit.",
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="With --until decided: the probability of any wrong decision, in (0, 1). Default: 0.05."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD|best",
            help="With --until decided: the method that all others are compared with. Default: best, the one with the "
            "best mean score by each metric, which needs more images.",
        ),
    ] = None,
) -> None:
    """Score many methods by many metrics over a data set: a table of a paper, or your own.

    Writes one Parquet file per image into RUN/scores (columns image, method, metric, score, and how they were made).
    Interrupted anywhere, it goes on with captum-gag resume RUN, to the same numbers. A broken image or a failing method
    costs its own cells only; they are listed at the end, and the exit status is then 1.

    Example: captum-gag run quick --model demo --data demo --out RUN
    """
    with errors_in_one_line():
        from captum_gag.data.catalogue import dataset
        from captum_gag.models.loading import best_device
        from captum_gag.runs.config import Config
        from captum_gag.runs.execution import begin
        from captum_gag.runs.spec import SuiteFile, read_suite

        executor = executor_named(engine, workers, address, prefetch)
        further = _sections(set or [])
        of_model = model_options(weights, output, image_size, further["model"])
        asked = _asked(case, read_suite(suite), model, of_model, data)
        config = Config(
            suite=asked.suite,
            model=asked.model,
            data=dataset(with_options(asked.data, "data", further["data"])).absolute().spec(),
            limit=limit,
            confidence=SuiteFile(**asked.suite).confidence if confidence is None else confidence,
            seed=seed,
            device=best_device() if device == "auto" else device,
            dtype=dtype,
            attribution_autocast=attribution_autocast,
            metrics_autocast=metrics_autocast,
            threads=threads or max(1, (os.cpu_count() or 1) // workers),
            batch_size=batch_size,
            save_maps=save_maps,
            **_questions(until, alpha, against),
        )
        opened, bench = begin(out, config)
        execute_run(opened, executor, shard, bench=bench)


def resume(
    run: RunDirectory,
    workers: Workers = 1,
    prefetch: Prefetch = 0,
    engine: EngineName = "local",
    address: Address = None,
    shard: Shard = "1/1",
    recompute: Recompute = False,
) -> None:
    """Go on with a run that was interrupted, as it was asked for; what is done stays as it is.

    Refused where weights, photographs, class files, code or package versions are no longer those that the run began
    with, since its scores would then be of two kinds; --recompute scores again what that concerns.
    """
    with errors_in_one_line():
        from captum_gag.runs.store import Run

        execute_run(Run.load(run), executor_named(engine, workers, address, prefetch), shard, recompute=recompute)


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
    from captum_gag.runs.cases import case

    chosen = case(name)
    listed = chosen.data_spec(data)
    spec = made(chosen.model_spec(model, of_model)).absolute().spec()
    chosen.require_fitting(spec)
    typer.echo(f"case {name}: {chosen.title}", err=True)
    for said in chosen.assumptions({**of_model, "model": model, "weights": of_model.get("weights", model)}):
        typer.echo(f"assumed, as the paper does not say: {said}", err=True)
    return _Asked(chosen.suite(suite), spec, listed)


def _questions(until: str | None, alpha: float | None, against: str | None) -> dict[str, Any]:
    """Return when the run is to stop, as options of its config."""
    from captum_gag.errors import InputError

    given = {"until": until, "alpha": alpha, "against": against}
    if until not in (None, "decided"):
        raise InputError(f"--until {until!r} is unknown; expected decided")
    if until is None and (alpha is not None or against is not None):
        raise InputError("--alpha and --against say what is to be decided; give --until decided with them")
    return {name: value for name, value in given.items() if value is not None}


def _sections(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return the options of the data set and of the model that --set names."""
    from captum_gag.errors import InputError
    from captum_gag.specs import assignments

    found: dict[str, dict[str, Any]] = {"data": {}, "model": {}}
    for key, value in assignments(texts).items():
        section, _, name = key.partition(".")
        if section not in found or not name:
            raise InputError(f"--set {key}=... has no meaning; expected data.KEY=VALUE or model.KEY=VALUE")
        found[section][name] = value
    return found
