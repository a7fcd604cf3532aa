from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time

import filelock
import pytest
from planewise.errors import InputError
from planewise.files import atomic_write
from planewise.files.atomic_write import claim_folder


def hold(folder, child: bool) -> None:
    claim_folder(folder)
    if child and not os.fork():
        time.sleep(30)
        os._exit(0)
    (folder / "held").touch()
    time.sleep(30)


#: Earlier versions keep a lock until the last forked worker of its process ends.
KEPT_BY_WORKERS = pytest.mark.skipif(filelock.__version__ < "4", reason="an earlier filelock")


@pytest.mark.parametrize(
    "with_child", [False, pytest.param(True, marks=KEPT_BY_WORKERS)], ids=["alone", "with a worker"]
)
def test_another_process_is_refused_until_the_first_is_killed(tmp_path, with_child):
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path, with_child))
    process.start()
    while process.is_alive() and not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(InputError, match="in use"):
        claim_folder(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    claim_folder(tmp_path)


def test_the_same_process_may_claim_again(tmp_path):
    claim_folder(tmp_path)
    claim_folder(tmp_path / "." / ".." / tmp_path.name)
    # MONAI Label unloads a bundle's code and loads it again
    importlib.reload(atomic_write).claim_folder(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        claim_folder(tmp_path / "file/run")
