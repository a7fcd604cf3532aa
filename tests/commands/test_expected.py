"""Compare the options of all commands, with their defaults, with a stored list."""

from __future__ import annotations

from typing import Any

from planewise.commands import app
from typer.main import get_command


def test_options_and_their_defaults(assert_expected):
    lines: list[str] = []

    def describe(name: str, command: Any) -> None:
        for part, sub in getattr(command, "commands", {}).items():
            describe(f"{name} {part}", sub)
        for option in command.params if not hasattr(command, "commands") else ():
            required = ", required" if option.required else ""
            names = "/".join([*option.opts, *option.secondary_opts])
            lines.append(f"{name} {names}: default {option.default}{required}")

    describe("planewise", get_command(app))
    assert_expected("options.txt", "\n".join(lines))
