from __future__ import annotations

import os
import resource
import signal

import pytest
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write


def test_a_file_takes_its_place_when_it_is_finished(tmp_path):
    path = tmp_path / "new" / "run.json"
    with atomic_write(path) as part:
        part.write_text("all of it")
        assert not path.exists() and part.parent == path.parent
    assert path.read_text() == "all of it" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("flush", [False, True])
def test_a_flushed_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch, flush):
    """Otherwise a power cut may leave an empty file under the new name."""
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (done.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    monkeypatch.setattr(os, "replace", lambda one, other: (done.append("moved"), replace(one, other)))
    with atomic_write(tmp_path / "last.ckpt", flush=flush) as part:
        part.write_text("all of it")
    assert done == ([str(part), "moved", str(tmp_path)] if flush else ["moved"])


@pytest.mark.parametrize("error", [ValueError("in between"), KeyboardInterrupt()])
def test_what_ends_the_writing_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "run.json"
    path.write_text("before")
    with pytest.raises(type(error)), atomic_write(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_disk_without_room_is_said_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        said = r"run.json cannot be written \(File too large; \d+ MiB are free there\)"
        with pytest.raises(InputError, match=said), atomic_write(path) as part:
            part.write_text("x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_not_replaced(tmp_path):
    """The same check protects devices: root could replace /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is a device or a pipe"), atomic_write(tmp_path / "pipe") as part:
        part.write_text("all of it")
    assert (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 1
