"""Test salted hashes."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import typer
from planewise.errors import InputError
from planewise.files.identity import load_salt, salt_file

from tests.conftest import ROOT


def test_the_salt_is_made_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "new" / "salt"))
    assert load_salt() == load_salt()
    assert os.stat(tmp_path / "new" / "salt").st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["salt"]


def test_processes_that_start_together_agree(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "salt"))
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: load_salt(), range(16)))) == 1


def test_the_salt_lies_where_it_always_did(tmp_path, monkeypatch):
    """Another folder would mean another salt, and another hash for every exam. This was typer's folder for settings."""
    monkeypatch.delenv("PLANEWISE_SALT_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("unset", "settings"):
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        if variable != "unset":
            monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / variable))
        assert salt_file().parent == Path(typer.get_app_dir("planewise"))


def test_a_place_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "file" / "salt"))
    with pytest.raises(InputError, match="PLANEWISE_SALT_FILE"):
        load_salt()


@pytest.mark.parametrize("salt", ["", "123456789012345"])
def test_a_short_salt_hides_nothing(salt, tmp_path, monkeypatch):
    (tmp_path / "salt").write_text(salt)
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "salt"))
    with pytest.raises(InputError, match="too short"):
        load_salt()


def test_only_phantoms_have_a_known_salt(tmp_path, monkeypatch):
    (tmp_path / "all/phantoms/train/1").mkdir(parents=True)
    (tmp_path / "all/phantoms/phantom.json").write_text("{}")
    for people in (None, tmp_path / "all"):  # a folder of people and phantoms
        assert load_salt(people) == load_salt()
    # the user's file wins
    assert load_salt(tmp_path / "all/phantoms") == load_salt()
    monkeypatch.setenv("PLANEWISE_SALT_FILE", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path / "all")
    for phantoms in ("phantoms", tmp_path / "all/phantoms/train/1"):
        assert load_salt(phantoms) == b"phantoms need no secret"
    assert not (tmp_path / "settings").exists()
    assert load_salt(tmp_path / "all") == load_salt() != load_salt("phantoms")


@pytest.mark.parametrize("file", ["tools/Dockerfile", "tools/docs/packaging.md"])
def test_the_documented_container_keeps_the_salt(file):
    (command,) = re.findall(r"docker run .*", re.sub(r"\\\n[# ]*", "", (ROOT / file).read_text()))
    assert "--volume /data:/data --env PLANEWISE_SALT_FILE=/data/planewise_salt planewise plan" in command
