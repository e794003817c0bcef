"""What all tests share: tiny:model is a package.module:callable, and each worker computes on one core."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before torch comes: with a worker per core, more threads would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# So that tiny:model is found, here and in the processes that tests start.
sys.path.append(str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-examples",
        type=int,
        help="examples of each test of tests/fuzz, other ones at every call; without it 50, always the same",
    )


def pytest_configure(config: pytest.Config) -> None:
    # What a shell begins in the background ignores SIGINT, and so does all that it begins in turn.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A busy machine is no failure.
    settings.register_profile("tests", deadline=None)
    settings.load_profile("tests")
    wanted = config.getoption("fuzz_examples")
    settings.register_profile(
        "fuzz",
        max_examples=wanted or 50,
        derandomize=wanted is None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    import torch

    # Weights that nobody seeded must not be others in each order of the tests.
    torch.manual_seed(0)


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a module of a user's, where it is found by its name until the test ends."""

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write
