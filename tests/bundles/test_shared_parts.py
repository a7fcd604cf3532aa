"""What bundles share is written once, and stands in each of them as it is written."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "tools/configs"
_SPEC = importlib.util.spec_from_file_location("write_configs", FOLDER / "write.py")
write = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(write)

PART = "optimizer:\n  lr: <rate>  # <why>\n\n  steps: [<rate>]\n"


@pytest.fixture
def parts(tmp_path) -> Path:
    (tmp_path / "adam.yaml").write_text(PART)
    return tmp_path


def test_every_bundle_has_the_parts_as_they_are():
    wanted = write.shared_files(ROOT / "bundles")
    assert len([file for file in wanted if file.name == "train.yaml"]) == len(
        list((ROOT / "bundles").glob("*/configs"))
    )
    different = [str(file.relative_to(ROOT)) for file, text in wanted.items() if file.read_text() != text]
    assert different == [], "run python tools/configs/write.py"


def test_every_part_is_shared():
    text = "".join(file.read_text() for file in (ROOT / "bundles").glob("*/configs/*.yaml"))
    uses = re.findall(r"# part (\w+)", text)
    assert {file.stem: uses.count(file.stem) for file in FOLDER.glob("parts/*.yaml") if uses.count(file.stem) < 2} == {}


def test_values_indent_and_what_stands_around(parts):
    text = 'a: 1\nb:\n  # part adam {rate: "0.1", why: "a, b: c"}\n  old: lines\n  # end adam\n  c: 2  # part of it\n'
    written = write.with_parts(text, parts)
    assert written == (
        'a: 1\nb:\n  # part adam {rate: "0.1", why: "a, b: c"}\n  optimizer:\n    lr: 0.1  # a, b: c\n\n    steps: [0.1]\n'
        "  # end adam\n  c: 2  # part of it\n"
    )
    assert write.with_parts(written, parts) == written
    assert yaml.safe_load(written)["b"] == {"optimizer": {"lr": 0.1, "steps": [0.1]}, "c": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# part adam {rate: 1, why: x}\n", "without its other half"),
        ("  # part adam {rate: 1, why: x}\n# end adam\n", "indented unlike it"),
        ("# end adam\n", "without its other half"),
        ("# part adam {rate: 1, why: x}\n# part sgd\n# end adam\n", "stands inside the part adam"),
        ("# part sgd\n# end sgd\n", "there is no part sgd; those there are: adam"),
        ("# part adam {rate: 1}\n# end adam\n", r"takes \['rate', 'why'\], and was given \['rate'\]"),
        ("# part adam\n# end adam\n", "was given none"),
        ("# part adam {rate: a: b}\n# end adam\n", "are not YAML"),
    ],
)
def test_a_wrong_mark_is_an_error(parts, text, message):
    with pytest.raises(ValueError, match=message):
        write.with_parts(text, parts)


def test_the_command_writes_and_checks(tmp_path, monkeypatch, capsys):
    config = tmp_path / "bundles/one/configs/train.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("# part step_lr\n# end step_lr\n")
    monkeypatch.setattr(write, "BUNDLES", tmp_path / "bundles")
    assert write.main(["--check"]) == 1 and "differs: bundles/one/configs/train.yaml" in capsys.readouterr().out
    assert config.read_text() == "# part step_lr\n# end step_lr\n"
    assert write.main([]) == 0 and write.main(["--check"]) == 0
    assert "step_size: '@lr_step'" in config.read_text()
    assert (config.parent / "logging.conf").is_file() and (config.parent.parent / "LICENSE").is_file()
    config.write_text("# part step_lr\n")
    assert write.main([]) == 1 and "one/configs/train.yaml: `# part step_lr`" in capsys.readouterr().err
