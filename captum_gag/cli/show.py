"""``captum-gag table``, ``report`` and ``list``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from captum_gag import names
from captum_gag.cli.commands import command, in_plain_text, print_json, print_table
from captum_gag.cli.options import Json, RunDirectories, RunDirectory
from captum_gag.errors import InputError

if TYPE_CHECKING:
    from captum_gag.options import Option

TYPES: Mapping[str, Mapping[str, Any]] = {
    "methods": names.METHODS,
    "metrics": names.METRICS,
    "data": names.DATASETS,
    "models": names.MODELS,
}


@command()
def table(
    runs: RunDirectories,
    *,
    out: Path | None = None,
    compare: Annotated[tuple[str, str] | None, typer.Option(metavar="A B")] = None,
    worst: Annotated[int | None, typer.Option(metavar="N", min=1)] = None,
    method: list[str] | None = None,
    margin: Annotated[float | None, typer.Option(metavar="X", min=0)] = None,
    json: Json = False,
) -> None:
    """Show the verdict of each metric, mean scores with 95 % intervals, and the significant differences from the best.

    Means are over the images that all explanations share. Bold may be best; a star marks an explanation that the best
    mean beats on most images (sign test, p < 0.05 after Holm's correction over all pairs). Controls and manipulated
    maps, marked by a dagger, are neither ranked nor tested. Published values stand beside ours where the suite has
    them. Writes table.md, table.tex, table.csv (all numbers, with p and the ranks that each may have) and
    scores.parquet. A run with --until decided has its decisions instead of tests, also in decisions.csv.

    Example: captum-gag table RUN --worst 5 --method GAG-85

    Args:
        out: Directory for the tables. Default: tables in the first RUN.
        compare: Compare two methods instead: by each metric the mean difference with its interval, p (Holm over the
            metrics), the share of images on which A is better, and the images on which either is ahead most; written to
            pair.md, pair.csv and pair_images.csv.
        worst: List the N images with the lowest scores instead, with class and probability, since a low score by RCAP
            may be due to an unsure network; written to worst.csv. The page of captum-gag report shows their maps.
        method: With --worst: a method; give it again for several. Default: the best mean by each metric.
        margin: Mean difference, in units of the score, up to which two methods are practically the same.
    """
    if method and worst is None:
        raise InputError("--method is an option of --worst; give --worst N with it")
    if compare and worst is not None:
        raise InputError("--compare and --worst are two tables; leave one of them out")
    if margin is not None and worst is not None:
        raise InputError("--margin is of differences, and --worst has none; leave one of them out")
    from captum_gag.runs.store import Run

    loaded, directory = [Run.load(path) for path in runs], out or runs[0] / "tables"
    from captum_gag.report.several_runs import together

    cases = together(loaded)
    if len(cases) > 1:
        raise InputError(
            f"the runs are of the cases {', '.join(cases)}, which have a table each; give them to captum-gag papers "
            "tables"
        )
    [one] = cases.values()
    tested = not any(run.config.until == "decided" for run in loaded)
    if margin is not None and not tested:
        raise InputError("--margin needs intervals, which a run until decided has not; leave it out")
    if compare:
        from captum_gag.report import pair_table

        rows = pair_table.paired(one.scores, *compare, tested=tested, margin=margin)
        images = pair_table.extremes(one.scores, *compare)
        tables = {"pair": rows, "images": images}
        laid_out, files = pair_table.printable(rows, images), pair_table.save_pair(rows, images, directory)
    elif worst is not None:
        from captum_gag.report import worst as lowest

        rows = lowest.worst(one.scores, method or [], (), worst)
        tables, laid_out, files = {"worst": rows}, lowest.printable(rows), [lowest.save_worst(rows, directory)]
    else:
        from captum_gag.papers.published import means
        from captum_gag.report.summary import printable, sentences, summarised
        from captum_gag.report.table_files import save_csv
        from captum_gag.report.tables import save_tables

        summary = summarised(one.scores, loaded, means(*one.suites), margin=margin)
        tables = {"verdict": summary.verdicts, "table": summary.rows}
        files = save_tables(summary.rows, one.scores, directory, [*sentences(summary.verdicts), summary.assumption])
        if summary.decided is not None:
            tables["decisions"] = summary.decided
            files.append(save_csv(summary.decided, directory / "decisions.csv"))
        laid_out = printable(summary)
    if json:
        print_json({name: table.to_dict("records") for name, table in tables.items()})
        return
    print_table(laid_out, files)


@command()
def report(
    run: RunDirectory,
    *,
    out: Path | None = None,
    images: Annotated[str, typer.Option(metavar="N|all")] = "150",
    paths: bool = False,
    format: Literal["pdf", "svg", "png"] | None = None,
) -> None:
    """Write a run as one HTML page: summary, tables, figures, images with their maps, and how to repeat it.

    The page needs no network and no other file. It shows the maps and photographs of a run made with --save-maps;
    neither model nor data are needed, and no code that the run names is run. Works while the run is still going, for
    the images done.

    Example: captum-gag run compare --save-maps --out RUN && captum-gag report RUN

    Args:
        out: The HTML file. Default: RUN/report.html.
        images: Images on the page; of more, those with the worst and the best scores, those on which methods disagree,
            and some at random. All numbers are of all images.
        paths: Write paths of data, weights and run in full, to repeat the run; without it, no directory is named.
        format: Write every figure as a file too, into figures beside the page: pdf, svg, or png at 300 dpi.
    """
    if images != "all" and (not images.isdecimal() or int(images) < 1):
        raise InputError(f"--images {images!r} must be a number of images above 0, or all")
    from captum_gag.runs.store import Run

    loaded = Run.load(run)
    from captum_gag.papers.published import means
    from captum_gag.report.page import write_page

    most, published = None if images == "all" else int(images), means(loaded.config.suite_file())
    path = out or run / "report.html"
    page = write_page(loaded, path, most=most, paths=paths, published=published, figure_format=format)
    typer.echo(str(page))


@command(name="list")
def list_names(
    kind: Literal["methods", "metrics", "suites", "data", "models"],
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    *,
    json: Json = False,
) -> None:
    """List methods, metrics, suites, data sets or models; or the options of one of them.

    Methods: GAG, and G and GA variants, take any percentile: GAG-70, SG-GA50. Grad-CAM takes a layer:
    Grad-CAM:layer4.1. A name followed by ^R gives its reversed map (Proposition 1); ^sharp, ^binary and ^pixel
    manipulate it to fool a metric. Random:7 is the random ordering of seed 7. captum:CLASS is any class of captum.attr.
    Metrics: those of Quantus are quantus:CLASS.

    Example: captum-gag list methods GAG-85

    Args:
        kind: The names to list.
        name: One of them, or another type of method, such as captum:Occlusion: list its options.
    """
    if name is None:
        rows = _names(kind)
    elif kind == "suites":
        from captum_gag.runs.suite_file import SuiteFile, labels_of, read_suite

        suite = SuiteFile(**read_suite(name))
        methods, metrics = labels_of(suite)
        rows = [{"name": name, "title": suite.title, "methods": methods, "metrics": metrics}]
    else:
        columns = ("name", "type", "default", "range", "help")
        rows = [{column: getattr(option, column) for column in columns} for option in _options(kind, name)]
    if json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"{name} has no options")
        return
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    laid_out = Table(box=SIMPLE)
    for column in rows[0]:
        laid_out.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        cells = (", ".join(map(str, cell)) if isinstance(cell, list) else str(cell) for cell in row.values())
        laid_out.add_row(*(Text(in_plain_text(cell)) for cell in cells))
    print_table(laid_out)


def _names(kind: str) -> list[dict[str, Any]]:
    if kind == "suites":
        from captum_gag.runs.suite_file import read_suite, suite_names

        return [{"name": name, "title": read_suite(name)["title"]} for name in suite_names()]
    more: dict[str, Callable[[Any], dict[str, str]]] = {
        "methods": lambda row: {"source": row.source},
        "metrics": lambda row: {"better": "higher" if row.higher_is_better else "lower"},
    }
    add = more.get(kind, lambda row: {})
    return [{"name": name, "summary": row.summary, **add(row)} for name, row in TYPES[kind].items()]


def _options(kind: str, name: str) -> list[Option]:
    """Return the options of a type; of a method by name, with the values of the name as defaults."""
    from captum_gag.options import options_of, unknown
    from captum_gag.signatures import declared_as, options_in

    if kind == "methods":
        spec = names.parse_method(name)
        from captum_gag.attr.catalogue import SAMPLES, method_class
        from captum_gag.attr.transforms import TRANSFORMS

        if "of" in spec:
            return [option for option in options_of(TRANSFORMS[spec["transform"]]) if option.name != "of"]
        options = options_of(method_class(spec["type"], spec))
        values = {**{name: spec["n_samples"] for name in SAMPLES if "n_samples" in spec}, **spec}
        return [option._replace(default=values.get(option.name, option.default)) for option in options]
    if kind == "metrics" and ":" in name:
        from captum_gag.metrics.base import Metric
        from captum_gag.names import imported

        cls = imported(name, "metric")
        is_metric = isinstance(cls, type) and issubclass(cls, Metric)
        return options_of(cls if is_metric else declared_as(name, type("Options", (), {}), options_in(cls)))
    types = TYPES[kind]
    # As --model and --data take them: resnet18 is a torchvision classifier, planted:object is planted.
    key = name if name in types else name.partition(":")[0]
    if kind == "models" and key not in types and name in names.torchvision_classifiers():
        key = "torchvision"
    if key not in types:
        raise unknown({"data": "data set"}.get(kind, kind.removesuffix("s")), name, types)
    return options_of(types[key].load())
