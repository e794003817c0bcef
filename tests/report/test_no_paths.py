"""What a run shows and passes on names no directory, no user and no machine."""

import getpass
import json
import socket
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from scoring import call, config_of, folder_of, run_of

from captum_gag.files import without_directories


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("/home/ada/runs/a.png: is broken", "a.png: is broken"),
        ("folder:/home/ada/photographs", "folder:photographs"),
        ("[Errno 2] No such file: '/mnt/x/a.png'", "[Errno 2] No such file: 'a.png'"),
        ("file:///home/ada/a.png", "a.png"),
        ("C:\\Users\\Ada\\a.png and D:/data/b.png", "a.png and b.png"),
        ("/data/photographs/", "photographs/"),
        ("https://example.org/a/b.html, 1/alpha, n01440764/a.png, ../x/y, a / b", None),
        (f"{Path.home()}/some folder/a.png", "a.png"),
        ("/data/patient 12 1974/scans", "scans"),
        ("/work/O'Brien, Jo  (1974)/ct/1 a.png: is broken, as is b/c.png", "1 a.png: is broken, as is b/c.png"),
        ("D:\\Jo O'Brien\\ct\\1.png and /a b/2.png", "1.png and 2.png"),
    ],
)
def test_absolute_paths_keep_their_last_part(text, cut):
    assert without_directories(text) == (text if cut is None else cut)
    assert without_directories({"a": [text, 1]}) == {"a": [text if cut is None else cut, 1]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run, with a broken photograph, beside all that is written of it; run.json apart."""
    base = tmp_path_factory.mktemp("private")
    data = folder_of(base / "photographs", "0.png", "1.png", "2.png", "3.png")
    (base / "photographs" / "broken.png").write_bytes(b"no image")
    suite = {"methods": ["GAG-85", "SG", "Random"], "metrics": {"RCAP": {}}, "n_samples": 3}
    run = run_of(base / "run", config_of(suite, data=data, save_maps=True))
    assert "broken.png" in run.scores()["error"].iloc[-1]
    said = []
    for words in (["table"], ["table", "--compare", "GAG-85", "SG"], ["table", "--worst", "3"]):
        asked = [words[0], str(run.directory), *words[1:], "--json"]
        said.append(call(*asked).output)
        assert json.loads(said[-1])
    for command in (["reliability", "--out", str(base / "run" / "reliability")], ["report"]):
        result = call(command[0], str(run.directory), *command[1:])
        assert result.exit_code == 0, result.output
    return base, run, said


def private(base):
    # Shorter ones are found in pictures, by chance.
    names = [name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 5]
    return [str(base), str(Path.home()), *names]


def text_of(path):
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return f"{table.schema.metadata} {table.to_pylist()}"
    return path.read_bytes().decode("latin-1")


def test_nothing_that_is_written_names_them(written):
    base, run, said = written
    files = [path for path in run.directory.rglob("*") if path.is_file() and path.name != "run.json"]
    assert {path.suffix for path in files} >= {".html", ".csv", ".md", ".tex", ".parquet", ".safetensors"}
    texts = {path: text_of(path) for path in files}
    assert any("broken.png" in text for path, text in texts.items() if path.parent.name == "scores")
    for word in private(base):
        assert [path for path, text in texts.items() if word in text] == []
        assert not any(word in each for each in said)


def test_the_page_names_them_if_asked_to(written, tmp_path):
    base, run, _ = written
    page = tmp_path / "report.html"
    for flags, there in (([], False), (["--paths"], True)):
        call("report", str(run.directory), "--out", str(page), *flags)
        text = page.read_text(encoding="utf-8")
        assert (f"folder:{base / 'photographs'}" in text) == there
        assert ("--data folder:photographs" in text) != there
        assert ("Paths are cut" in text) != there
