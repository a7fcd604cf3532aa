"""Test checksums of files."""

from __future__ import annotations

import hashlib

from planewise.files.checksum import sha256


def test_of_the_whole_content(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "large").write_bytes(bytes(3 * 2**20 + 1))
    assert sha256(tmp_path / "large") == hashlib.sha256(bytes(3 * 2**20 + 1)).hexdigest()
