"""Of a torch Dataset nothing is read before it is asked for, and nothing of it is pickled."""

import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tiny

from captum_gag.data import dataset
from captum_gag.data.memory import TorchData
from captum_gag.errors import InputError


def test_demo_photographs():
    data = dataset("demo")
    assert data.names == ("chelsea", "coffee", "rocket", "china", "flower")
    assert all(example.photo().mode == "RGB" and example.target is None for example in data)
    assert [example.photo().size for example in data] == [(451, 300), (600, 400), *[(640, 427)] * 3]
    assert data.files(0) == data.listings() == ()
    with pytest.raises(InputError, match="demo: has no training images"):
        data.train()


@pytest.fixture
def read(monkeypatch):
    found = []
    item = tiny.Photos.__getitem__
    monkeypatch.setattr(tiny.Photos, "__getitem__", lambda self, index: (found.append(index), item(self, index))[1])
    return found


def test_an_item_is_read_once_when_it_is_asked_for(read):
    data = dataset("tiny:photos")
    assert data.names == tuple(f"{number:06d}" for number in range(6))
    assert data.index["000004"] == 4
    assert read == []
    example = data[4]
    assert (example.name, example.target, example.photo().size) == ("000004", 1, (14, 14))
    assert np.asarray(example.mask()).mean() == 127.5
    assert read == [4]
    assert [example.target for example in data] == [0, 1, 2] * 2
    assert (data.files(0), data.listings()) == ((), ())


def test_an_item_that_raises_costs_itself():
    data = dataset("tiny:bad_items")
    assert len(data) == 6
    with pytest.raises(RuntimeError, match="item 2 is broken"):
        data[2]
    assert data[3].target == 0


def test_the_callable_takes_the_options_of_the_spec():
    data = dataset({"type": "tiny:photos", "length": 3})
    assert len(data) == 3
    assert dataset(data.spec()).names == data.names
    with pytest.raises(InputError, match=r"tiny:photos cannot be read as a data set: .*'lenght'"):
        dataset({"type": "tiny:photos", "lenght": 3})


def test_a_data_set_of_ones_own_class_is_taken_as_it_is():
    data = dataset("tiny:photos_with_training")
    assert data.spec() == {"type": "tiny:Squares", "first": 0}
    assert dataset(data.spec()).names == data.names
    assert set(data.train().names).isdisjoint(data.names)
    assert dataset({"type": "tiny:Squares", "first": 5}).names[0] == "5"


def test_pickled_it_is_its_spec():
    data = dataset("tiny:large_photos")
    assert data.source.pixels.nbytes > 12e6
    found = pickle.dumps(data)
    assert len(found) < 1000
    again = pickle.loads(found)
    assert np.array_equal(again[1].photo(), data[1].photo())


@pytest.mark.slow
def test_what_cannot_be_opened_on_the_other_side_is_one_line(tmp_path, monkeypatch):
    """A process that has neither the module nor what the callable needs says so."""
    unpickle = (
        "import pickle, sys\n"
        "data = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "try:\n    len(data)\nexcept ValueError as error:\n    print(type(error).__name__, error)"
    )
    monkeypatch.delenv("TINY_ONLY_IN", raising=False)
    messages = []
    for callable, path in (("tiny:only_in_one_process", Path(tiny.__file__).parent), ("tiny:photos", tmp_path)):
        arguments = [sys.executable, "-c", unpickle, pickle.dumps(TorchData(callable, {})).hex()]
        environment = {"PYTHONPATH": str(path), "PATH": ""}
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
        messages.append(done.stdout.strip())
    assert messages == [
        "InputError tiny:only_in_one_process cannot be read as a data set: KeyError: 'TINY_ONLY_IN'",
        "InputError data set 'tiny:photos' cannot be imported: No module named 'tiny'",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("lambda: 3", "cannot be read as a data set: TypeError: object of type 'int' has no len()"),
        ("3", "cannot be read as a data set: TypeError: 'int' object is not callable"),
        ("lambda: []", "holds no examples"),
        (
            "lambda: {'train': [], 'test': []}",
            "returns a dict of train, test; expected one data set: choose one of them",
        ),
        (
            "lambda: torch.utils.data.DataLoader(range(3))",
            "cannot be read as a data set: TypeError: DataLoader has no items by number; return its Dataset",
        ),
    ],
)
def test_what_is_no_data_set_is_one_line(user_module, source, message):
    user_module("users_data", f"import torch\nfound = {source}")
    with pytest.raises(InputError) as caught:
        dataset("users_data:found")
    assert str(caught.value) == f"users_data:found: {message}".replace(": cannot", " cannot").replace(
        ": returns", " returns"
    )


def test_an_item_of_another_form_is_named(user_module):
    user_module("users_data", "import torch\nfound = lambda: [torch.zeros(3, 4, 4)]")
    with pytest.raises(InputError, match=r"item 000000 is a Tensor; expected \(image, class\)"):
        dataset("users_data:found")[0]


class HuggingFaceTable:
    """What this package asks of ``datasets.Dataset``, where that is not installed."""

    column_names = ("image", "label")

    def __init__(self, labels):
        self.labels = labels
        self.features = {"label": types.SimpleNamespace(names=["cat", "dog"])}

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, key):
        return self.labels if key == "label" else {"image": tiny.image(key), "label": self.labels[key]}


@pytest.fixture
def hugging_face(tmp_path, monkeypatch):
    """Return the directory of two splits: of the real package where it is installed, else of one like it."""
    splits = {"train": [0, 1, 1], "test": [1, 0]}
    try:
        import datasets
    except ImportError:
        stored = {name: HuggingFaceTable(labels) for name, labels in splits.items()}
        monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_from_disk=lambda _: stored))
        return tmp_path
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    columns = {
        name: {"image": [tiny.image(n) for n in range(len(each))], "label": each} for name, each in splits.items()
    }
    stored = {name: datasets.Dataset.from_dict(each, features) for name, each in columns.items()}
    datasets.DatasetDict(stored).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_hugging_face_data_sets_are_read_from_disk(hugging_face):
    data = dataset({"type": "hf", "root": str(hugging_face), "split": "test"})
    assert [data.listed_target(index) for index in range(len(data))] == [1, 0]
    assert np.array_equal(np.asarray(data[1].photo()), np.asarray(tiny.image(1)))
    assert (data[1].target, data.class_names, data.numbered_by_order) == (0, {0: "cat", 1: "dog"}, 2)
    with pytest.raises(InputError, match="has the splits train, test; choose one by the option split"):
        dataset(f"hf:{hugging_face}")


def test_without_hugging_face_s_package_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="datasets is not installed; install it with: pip install datasets"):
        dataset(f"hf:{tmp_path}")
