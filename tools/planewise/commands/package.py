"""`planewise package`: write a bundle as a folder and a zip that work without an installed planewise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from planewise.commands.terminal import literal, refusals, say


def package(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle: bundles/NAME.")],
    weights: Annotated[
        Path | None, typer.Option(help="A run's folder, or a checkpoint. Default: the bundle's own models/model.pt.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME/ and NAME.zip.")] = Path("dist"),
    data: Annotated[
        str | None, typer.Option(help="Description of the training and test data, instead of the run's own.")
    ] = None,
    zoo: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Move files over 25 MB out of the bundle, for upload to this folder on the web; large_files.yml lists them.",
        ),
    ] = None,
    hub: Annotated[bool, typer.Option("--hub", help="Also write DIST/hub/NAME/ for the Hugging Face Hub.")] = False,
) -> None:
    """Write DIST/NAME/ and DIST/NAME.zip: configs, code, weights, licence, model card and SHA-256 sums.

    If the weights come from a run's folder, the run's settings (features, spacing, views, ...) are written to the
    configs, and its scores, data, seed, configuration and commit to docs/README.md. Evaluate the run first.

    The same input gives identical bytes. The command refuses weights that do not fit, runs of another bundle, scores
    that were never measured, and metadata that fails its schema.

    Example: planewise package bundles/pretext_cardiac_multitask --weights work/multitask -o dist
    """
    console = Console()
    with refusals("package"):
        from planewise.workshop.packaging import package_bundle  # imported late, so that --help does not wait for MONAI

        done = package_bundle(bundle, weights, output, data=data, zoo_url=zoo, say=lambda line: say(console, line))
        if hub:
            from planewise.workshop.packaging.hub import write_hub_folder

            say(console, f"Upload with huggingface_hub.upload_folder: {write_hub_folder(done.folder)}")
    size = done.zip.stat().st_size / 1e6
    console.print(f"Wrote {literal(str(done.folder))} and {literal(done.zip.name)} ({size:.1f} MB).", soft_wrap=True)
    if done.large:
        console.print(f"Upload to {literal(str(zoo))}: the files in {literal(str(done.large))}.", soft_wrap=True)
