"""The command that a page gives makes the same config again, read by the command line that there is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli_w
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scoring import call

from captum_gag import options
from captum_gag.report.reproduce_command import command, plain_name
from captum_gag.runs import execution
from captum_gag.runs.config import Config

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
OF_CALLABLE = st.dictionaries(
    st.sampled_from(["label", "sizes", "table"]),
    TEXT | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.lists(st.integers(0, 9)),
)
MODELS = st.one_of(
    st.just({"type": "demo"}),
    st.builds(lambda size: {"type": "torchvision", "name": "resnet18", "image_size": size}, st.integers(1, 999)),
    st.builds(lambda mean: {"type": "cifar10", "mean": mean}, st.tuples(*[st.floats(-1, 1)] * 3)),
    st.builds(lambda options: {"type": "tiny:model", **options}, OF_CALLABLE),
)
DATA = st.one_of(
    st.just({"type": "demo"}),
    st.builds(
        lambda kind, n: {"type": "planted", "kind": kind, "mask": "reason", "split": "test", "n_images": n, "seed": 0},
        st.sampled_from(["object", "watermark"]),
        st.integers(1, 99),
    ),
)


def values(option: options.Option) -> st.SearchStrategy[Any]:
    """Return values of an option of a run, by its declaration."""
    low = option.limits.get("ge", 0)
    of_type: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(low, min(option.limits.get("lt", 2**40), 2**63) - 1),
        float: st.floats(0, 1, exclude_min="gt" in option.limits, exclude_max="lt" in option.limits),
        str: TEXT,
    }
    if option.name == "device":
        return st.sampled_from(["cpu", "cuda", "cuda:1", "mps"])
    if option.name == "against":
        return st.sampled_from(["best", "SG"])
    annotation = option.annotation
    parts = get_args(annotation)
    if parts and isinstance(parts[0], str):
        return st.sampled_from(parts)
    if parts:
        return st.none() | values(option._replace(annotation=parts[0]))
    return of_type[annotation]


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Draw any config of a run that can be one."""
    drawn = draw(st.fixed_dictionaries({each.name: values(each) for each in options.options_of(Config)[3:]}))
    if drawn["until"] == "done":
        drawn |= {"alpha": 0.05, "against": "best"}
    if drawn["attribution_autocast"] or drawn["metrics_autocast"]:
        drawn["dtype"] = "float32"
    suite = {"methods": ["SG"], "metrics": {"RCAP": {}}, "confidence": draw(st.floats(0, 1))}
    return Config(suite=suite, model=draw(MODELS), data=draw(DATA), **drawn)


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configs with which runs begin, in a directory of their own; none goes on."""
    configs: list[Config] = []

    def begin(out: Path, config: Config) -> None:
        configs.append(config)
        raise typer.Exit(0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execution, "begin", begin)
    return configs


def again(config: Config, begun: list[Config]) -> dict[str, Any]:
    """Return the config that the command line makes of the command of another."""
    Path("suite.toml").write_text(tomli_w.dumps(config.suite), encoding="utf-8")
    result = call(*command(config, config.model, config.data)[1:])
    assert result.exit_code == 0, result.output
    return plain(begun.pop())


def plain(config: Config) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(config)))  # type: ignore[no-any-return]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configs())
def test_the_command_of_any_config_makes_it_again(begun: list[Config], config: Config) -> None:
    assert again(config, begun) == plain(config)


@pytest.mark.parametrize("lost", [each.name for each in options.options_of(Config)[3:]])
def test_a_command_that_loses_an_option_makes_another_config(
    begun: list[Config], monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    config = Config(
        suite={"methods": ["SG"], "metrics": {"RCAP": {}}, "confidence": 0.5},
        **{"model": {"type": "demo"}, "data": {"type": "demo"}, "limit": 3, "confidence": 0.2, "seed": 1},
        **{"device": "mps:1", "dtype": "float32", "attribution_autocast": "bfloat16", "metrics_autocast": "float16"},
        **{"threads": 77, "batch_size": 5, "save_maps": True, "until": "decided", "alpha": 0.1, "against": "SG"},
    )
    assert again(config, begun) == plain(config)
    if lost == "dtype":
        config = Config(
            **{**asdict(config), "attribution_autocast": None, "metrics_autocast": None, "dtype": "float64"}
        )
    kept = [each for each in options.options_of(Config)[3:] if each.name != lost]
    monkeypatch.setattr("captum_gag.report.reproduce_command.SETTINGS", kept)
    if lost == "until":
        with pytest.raises(AssertionError, match="give --until decided with them"):
            again(config, begun)
    else:
        assert again(config, begun) != plain(config)


def test_names_are_plain() -> None:
    specs = [{"type": "demo"}, {"type": "timm", "name": "vit"}, {"type": "folder", "root": "/a/b\\c/"}, {"type": "m:f"}]
    assert [plain_name(each) for each in specs] == ["demo", "vit", "c", "f"]
