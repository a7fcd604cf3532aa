"""A `python` that starts at once, forked from a process that has already imported what most commands here import.

``python -m monai.bundle run`` imports modules for five seconds before it does anything; a small test spends most of its
time on this. A process started with this `python` has its own arguments, folder, environment, input and output, and can
be interrupted and killed as usual. It is quick for a module (``-m``) and for code (``-c``), also after ``-u`` and
``-W ignore``, which have no effect here; everything else is passed to the usual `python`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types
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
    usual: str = sys.executable, imported: tuple[str, ...] = OF_BUNDLES + OF_PLANEWISE, hidden: str = ""
) -> str:
    """The path of such an executable, which works until this process ends; next to it is a ``planewise`` of the same kind.

    Args:
        usual: the Python that it replaces.
        imported: modules to import in advance.
        hidden: a package that cannot be imported, as if it were not installed.
    """
    folder = tempfile.TemporaryDirectory(prefix="quick")
    address = f"{folder.name}/socket"
    for name, module in (("python", []), ("planewise", ["-m", "planewise"])):
        executable = Path(folder.name) / name
        executable.write_text(_CLIENT.format(usual=usual, address=address, module=module))
        executable.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    server = subprocess.Popen(
        [usual, __file__, str(listener.fileno()), f"{folder.name}/python", hidden, *imported],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        pass_fds=[listener.fileno()],
    )

    def end() -> None:
        server.communicate()
        folder.cleanup()

    atexit.register(end)
    return f"{folder.name}/python"


def _serve(listener: socket.socket, executable: str, hidden: str, *imported: str) -> str:
    """Serve requests until standard input closes. It returns in each forked process, with ``sys.argv`` and so on set."""
    sys.path[0] = os.getcwd()
    if hidden:
        sys.modules[hidden] = None
    # before MONAI makes its own loader from it, as in tests/conftest.py
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for name in imported:
        importlib.import_module(name)
    sys.executable = executable
    # this process never waits for its children, so the system must remove those that have ended
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
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


if __name__ == "__main__":
    kind = _serve(socket.socket(fileno=int(sys.argv[1])), *sys.argv[2:])
    if kind == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        text, sys.argv[0] = sys.argv[0], "-c"
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(text, "<string>", "exec"), vars(sys.modules["__main__"]))
