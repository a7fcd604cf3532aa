"""A `python` that starts at once, forked from a process that has already imported what most commands here import. Tests use
it, and `tools/demo`.

``python -m monai.bundle run`` imports modules for five seconds before it does anything; a small test spends most of its
time on this. A process started with this `python` has its own arguments, folder, environment, input and output, and can
be interrupted and killed as usual. It is quick for a module (``-m``) and for code (``-c``), also after ``-u`` and
``-W ignore``, which have no effect here; everything else is passed to the usual `python`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import hashlib
import importlib
import importlib.util
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import types
import uuid
from pathlib import Path

import yaml

#: Modules that a bundle's run imports, including parts that load only when used.
OF_BUNDLES = (
    "ignite.engine", "itk", "matplotlib.backends.backend_agg", "monai.bundle", "monai.engines", "nibabel", "pydicom",
    "scipy.stats", "sklearn.ensemble", "torch._dynamo", "torch.distributed.launcher", "torch.utils.tensorboard",
)  # fmt: skip
OF_PLANEWISE = (
    *("planewise.commands", "planewise.engines", "planewise.metrics", "planewise.networks"),
    *(["snakemake.cli"] if importlib.util.find_spec("snakemake") else []),
)

#: The executable. The client sends its arguments and standard streams, passes signals on, and ends with the exit status of
#: the command.
_CLIENT = """#!{usual} -IS
import json, os, signal, socket, sys

arguments = {module} + sys.argv[1:]
while arguments[:1] == ["-u"] or arguments[:2] == ["-W", "ignore"]:
    arguments = arguments[1 if arguments[0] == "-u" else 2 :]
if arguments[:1] not in (["-m"], ["-c"]):
    os.execv({usual!r}, [{usual!r}, *sys.argv[1:]])
order = {{"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}}
order = json.dumps(order).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(order).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(order)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    code = int(server.recv(16) or 1)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@functools.cache
def quick_python(
    usual: str = sys.executable,
    imported: tuple[str, ...] = OF_BUNDLES + OF_PLANEWISE,
    hidden: str = "",
    owner: int | None = None,
) -> str:
    """The path of such an executable, which works until this process ends; next to it is a ``planewise`` of the same kind.

    The workers of a test run share it, so that the modules are imported only once.

    Args:
        usual: the Python that it replaces.
        imported: modules to import in advance.
        hidden: a package that cannot be imported, as if it were not installed.
        owner: the process with whose end it ends.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    owner = owner or (os.getppid() if run else os.getpid())
    run = run or uuid.uuid4().hex
    key = hashlib.sha256(repr((run, usual, imported, hidden, __file__)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"quick{key}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (folder / "socket").exists():
            _start(folder, owner, usual, imported, hidden)
    return str(folder / "python")


def _start(folder: Path, owner: int, usual: str, imported: tuple[str, ...], hidden: str) -> None:
    address = str(folder / "socket")
    for name, module in (("python", []), ("planewise", ["-m", "planewise"])):
        executable = folder / name
        executable.write_text(_CLIENT.format(usual=usual, address=address, module=module))
        executable.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(16)
        subprocess.Popen(
            [usual, __file__, str(listener.fileno()), str(owner), str(folder / "python"), hidden, *imported],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C reaches the clients, which pass it on
        )


def _serve(listener: socket.socket, owner: str, executable: str, hidden: str, *imported: str) -> str:
    """Serve requests until the owner's process ends. It returns in each forked process, with ``sys.argv`` and so on set."""
    ended = os.pidfd_open(int(owner))
    atexit.register(_end)  # the first to be registered is the last to be called
    sys.path[0] = os.getcwd()
    if hidden:
        sys.modules[hidden] = None
    # before MONAI makes its own loader from it, as in tests/conftest.py
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for name in imported:
        importlib.import_module(name)
    if "snakemake.cli" in imported:
        # this collects its plugins
        sys.modules["snakemake.cli"].get_argument_parser()
    sys.executable = executable
    # this process never waits for its children, so the system must remove those that have ended
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        ready, _, _ = select.select([listener, ended], [], [])
        if ended in ready:
            shutil.rmtree(Path(executable).parent)
            os._exit(0)
        asked, _ = listener.accept()
        if os.fork():
            asked.close()
            continue
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        length, streams, _, _ = socket.recv_fds(asked, 8, 3)
        order = json.loads(asked.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
        child = os.fork()
        if child:
            for stream in streams:
                os.close(stream)
            _wait(child, asked)
        asked.close()
        return _become(order, streams)


def _wait(child: int, asked: socket.socket) -> None:
    """Pass signals on to a process, kill it and its children if the client is gone, and report how it ended."""
    ended = os.pidfd_open(child)
    while ended not in select.select([ended, asked], [], [])[0]:
        number = asked.recv(1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number[0]) if number else os.killpg(child, signal.SIGKILL)
        if not number:
            break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        asked.send(str(code).encode())
    os._exit(0)


def _become(order: dict, streams: list[int]) -> str:
    """Returns how to run the command, ``-m`` or ``-c``."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    kind, *sys.argv = order["arguments"]
    sys.path[0] = order["folder"] if kind == "-m" else ""
    return kind


#: The exit status of the command, once it is known.
_status: list[int] = []


def _end() -> None:
    """End a command without taking all imported modules apart, which would take longer than most commands."""
    if _status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status[0])


def _run(kind: str) -> None:
    if kind == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        text, sys.argv[0] = sys.argv[0], "-c"
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(text, "<string>", "exec"), vars(sys.modules["__main__"]))


if __name__ == "__main__":
    if len(sys.argv) == 2:  # of a script, whose number this is
        os.pidfd_open(int(sys.argv[1]))  # not every system can watch a process
        print(quick_python(owner=int(sys.argv[1])))
        sys.exit()
    kind = _serve(socket.socket(fileno=int(sys.argv[1])), *sys.argv[2:])
    try:
        _run(kind)
        _status.append(0)
    except SystemExit as end:
        _status.append(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise
    except Exception:
        _status.append(1)
        raise
