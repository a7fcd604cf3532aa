"""MkDocs hooks that build the site's pages: files of the repository, the bundles, and the reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from inspect import ismodule
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CITATION.cff", ".github/C*.md", "tools/docs/**/*.md", "bundles/*/docs/README.md")
SHOWN = ("tools/docs/**/*.png", "tools/docs/**/*.ipynb", "bundles/*/docs/*.png")
#: Rooms of the package with their own reference page; the package's four functions are on the page of `planewise`.
ROOMS = ("augmentation", "data", "engines", "evaluation", "exams", "geometry", "losses", "metrics", "networks")
ROOMS = (*ROOMS, "preprocessing", "pretexts")


def address(path: str) -> str:
    """The path on the site of a file in the repository: ``tools/docs/studies.md`` becomes ``studies.md``."""
    path = path.removeprefix("tools/docs/").removeprefix(".github/")
    return (
        path.replace("/docs/README.md", ".md").replace("CONTRIBUTING", "contributing").replace("CHANGELOG", "changes")
    )


def reference(room: str) -> str:
    """The reference page of a room: its docstring and everything that it exports."""
    name = f"planewise.{room}" if room else "planewise"
    module = import_module(name)
    # the page keeps this order: classes and functions before constants
    public = [member for member, value in vars(module).items() if member[0].isalpha() and not ismodule(value)]
    names = sorted(
        getattr(module, "__all__", public), key=lambda member: (not callable(getattr(module, member)), member)
    )
    members = "".join(f"        - {member}\n" for member in names)
    return f"# {name}\n\n::: {name}\n    options:\n      show_root_heading: false\n      members:\n{members}"


def bundles() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and metadata of each bundle, sorted by name."""
    for file in sorted(ROOT.glob("bundles/*/configs/metadata.json")):
        yield file.parents[1].name, json.loads(file.read_text())


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages of the bundles and of the reference to the navigation."""
    parts = {next(iter(part)): part for part in config.nav}
    groups: dict[str, list[dict[str, str]]] = {}
    for name, meta in sorted(bundles(), key=lambda bundle: bundle[0].startswith("downstream_")):
        title = meta["name"].partition(": ")[2] or meta["name"]
        group = groups.setdefault(meta["planewise"]["group"].capitalize(), [])
        group.append({f"{title[:1].upper()}{title[1:]}": f"bundles/{name}/docs/README.md"})
    parts["Bundles"]["Bundles"] += [{group: pages} for group, pages in groups.items()]
    rooms = {f"planewise.{room}".rstrip("."): f"reference/{room or 'planewise'}.md" for room in ("", *ROOMS)}
    parts["Python"]["Python"] += [{name: page} for name, page in rooms.items()]
    return config


@event_priority(100)  # must run before the plugin that reads notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of the docs folder by files of the repository."""
    found = [file for file in files if file.src_dir != config.docs_dir]  # files of the theme
    for pattern in (*PAGES, *SHOWN):
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            found.append(File(name, str(ROOT), config.site_dir, True, inclusion=InclusionLevel.INCLUDED))
            placed = File(address(name), str(ROOT), config.site_dir, True)
            found[-1].dest_uri, found[-1].url = placed.dest_uri, placed.url
    for room in ("", *ROOMS):
        found.append(File.generated(config, f"reference/{room or 'planewise'}.md", content=reference(room)))
    return Files(found)
