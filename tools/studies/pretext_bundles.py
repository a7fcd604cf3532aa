"""Which bundle a study's pretext is, and which configs of it the study's anatomy asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from planewise.exams.anatomies import ANATOMIES

#: Anatomies whose configs have another name than theirs.
_CONFIGS = {"volume": "3d"}


def bundle_of(pretext: str, pattern: str, bundles: Path, given: Mapping[str, str] | None = None) -> str:
    """The bundle of a pretext: the one that the study gives it, or the anatomy's own, ``pattern`` with the pretext's name in
    it, or one for every anatomy, or another anatomy's that a config turns to this one.

    Args:
        pretext: name, ``location`` or ``simclr``.
        pattern: the study's ``pretext_bundle``, ``pretext_knee_{pretext}``.
        bundles: folder of the bundles.
        given: the study's ``pretext_bundles``, pretext to bundle: a task with labels may be pretrained on too.

    Returns:
        ``pretext_knee_location``, but ``pretext_simclr``, which has no knee in its name, and
        ``pretext_cardiac_sax_position``, which has ``configs/knee.yaml``. A pretext that is nowhere (`pretexts_of`) has the
        anatomy's name.
    """
    if pretext in (given or {}):
        return given[pretext]
    own, anatomy = pattern.format(pretext=pretext), pattern.removeprefix("pretext_").partition("_{pretext}")[0]
    found = sorted(path.parents[1].name for path in bundles.glob(f"pretext_*_{pretext}/configs/{anatomy}.yaml"))
    turned = [name for name in found if "_" not in name.removeprefix("pretext_").removesuffix(f"_{pretext}")]
    return next((name for name in (own, f"pretext_{pretext}", *turned) if (bundles / name).is_dir()), own)


def pretexts_of(pattern: str, bundles: Path) -> list[str]:
    """Names of the pretexts that an anatomy has bundles of.

    Args:
        pattern, bundles: as of `bundle_of`.
    """
    found: dict[str, str] = {}
    for folder in bundles.glob("pretext_*"):
        words = folder.name.split("_")[1:]
        names = ("_".join(words[first:]) for first in range(len(words)) if words[first] not in ANATOMIES)
        if name := next((name for name in names if bundle_of(name, pattern, bundles) == folder.name), None):
            found[folder.name] = name
    return sorted(found.values())


def overlays_of(bundle: str, anatomy: str, overlay: str | None, bundles: Path) -> list[str]:
    """The configs that go on top of a bundle's own, in their order: the anatomy's, if it has one, then the study's.

    Args:
        bundle: name of the bundle.
        anatomy: the study's; ``knee`` asks for ``configs/knee.yaml``, ``volume`` for ``configs/3d.yaml``.
        overlay: the study's, ``demo.yaml`` or a path; a bundle that has one for the anatomy, ``knee_demo.yaml``, gives that.
        bundles: folder of the bundles.
    """
    configs, anatomy = bundles / bundle / "configs", _CONFIGS.get(anatomy, anatomy)
    found = [f"{anatomy}.yaml"] if (configs / f"{anatomy}.yaml").is_file() else []
    if overlay:
        found.append(f"{anatomy}_{overlay}" if (configs / f"{anatomy}_{overlay}").is_file() else overlay)
    return found
