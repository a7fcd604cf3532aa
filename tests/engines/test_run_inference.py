"""A bundle's inference as a process: what it says, and what it refuses."""

import os
import sys

import pytest
from planewise.engines import run_inference as module
from planewise.engines.run_inference import run_inference
from planewise.errors import InputError

LOG = """parsing config_file configs/inference.yaml: nobody can act on this
2026-11-21 14:34:34,574 - INFO - the weights are those that ship, trained on phantoms
2026-11-21 14:34:40,532 - INFO - exam c62a9e72e2, 2ch: plane
2026-11-21 14:34:40,532 - WARNING - exam c62a9e72e2: a doubt
2026-11-21 14:34:40,532 - WARNING - exam c62a9e72e2: a doubt
2026-11-21 14:34:40,533 - INFO - Epoch[1] Complete.
"""


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/inference.yaml").write_text("{}")
    return tmp_path


def acts(monkeypatch, tmp_path, lines):
    """Put a program in Python's place."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{lines}")
    program.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(program))


def test_it_tells_of_exams_and_weights_once(bundle, monkeypatch, tmp_path):
    acts(monkeypatch, tmp_path, f"import sys\nprint({LOG!r}, sys.argv[1:])")
    assert run_inference(bundle, {"input": "x"}) == [
        "the weights are those that ship, trained on phantoms",
        "exam c62a9e72e2, 2ch: plane",
        "exam c62a9e72e2: a doubt",
    ]


def test_settings_are_overrides_and_none_is_none(bundle, monkeypatch, tmp_path):
    acts(monkeypatch, tmp_path, "import sys\nopen('said', 'w').write(' '.join(sys.argv[1:]))")
    run_inference(bundle, {"input": "a b", "device": None, "phases": "all"})
    said = (bundle / "said").read_text()
    assert said == "-m monai.bundle run --config_file configs/inference.yaml --input a b --phases all"


def test_a_refusal_is_given_in_its_own_words(bundle, monkeypatch, tmp_path):
    acts(monkeypatch, tmp_path, "import sys\nsys.exit('planewise: there is no DICOM image')")
    with pytest.raises(InputError, match="^there is no DICOM image$"):
        run_inference(bundle, {})


def test_an_error_is_no_traceback(bundle, monkeypatch, tmp_path):
    acts(monkeypatch, tmp_path, "raise MemoryError('too large')")
    with pytest.raises(InputError, match="ended with an error: MemoryError: too large$"):
        run_inference(bundle, {})


def test_an_error_is_told_by_its_cause_with_what_was_said_of_exams(bundle, monkeypatch, tmp_path):
    """MONAI raises errors from errors, and the last line that it prints is an expression of the config."""
    program = f"""import sys
sys.stderr.write({LOG!r})
try:
    raise ValueError("a singular affine")
except ValueError as error:
    raise RuntimeError("Failed to evaluate\\n  '$run()'") from error"""
    acts(monkeypatch, tmp_path, program)
    said = r"error: ValueError: a singular affine \(before it: exam c62a9e72e2, 2ch: plane; exam c62a9e72e2: a doubt\)$"
    with pytest.raises(InputError, match=said):
        run_inference(bundle, {})


def test_no_bundle(tmp_path):
    with pytest.raises(InputError, match="no bundle in .*--bundles"):
        run_inference(tmp_path, {})


def test_who_watches_is_called_while_it_runs(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)
    acts(
        monkeypatch, tmp_path, "import os, time\nwhile not os.path.exists('seen'):\n    time.sleep(0.01)\nprint('done')"
    )
    assert run_inference(bundle, {}, watch=(bundle / "seen").touch) == []
    assert (bundle / "seen").is_file()


def test_nothing_is_left_running_when_it_is_stopped(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)
    acts(
        monkeypatch, tmp_path, "import os, time\nprint(os.getpid(), file=open('pid', 'w'), flush=True)\ntime.sleep(600)"
    )

    def stop():
        if (bundle / "pid").is_file() and (bundle / "pid").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_inference(bundle, {}, watch=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int((bundle / "pid").read_text()), 0)
