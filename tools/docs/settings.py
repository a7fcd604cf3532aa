"""Write settings.md, the table of all settings: ``python -m tools.docs.settings > tools/docs/settings.md``."""

from __future__ import annotations

from planewise.engines.check_settings import SETTINGS

HEAD = """# Settings

All settings of the bundles' configs, from `tools/planewise/engines/settings.yaml`. A bundle's `configs/train.yaml`,
`evaluate.yaml` and `inference.yaml` have those that apply to it, with their values. A run refuses an unknown name and an
invalid value before it reads any image.

| setting | meaning | values |
|---|---|---|
"""


def table() -> str:
    """The page."""
    rows = [
        f"| `{name}` | {setting.text} | {setting.values} |".replace("[0, 1]", "\\[0, 1]")
        for name, setting in SETTINGS.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(table(), end="")
