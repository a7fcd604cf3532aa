"""The part of a DICOMweb server that MONAI Label uses: a list of series, and the files of a series."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pydicom

#: What the server answers about a series: study, series, modality, patient, date and time.
_ANSWERED = ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "PatientID", "StudyDate", "StudyTime")


class DicomwebServer:
    """Serves the DICOM files below a folder on a free port of this machine. A context manager.

    Args:
        folder: folder that contains the files.
    """

    def __init__(self, folder: Path) -> None:
        self.series: dict[str, list[Path]] = {}
        described = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            self.series.setdefault(str(header.SeriesInstanceUID), []).append(path)
            described[str(header.SeriesInstanceUID)] = {
                f"{header[name].tag:08X}": header[name].to_json_dict(None, 0) for name in _ANSWERED if name in header
            }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.series, described))
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> DicomwebServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(series: dict[str, list[Path]], described: dict[str, dict]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            last = url.path.rstrip("/").rpartition("/")[2]
            if last == "series":  # QIDO-RS
                asked = dict(parse_qsl(url.query))
                fits = [
                    entry
                    for entry in described.values()
                    if all(entry[key]["Value"] == [value] for key, value in _by_tag(asked).items() if key in entry)
                ]
                self._answer("application/dicom+json", json.dumps(fits).encode())
            elif last in series:  # WADO-RS
                parts = [
                    b"--part\r\nContent-Type: application/dicom\r\n\r\n" + file.read_bytes() + b"\r\n"
                    for file in series[last]
                ]
                kind = 'multipart/related; type="application/dicom"; boundary=part'
                self._answer(kind, b"".join(parts) + b"--part--\r\n")
            else:
                self.send_error(404)

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            pass

    return Handler


def _by_tag(asked: dict[str, str]) -> dict[str, str]:
    """The keys of a query are keywords or tags; other keys (limit, offset) are ignored."""
    keys = {f"{pydicom.datadict.tag_for_keyword(name):08X}": name for name in _ANSWERED}
    keywords = {name: key for key, name in keys.items()}
    return {keywords.get(key, key): value for key, value in asked.items() if key in keys or key in keywords}
