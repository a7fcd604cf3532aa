"""A loopback server that speaks as much of the Hugging Face Hub as `upload_folder` and `snapshot_download` need."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COMMIT = "0" * 39 + "1"


@contextmanager
def hub_server(files: dict[str, bytes]) -> Iterator[str]:
    """Serve a repository ``user/hearts`` with these files, to which uploads are added; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, content: Any, status: int = 200, **headers: str) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            place = unquote(self.path.partition("?")[0])
            if place.startswith("/api/models/user/hearts/revision/"):
                siblings = [{"rfilename": name} for name in files]
                self.answer({"id": "user/hearts", "sha": COMMIT, "siblings": siblings})
            elif place.startswith("/api/models/user/hearts/tree/"):
                self.answer(
                    [{"type": "file", "path": name, "size": len(each), "oid": ""} for name, each in files.items()]
                )
            elif place.startswith("/user/hearts/resolve/") and (name := place.split("/", 5)[5]) in files:
                etag = hashlib.sha1(files[name]).hexdigest()
                self.answer(files[name], ETag=f'"{etag}"', X_Repo_Commit=COMMIT)
            else:
                self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/preupload/main"):
                asked = json.loads(body)["files"]
                modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in asked]
                self.answer({"files": modes})
            elif self.path.endswith("/commit/main"):
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                url = f"http://{self.headers['Host']}/user/hearts/commit/{COMMIT}"
                self.answer({"success": True, "commitOid": COMMIT, "commitUrl": url})
            else:
                self.answer({"errors": [], "warnings": []})  # the check of the model card

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
