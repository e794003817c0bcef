"""Scorers of the tiny network with examples for them, tiny runs, and the command line."""

from pathlib import Path

from tiny import classifier_of, net, write_image
from typer.testing import CliRunner, Result

from captum_gag.cli import app
from captum_gag.data import dataset
from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.scorer import Item, Scorer
from captum_gag.runs.spec import make_suite
from captum_gag.runs.store import Run


def scorer_of(suite, model=None, **options):
    """Build a scorer, of the suite's own methods alone where it does not say which is displaced."""
    classifier = classifier_of((net() if model is None else model).eval())
    return Scorer(classifier, make_suite({"displaced": "", **suite}, classifier.normalization), **options)


def items(count=3):
    data = dataset("tiny:photos")
    return [Item(data.names[each], lambda each=each: data[each]) for each in range(count)]


def quiet(text):
    """Print nothing of what a run says."""


def config_of(suite, **options):
    given = {
        "suite": {**suite, "displaced": suite.get("displaced", "")},
        "model": {"type": "tiny:model"},
        "data": {"type": "tiny:photos"},
        "device": "cpu",
    }
    return Config(**{**given, **options})


def run_of(directory: Path, config: Config, **options) -> Run:
    """Begin a run and carry it out."""
    run, bench = begin(directory, config)
    execute(run, bench=bench, **{"say": quiet, **options})
    return run


def folder_of(place: Path, *names: str) -> dict[str, str]:
    """Write a photograph for each name, another for each, and return the spec of their folder."""
    for number, name in enumerate(names):
        write_image(place / name, number)
    return {"type": "folder", "root": str(place)}


def call(*arguments: object) -> Result:
    """Call a command of captum-gag."""
    return CliRunner().invoke(app, [str(each) for each in arguments])
