"""captum_gag.compare: the scores of a run, from Python objects, and what it says of what it cannot use."""

import gc
import warnings

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from captum_gag import RCAP, compare
from captum_gag.errors import InputError
from captum_gag.models import Classifier
from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute

FEW = {"methods": ["GAG-85", "Sobel"], "metrics": ["RCAP"], "n_samples": 2, "show_progress": False}


def net(classes=3, channels=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, classes)
    ).eval()


def photos(count=6, channels=3):
    return (torch.rand(count, channels, 24, 24, generator=torch.Generator().manual_seed(1)) * 255).round() / 255


def labels(count=6):
    return torch.arange(count) % 3


def scores(result):
    return result.scores.set_index(["image", "method", "metric"])["score"]


class Halved(nn.Sequential):
    """The same modules and weights by the name of the class that it replaces; another function."""

    def forward(self, x):
        return super().forward(x) / 2

    def _get_name(self):
        return "Sequential"


class Photos(Dataset):
    classes = ("ant", "bee", "cat")

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {"image": photos()[index], "label": int(labels()[index])}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(photos(), labels(), strict=True))


def built():
    return Classifier("net", net(), (0.0,) * 3, (1.0,) * 3, 24, 24, output="logits")


def test_the_scores_are_those_of_a_run(tmp_path):
    ours = compare(built(), Photos(), **FEW)
    suite = ours.run.config.suite
    here = "test_comparison"
    (tmp_path / f"{here}_objects.py").write_text(
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('{here}', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(module)\n"
        "built, Photos = module.built, module.Photos\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        names = f"{here}_objects:built", f"{here}_objects:Photos"
        run, bench = begin(tmp_path / "run", Config(suite, {"type": names[0]}, {"type": names[1]}, device="cpu"))
        execute(run, bench=bench, say=lambda line: None)
    pd.testing.assert_series_equal(scores(ours), run.scores().set_index(["image", "method", "metric"])["score"])


def test_tensors_are_scored_as_the_photographs_that_they_are():
    of_photos = compare(built(), (photos(), labels()), **FEW)
    of_tensors = compare(net(), (photos(), labels()), **FEW)
    pd.testing.assert_series_equal(scores(of_photos), scores(of_tensors))


def test_black_is_known_by_the_normalization():
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x * 0.25 + 0.5)

    given = FEW | {"methods": ["Sobel"]}
    plain = compare(net(), (photos(), labels()), **given)
    statistics = ((0.5,) * 3, (0.25,) * 3)
    normalised = compare(Normalised().eval(), ((photos() - 0.5) / 0.25, labels()), normalization=statistics, **given)
    pd.testing.assert_series_equal(scores(plain), scores(normalised), rtol=1e-4)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: DataLoader(TensorDataset(photos(), labels()), 4, shuffle=True), id="loader"),
        pytest.param(lambda: DataLoader(Photos(), 4), id="dicts"),
        pytest.param(lambda: (photos().numpy(), labels().tolist()), id="arrays"),
        pytest.param(lambda: list(zip(photos(), labels(), strict=True)), id="pairs"),
        pytest.param(
            lambda: DataLoader(
                TensorDataset(photos(), labels()),
                4,
                collate_fn=lambda items: {"image": torch.stack([x for x, _ in items]), "label": [y for _, y in items]},
            ),
            id="collate_fn",
        ),
    ],
)
def test_every_form_of_the_same_images_has_the_same_scores(data):
    expected = compare(net(), (photos(), labels()), **FEW)
    pd.testing.assert_series_equal(scores(compare(net(), data(), **FEW)), scores(expected))


@pytest.mark.parametrize("batched", [True, False])
def test_a_sampler_says_which_items_are_scored(batched):
    model, sampler, state = net(), SubsetRandomSampler([4, 1]), torch.random.get_rng_state()
    data = TensorDataset(photos(), labels())
    drawn = {"batch_sampler": BatchSampler(sampler, 1, False)} if batched else {"sampler": sampler}
    result = scores(compare(model, DataLoader(data, **drawn), **FEW))
    assert torch.equal(torch.random.get_rng_state(), state)
    of_all = scores(compare(net(), data, **FEW))
    pd.testing.assert_series_equal(result, of_all[of_all.index.get_level_values("image").isin(["000001", "000004"])])


def test_a_subset_has_the_names_of_its_classes():
    assert set(compare(net(), Subset(Photos(), [1, 4]), **FEW).scores["label"]) == {"bee"}


def test_methods_and_metrics_of_the_suite_are_as_it_has_them():
    few = {"n_samples": 2, "show_progress": False, "limit": 2}
    chosen = compare(net(), Photos(), ["Occlusion"], "Deletion", **few).run.config.suite
    whole = compare(net(), Photos(), **few).run.config.suite
    assert chosen["metrics"] == {"Deletion": whole["metrics"]["Deletion"]} == {"Deletion": {"perturb_baseline": "road"}}
    assert [each for each in whole["methods"] if isinstance(each, dict)] == list(chosen["methods"])


def test_a_tracker_that_fails_ends_nothing():
    with pytest.warns(UserWarning, match="log_to failed, first for 000000: ZeroDivisionError") as caught:
        result = compare(net(), Photos(), log_to=lambda rows: 1 / 0, **FEW)
    assert len(caught) == 1
    assert result.scores["score"].notna().all()


def test_a_run_in_memory_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = compare(net(), Photos(), **FEW)
    assert len(list(tmp_path.iterdir())) == 1
    del result
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_without_labels_the_predicted_class_is_explained():
    result = compare(net(), photos(), **FEW)
    predicted = net()(photos()).argmax(1)
    assert result.scores.groupby("image")["target"].first().tolist() == predicted.tolist()


def test_grey_images_and_segmentations():
    masks = torch.zeros(6, 24, 24)
    masks[:, 6:12, 6:12] = 1
    model, images, given = net(channels=1), photos(channels=1), {**FEW, "metrics": ["RCAP", "SegmentationMAE"]}
    result = compare(model, (images, labels(), masks), **given)
    assert result.scores["score"].notna().all()
    with pytest.raises(InputError, match="segmentation is 12 x 24"):
        compare(
            net(channels=1), (photos(channels=1), labels(), masks[:, :, :12]), **{**FEW, "metrics": ["SegmentationMAE"]}
        )


def test_names_of_classes_are_the_data_sets_or_given():
    assert set(compare(net(), Photos(), **FEW).scores["label"]) == {"ant", "bee", "cat"}
    assert set(compare(net(), Photos(), labels=["x", "y", "z"], **FEW).scores["label"]) == {"x", "y", "z"}


def test_images_that_ask_for_gradients_are_scored_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = compare(net(), (photos().requires_grad_(), labels()), **FEW)
    pd.testing.assert_series_equal(scores(result), scores(compare(net(), (photos(), labels()), **FEW)))


def test_one_bad_image_costs_its_own_scores():
    images = photos()
    images[2, 0, 0, 0] = float("nan")
    sound = scores(compare(net(), (photos(), labels()), **FEW))
    with pytest.warns(UserWarning, match=r"of 18 scores could not be computed.*000002"):
        result = compare(net(), (images, labels()), **FEW)
    others = sound.index.get_level_values("image") != "000002"
    pd.testing.assert_series_equal(scores(result)[others], sound[others])
    assert scores(result)[~others].isna().all()
    with pytest.raises(InputError, match="'000002' has no maps: 000002 has a NaN"):
        result.plot_maps(2)


def test_a_model_that_cannot_be_told_apart_on_black_is_said():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.stack([2.2 + 1e-4 * (x**2).mean((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1)

    result = compare(Constant().eval(), (photos(24), torch.zeros(24, dtype=int)), labels=["dog", "cat"], **FEW)
    [row] = result.verdict.to_dict("records")
    assert row["state"] == "cannot tell"
    assert "dog" in row["reason"]
    assert "cannot tell" in result._repr_html_()


def test_the_model_is_left_as_it_was():
    model, state = net(), torch.random.get_rng_state()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    threads, before = torch.get_num_threads(), {name: each.clone() for name, each in model.state_dict().items()}
    compare(model, (photos(), labels()), **FEW)
    assert not model.training
    assert torch.get_num_threads() == threads
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert all(each.requires_grad for each in model.parameters())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_directory_keeps_the_run_and_the_same_call_goes_on_with_it(tmp_path):
    done, out = [], tmp_path / "run"
    first = compare(net(), (photos(), labels()), out=out, log_to=done.append, **FEW)
    assert [rows[0]["image"] for rows in done] == [f"{index:06d}" for index in range(6)]
    assert {row["method"] for row in done[0]} == {"GAG-85", "Sobel", "GAG-85 displaced"}
    again = compare(net(), (photos(), labels()), out=out, log_to=done.append, **FEW)
    assert len(done) == 6
    pd.testing.assert_frame_equal(first.scores, again.scores)
    changed = photos()
    changed[3, 0, 5, 5] = 0.0
    with pytest.raises(InputError, match=r"1 photographs have changed.*000003"):
        compare(net(), (changed, labels()), out=out, **FEW)
    with pytest.raises(InputError, match="another suite"):
        compare(net(), (photos(), labels()), out=out, **{**FEW, "n_samples": 3})
    other = net()
    with torch.no_grad():
        other[0].bias += 1
    with pytest.raises(InputError, match="has changed: weights"):
        compare(other, (photos(), labels()), out=out, **FEW)
    with pytest.raises(InputError, match="another model"):
        compare(Halved(*net()).eval(), (photos(), labels()), out=out, **FEW)


def test_a_limit_is_balanced_and_deciding_stops():
    result = compare(net(), (photos(30), labels(30)), limit=6, **FEW)
    assert result.scores.groupby("image")["target"].first().value_counts().tolist() == [2, 2, 2]
    with pytest.raises(InputError, match="decided"):
        compare(net(), (photos(), labels()), until="whenever", **FEW)
    decided = compare(net(), (photos(30), labels(30)), until="decided", against="GAG-85", **FEW)
    assert decided.scores["image"].nunique() <= 30


def test_what_a_result_shows(tmp_path):
    result = compare(net(), Photos(), **FEW)
    assert result.table().index.tolist() == ["GAG-85", "Sobel †", "GAG-85 displaced †"]
    assert result.maps["000001"]["GAG-85"].shape == (24, 24)
    photo, *maps = [axes.get_title().splitlines()[0] for axes in result.plot_maps(1).axes if axes.get_title()]
    assert photo.startswith("000001: bee ")
    assert maps == ["GAG-85", "Sobel", "GAG-85 displaced"]
    with pytest.raises(InputError, match="there is no image 6; must be below 6"):
        result.plot_maps(6)
    [panel] = result.plot().axes
    assert [text.get_text() for text in panel.get_yticklabels()] == result.table().index.tolist()
    page = result.report(tmp_path / "page.html").read_text()
    assert "captum_gag.compare(Sequential, " in page.replace("&#39;", "'")
    assert result.to_latex().startswith("\\begin{table}")
    assert str(result).startswith("By RCAP")
    without = compare(net(), Photos(), save_maps=False, **FEW)
    assert without.maps == {}
    with pytest.raises(InputError, match="save_maps=True"):
        without.plot_maps(0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": (photos(), labels()[:3])}, "6 images and 3 labels"),
        ({"data": (photos() - 0.5, labels())}, r"reaches down to -0\.5.*give normalization"),
        ({"data": (photos(), labels() + 7)}, "class 7, Sequential has 0 to 2; labels must be"),
        ({"data": (photos()[:, :1], labels())}, r"does not take the first image, \(1, 24, 24\)"),
        ({"data": ((photos() * 255).byte(), labels())}, "uint8, must be a floating-point tensor"),
        ({"data": (photos() * 255, labels())}, "reaches up to 255.*1 / 255"),
        ({"data": (photos(), nn.functional.one_hot(labels()))}, "give the index"),
        ({"data": (photos()[0], labels()[0])}, r"shape \(3, 24, 24\), must be \(N, C, H, W\)"),
        ({"data": (photos()[:0], labels()[:0])}, r"shape \(0, 3, 24, 24\)"),
        ({"data": TensorDataset(photos())}, "item 000000 is a tuple; expected"),
        ({"data": 3}, "data is of type int"),
        ({"data": DataLoader(Stream())}, r"type DataLoader and has no items by number.*next\(iter\(loader\)\)"),
        ({"data": (photos(), labels()), "normalization": 0.5}, r"normalization is 0\.5, must be \(mean, std\)"),
        ({"data": (photos(), labels()), "normalization": ([0.5, 0.5], 1)}, "one for each of 3 channels"),
        ({"data": (photos(), labels()), "labels": ["a"]}, "must be a list of 3 names"),
        ({"data": (photos(), labels()), "labels": "abc"}, "must be a list of 3 names"),
        (
            {"data": Photos(), "model": net(5)},
            r"data \(Photos\): its 3 classes are numbered .* Sequential has 5, .*; give the model's numbers",
        ),
        ({"data": (photos(), labels()), "metrics": [RCAP()]}, "must be names"),
        ({"data": (photos(), labels()), "n_samples": 0}, "^n_samples is 0"),
        ({"data": (photos(), labels()), "log_to": 3}, "log_to is of type int"),
        ({"data": "no/such/folder"}, "no such folder"),
        ({"data": (photos(), labels()), "methods": ["GAG-850"]}, "did you mean GAG-85"),
        ({"data": (photos(), labels()), "metrics": ["RCAPP"]}, "did you mean RCAP"),
        ({"data": (photos(), labels()), "limit": 0}, "^limit is 0"),
        ({"data": (photos(), labels()), "model": net().train()[:2].append(nn.Dropout())}, "call model.eval"),
        ({"data": (photos(), labels()), "model": lambda x: x}, "model is a function"),
        ({"data": (photos(), labels()), "model": built(), "labels": ["a"]}, "has its own normalization and labels"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(given, message):
    with pytest.raises(InputError, match=message) as caught:
        compare(given.pop("model", net()), given.pop("data"), **{**FEW, **given})
    assert "\n" not in str(caught.value)
