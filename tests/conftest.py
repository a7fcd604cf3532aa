"""Shared by all tests: where real data is, and hypothesis settings that do not depend on the machine's speed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
settings.register_profile("planewise", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("planewise")
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--label-page", action="store_true", help="write the label tests' result into tools/docs/monai_label.md"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("PLANEWISE_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder} (set PLANEWISE_REAL_DATA)")
    return folder


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's caches or salt."""
    monkeypatch.setenv("PLANEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "salt"))
