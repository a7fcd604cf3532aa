"""Test the Python API as tools/docs/api.md shows it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import planewise
import pytest
import torch
from planewise.commands import app
from planewise.errors import InputError
from planewise.packaging import package_bundle
from typer.testing import CliRunner

from tests.bundles.conftest import tiny
from tests.conftest import ROOT
from tests.packaging.conftest import write_run

BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "tools/docs/api.md").read_text(), re.S)


@pytest.mark.slow
def test_the_pages_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for language, block in BLOCKS:
        if language == "bash":
            program, *arguments = shlex.split(block)
            assert program == "planewise" and CliRunner().invoke(app, arguments).exit_code == 0
        else:
            exec(block, names)
    assert {language for language, _ in BLOCKS} == {"bash", "python"}
    assert len(names["found"].datalist["exams"]) == 2 and Path("datalist.json").is_file()
    assert len(list(Path("plans").glob("*/index.html"))) == 2
    assert names["logits"].shape == (1, 4, names["size"], names["size"])
    assert len(list(Path("masks").rglob("*_mask.nii.gz"))) == 2
    assert {path.name for path in Path().iterdir()} >= {"exams", "plans", "masks", "datalist.json"}
    printed = capsys.readouterr().out
    assert "slices and phases of 2 exams" in printed and "index.html" in printed


def test_what_the_functions_return(tmp_path):
    """The functions use only their arguments; without an output folder, they write no file."""
    outcome = CliRunner().invoke(app, ["phantom", "cardiac", str(tmp_path), "--exams", "1", "--phases", "2"])
    assert outcome.exit_code == 0
    (planned,) = planewise.plan(tmp_path)
    (segmented,) = planewise.segment(str(tmp_path), device="cpu")
    assert planned.name == segmented.name and segmented.phases == [f"{planned.name}_phase{at}" for at in ("00", "50")]
    shape = planned.stack.image.shape
    assert planned.labels.shape == segmented.labels[0].shape == segmented.labels[1].shape == shape
    assert planned.stack.affines.shape == (shape[2], 4, 4) and {"2ch", "4ch"} <= planned.stack.acquired.keys()
    assert not planned.page.exists() and not segmented.masks[0].exists()


#: Other defaults, such as functions, are left out.
_PLAIN = (bool, int, float, str, tuple, list, type(None))


def test_the_defaults_of_everything_public(assert_expected):
    """Most tests pass these arguments, so they would not notice a changed default."""
    lines = []
    for found in pkgutil.walk_packages(planewise.__path__, "planewise."):
        if found.name.endswith("__main__") or ".commands" in found.name:  # options.txt has those
            continue
        module = importlib.import_module(found.name)
        for name, item in sorted(vars(module).items()):
            public = not name.startswith("_") and getattr(item, "__module__", "") == module.__name__
            if not public or not (inspect.isfunction(item) or inspect.isclass(item)):
                continue
            members = vars(item).items() if inspect.isclass(item) else ()
            methods = [(f"{name}.{key}", each) for key, each in members if inspect.isfunction(each) and key[0] != "_"]
            for title, function in [(name, item), *methods]:
                defaults = {
                    key: parameter.default
                    for key, parameter in signature_of(function).items()
                    if parameter.default is not inspect.Parameter.empty and isinstance(parameter.default, _PLAIN)
                }
                if defaults and not re.search(" at 0x|'/", repr(defaults)):
                    given = ", ".join(f"{key}={value!r}" for key, value in defaults.items())
                    lines.append(f"{module.__name__.removeprefix('planewise.')}.{title}: {given}")
    assert len(lines) > 250
    assert_expected("defaults.txt", "\n".join(lines), relative=None, may_grow=True)


def test_the_numbers_that_modules_name(assert_expected):
    """Tolerances, limits and sizes: most tests use values far from them, so they would not notice a small change."""
    lines = []
    for found in pkgutil.walk_packages(planewise.__path__, "planewise."):
        if found.name.endswith("__main__") or ".phantoms" in found.name:  # numbers/phantoms.json has what those make
            continue
        module = importlib.import_module(found.name)
        for assigned in re.findall(
            r"^(_?[A-Z][A-Z0-9_]*(?:, _?[A-Z][A-Z0-9_]*)*)(?:: [^=\n]+)? = ", source(module), re.M
        ):
            values = {name: vars(module)[name] for name in assigned.split(", ")}
            numbers = {name: value for name, value in values.items() if has_numbers(value)}
            lines += [f"{found.name.removeprefix('planewise.')}.{name}: {value!r}" for name, value in numbers.items()]
    assert len(lines) > 150
    assert_expected("numbers.txt", "\n".join(sorted(lines)), relative=None, may_grow=True)


def source(module: object) -> str:
    try:
        return inspect.getsource(module)
    except OSError:  # an empty file
        return ""


def has_numbers(value: object) -> bool:
    """Whether a value is a number, or a table of numbers and texts with at least one number."""
    if isinstance(value, dict):
        return any(map(has_numbers, value.values())) and all(isinstance(key, (str, int, tuple)) for key in value)
    if type(value) in (tuple, list):
        return any(map(has_numbers, value))
    return type(value) in (int, float)


def signature_of(function: object) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # classes of C, and enumerations
        return {}


def test_a_run_brings_its_weights_and_settings(tmp_path):
    folder = ROOT / "bundles/downstream_cardiac_sax_segmentation"
    shipped = planewise.load_bundle(folder)
    assert shipped.folder == folder and shipped.weights == folder / "models/model.pt" and not shipped.network.training
    for name, value in torch.load(shipped.weights, weights_only=True).items():
        assert torch.allclose(shipped.network.state_dict()[name].float(), value.float()), name
    name = "downstream_cardiac_sax_segmentation"
    trained = planewise.load_bundle(name, write_run(name, tmp_path, tiny(name) | {"image_size": 48}))
    assert trained.config["features"] == tiny(name)["features"] != shipped.config["features"]
    assert trained.config["image_size"] == 48 and trained.weights.parent.parent == tmp_path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", sys.path[:])
        package_bundle(folder, dist=tmp_path / "dist")
        packaged = planewise.load_bundle(tmp_path / "dist" / name)
        assert type(packaged.network).__module__.startswith("planewise_")
    fresh = planewise.load_bundle("pretext_rotation")
    assert fresh.weights is None and fresh.config["bundle_root"] == str(ROOT / "bundles/pretext_rotation")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bundle": "no_bundle"}, "there is no bundle no_bundle"),
        ({"bundle": "pretext_rotatoin"}, r"did you mean pretext_rotation\?"),
        ({"bundle": "pretext_rotation", "weights": "/nothing"}, "there are no weights in /nothing"),
        ({"bundle": "pretext_rotation", "bundles": "/nothing"}, "there is no bundle pretext_rotation in /nothing"),
    ],
)
def test_a_bundle_that_cannot_be_loaded(arguments, said):
    with pytest.raises(InputError, match=said):
        planewise.load_bundle(**arguments)


def test_the_package_alone_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", "import planewise, sys; print(callable(planewise.index), 'monai' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "False"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        planewise.nothing  # noqa: B018
