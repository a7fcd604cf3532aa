"""A MONAI Label server with bundles in it, and the HTTP requests that a viewer sends to it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

#: Limits in seconds: to start a server with a cold disk cache, and to train for an epoch.
START, TRAIN = 180, 300


class LabelServer:
    """MONAI Label's bundle app on its own port. It is a context manager; leaving it ends the server.

    Args:
        environment: folder of a virtual environment that has MONAI Label.
        bundles: folders of packaged bundles. They are copied.
        studies: folder of images.
        work: empty folder for the app and the log.
    """

    def __init__(
        self,
        environment: Path,
        bundles: Iterable[Path],
        studies: Path,
        work: Path,
    ) -> None:
        self.app, self._log = work / "app", work / "server.log"
        app = environment / "monailabel" / "sample-apps" / "monaibundle"
        shutil.copytree(app, self.app, ignore=shutil.ignore_patterns("model"))
        names = []
        for bundle in bundles:
            shutil.copytree(bundle, self.app / "model" / bundle.name)
            names.append(bundle.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = {"models": ",".join(names), "zoo_source": "local", "sam2": "false"}
        self._command = [
            str(environment / "bin" / "monailabel"),
            "start_server",
            *("--app", str(self.app), "--studies", str(studies), "--host", "127.0.0.1", "--port", str(self.port)),
            *(part for name, value in options.items() for part in ("--conf", name, value)),
        ]
        path = f"{environment / 'bin'}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "PYTHONPATH": "", "HOME": str(work)}

    def __enter__(self) -> LabelServer:
        with self._log.open("ab") as log:
            # a session of its own, because the command is a script that starts another process
            self._server = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._log.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START
        while time.monotonic() < end and self._server.poll() is None:
            try:
                self.info = json.loads(self._call("info/")[1])
                return self
            except OSError:
                time.sleep(0.5)
        self.__exit__()
        raise AssertionError(f"MONAI Label did not start:\n{self.log}")

    def __exit__(self, *error: object) -> None:
        if self._server.poll() is None:
            os.killpg(self._server.pid, 15)
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, 9)
                self._server.wait()

    @property
    def log(self) -> str:
        """The end of the server's log."""
        return self._log.read_text(errors="replace")[-6000:]

    def bundle(self, name: str) -> Path:
        """The server's own copy of a bundle."""
        return self.app / "model" / name

    def labels(self, name: str, image: str, result: Path) -> Path:
        """Request labels for an image of the studies (by name) or on the server's disk (by path), and write them to a file.

        Raises:
            AssertionError: the server did not answer 200; with the end of its log.
        """
        result.write_bytes(self._infer(name, image, "image"))
        return result

    def findings(self, name: str, image: str, output: str = "json") -> dict[str, Any]:
        """The JSON that a viewer shows next to the labels. Raises like `labels`."""
        return json.loads(self._infer(name, image, output))

    def refusal(self, name: str, image: str) -> str:
        """The server's refusal of a request for labels.

        Raises:
            AssertionError: the server does not refuse, or gives no reason.
        """
        status, answer = self._ask(name, image, "image")
        assert status == 422, f"{status} {answer[:300]!r}\n{self.log}"
        return json.loads(answer)["detail"]

    def train(self, name: str, **request: Any) -> tuple[str, str]:
        """Train on the studies' labels; returns the final state, ``DONE`` or ``ERROR``, and the last line of the log."""
        order = {"device": "cpu", "max_epochs": 1, "val_split": 0.25, "multi_gpu": False, "tracking": "None", **request}
        status, answer = self._call(f"train/{name}", json.dumps(order).encode(), "application/json")
        assert status == 200, answer
        end = time.monotonic() + TRAIN
        while time.monotonic() < end:
            status, answer = self._call("train/")
            task = json.loads(answer) if status == 200 else {}
            if task.get("status") in ("DONE", "ERROR"):
                return task["status"], task["details"][-1]
            time.sleep(1)
        return "not ended", ""

    def _infer(self, name: str, image: str, output: str) -> bytes:
        status, answer = self._ask(name, image, output)
        assert status == 200, f"{status} {answer[:300]!r}\n{self.log}"
        return answer

    def _ask(self, name: str, image: str, output: str) -> tuple[int, bytes]:
        boundary = "part"
        # the name of a folder of DICOM files has no extension
        params = json.dumps({"device": "cpu", "result_extension": ".nii.gz"})
        form = f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n\r\n{params}\r\n--{boundary}--\r\n'
        where = f"infer/{name}?image={quote(image, safe='')}&output={output}"
        return self._call(where, form.encode(), f"multipart/form-data; boundary={boundary}")

    def _call(self, where: str, data: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{where}", data, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()
