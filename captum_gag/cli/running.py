"""``captum-gag run``, ``resume``, ``suites`` and ``metrics``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captum_gag.cli.common import Device, Json, RunDirectory, Seed, errors_in_one_line, importable_from_here, print_json

if TYPE_CHECKING:
    from captum_gag.runs.executors import Engine
    from captum_gag.runs.store import Run

Shard = Annotated[
    str, typer.Option(metavar="I/N", help="Do every N-th image only, from the I-th on: a share for each machine.")
]
Workers = Annotated[int, typer.Option(min=1, help="Processes (or Ray actors) that share the images.")]
EngineName = Annotated[
    str, typer.Option("--engine", metavar="local|ray", help="Who works: this machine, or a Ray cluster.")
]
Address = Annotated[str | None, typer.Option(help="Of the Ray cluster; without it, Ray starts on this machine.")]


def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A name that captum-gag suites lists, or a TOML file.")],
    out: Annotated[Path, typer.Option(help="Directory of the run; made if missing.")],
    model: Annotated[
        str,
        typer.Option(help="demo, cifar10, a torchvision classifier, timm:NAME, or package.module:callable."),
    ] = "demo",
    data: Annotated[
        str,
        typer.Option(
            help="demo, a folder of images or of a folder per class, imagenet-s:DIR, isic:DIR, places365:DIR, "
            "cifar10:DIR, or package.module:callable, which returns a torch Dataset."
        ),
    ] = "demo",
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="State dict for the model, .safetensors or .pth.")
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
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads per worker. Default: the cores, shared out.")
    ] = None,
    workers: Workers = 1,
    engine: EngineName = "local",
    address: Address = None,
    shard: Shard = "1/1",
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Keep the maps, as safetensors.")] = False,
) -> None:
    """Score many methods by many metrics over a data set: a table of a paper, or your own.

    Writes one Parquet file per image into RUN/scores (columns image, method, metric, score, and how they were made).
    Interrupted anywhere, it goes on with captum-gag resume RUN, to the same numbers. A broken image or a failing method
    costs its own cells only; they are listed at the end, and the exit status is then 1.

    Example: captum-gag run quick --model demo --data demo --out RUN
    """
    with errors_in_one_line():
        from captum_gag.data.datasets import absolute
        from captum_gag.errors import InputError
        from captum_gag.models.loading import best_device
        from captum_gag.runs.spec import load_suite
        from captum_gag.runs.store import DTYPES, Config, Run

        if dtype not in DTYPES:
            raise InputError(f"--dtype {dtype!r} is unknown; expected {', '.join(DTYPES)}")
        found = load_suite(suite)
        config = Config(
            suite=found.data,
            model=model,
            data=absolute(data),
            weights=None if weights is None else str(weights.resolve()),
            limit=limit,
            confidence=found.confidence if confidence is None else confidence,
            seed=seed,
            device=best_device() if device == "auto" else device,
            dtype=dtype,
            threads=threads or max(1, (os.cpu_count() or 1) // workers),
            save_maps=save_maps,
        )
        _execute(Run.create(out, config), workers, engine, address, shard)


def resume(
    run: RunDirectory,
    workers: Workers = 1,
    engine: EngineName = "local",
    address: Address = None,
    shard: Shard = "1/1",
) -> None:
    """Go on with a run that was interrupted, as it was asked for; what is done stays as it is."""
    with errors_in_one_line():
        from captum_gag.runs.store import Run

        _execute(Run.load(run), workers, engine, address, shard)


def suites(json: Json = False) -> None:
    """List the suites that captum-gag run takes by name."""
    from captum_gag.runs.spec import load_suite, suite_names

    found = [
        {
            "name": name,
            "title": suite.title,
            "methods": [each.label for each in suite.methods],
            "metrics": [each.label for each in suite.metrics],
        }
        for name, suite in ((name, load_suite(name)) for name in suite_names())
    ]
    if json:
        print_json(found)
        return
    for each in found:
        typer.echo(f"{each['name']}: {each['title']}")


def metrics(json: Json = False) -> None:
    """List the metrics that a suite takes by type; Quantus's own are taken as quantus:Class."""
    from captum_gag.runs.spec import OURS

    found = [
        {
            "type": name,
            "name": metric.name,
            "better": metric.score_direction.value,
            "what": (metric.__doc__ or "").splitlines()[0],
        }
        for name, metric in OURS.items()
    ]
    if json:
        print_json(found)
        return
    for each in found:
        typer.echo(f"{each['type']}: {each['what']} {each['better'].capitalize()} is better.")


def _execute(run: Run, workers: int, engine: str, address: str | None, shard: str) -> None:
    from captum_gag.errors import InputError
    from captum_gag.report.run_tables import comparison, printable
    from captum_gag.runs.running import execute, failures

    parts = shard.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--shard {shard!r} has no meaning; expected I/N, such as 1/4")
    importable_from_here()
    chosen = _engine(engine, workers, address)
    execute(
        run, chosen, shard=(int(parts[0]), int(parts[1])), track=_progress, say=lambda text: typer.echo(text, err=True)
    )
    from rich.console import Console

    scores = run.scores()
    Console().print(printable(comparison(scores, run.config.made_suite().published)))
    typer.echo(str(run.directory))
    failed = failures(scores)
    for row in failed.to_dict("records"):
        typer.echo(f"failed: {row['method']}, {row['cells']} cells, first {row['image']}: {row['error']}", err=True)
    if len(failed):
        raise typer.Exit(1)


def _engine(name: str, workers: int, address: str | None) -> Engine:
    from captum_gag.errors import InputError
    from captum_gag.runs import executors as engines

    if name == "ray":
        return engines.on_ray(workers, address)
    if name != "local":
        raise InputError(f"--engine {name!r} is unknown; expected local or ray")
    return engines.in_this_process if workers == 1 else engines.in_processes(workers)


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[], None]]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="image") as bar:
        yield lambda: (bar.update(1), None)[1]
