from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import time

import pytest
from planewise import locks
from planewise.errors import InputError
from planewise.locks import claim_folder


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    for file in locks._held.values():
        file.close()
    locks._held.clear()


def hold(folder, child: bool) -> None:
    claim_folder(folder)
    if child and not os.fork():
        time.sleep(30)
        os._exit(0)
    (folder / "held").touch()
    time.sleep(30)


@pytest.mark.parametrize("with_child", [False, True], ids=["alone", "with a worker"])
def test_another_process_is_refused_until_the_first_is_killed(tmp_path, with_child):
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path, with_child))
    process.start()
    while process.is_alive() and not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(
        InputError,
        match=rf"{tmp_path} is in use by another run \(process {process.pid} of .*; wait until it ends, or choose",
    ):
        claim_folder(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    claim_folder(tmp_path)


def test_the_same_process_may_claim_again(tmp_path):
    claim_folder(tmp_path)
    claim_folder(tmp_path / "." / ".." / tmp_path.name)


def test_a_second_copy_of_the_code_in_the_same_process_may_claim_too(tmp_path, monkeypatch):
    # MONAI Label unloads a bundle's code and loads it again
    claim_folder(tmp_path)
    monkeypatch.setattr(locks, "_held", {})
    claim_folder(tmp_path)


@pytest.mark.parametrize("number", ["ENOLCK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL"])
def test_a_file_system_without_locks_gets_a_warning(number, tmp_path, monkeypatch, caplog):
    def none(file, how):
        raise OSError(getattr(errno, number), "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    claim_folder(tmp_path)
    said = "this file system has no locks; make sure that no other process uses the folder of run.lock"
    assert caplog.messages == [said]
    monkeypatch.setattr(fcntl, "flock", lambda file, how: os.close(-1))
    with pytest.raises(InputError, match="cannot be written"):
        claim_folder(tmp_path / "other")


def test_the_lock_names_its_holder_alone(tmp_path):
    (tmp_path / "run.lock").write_text("process 123456789 of a machine with a long name, which is gone")
    claim_folder(tmp_path)
    assert (tmp_path / "run.lock").read_text() == f"process {os.getpid()} of {os.uname().nodename}"


def test_a_holder_that_has_not_yet_written_its_name(tmp_path):
    with open(tmp_path / "run.lock", "w") as file:
        assert locks.lock(file, wait=False)
        with pytest.raises(InputError, match=r"in use by another run \(another process\)"):
            claim_folder(tmp_path)
