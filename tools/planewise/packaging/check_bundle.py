"""What of a bundle would fail in the Model Zoo or in MONAI Label, by MONAI's own verifiers where there are any."""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, onnx_export, verify_net_in_out
from monai.transforms import Compose, LoadImaged, SaveImaged
from torch import nn

from planewise.engines.overrides import unknown_overrides
from planewise.errors import InputError
from planewise.networks import read_weights, weights_path
from planewise.packaging import archive
from planewise.packaging.bundle import Bundle, check_metadata, without_noise
from planewise.packaging.model_card import FROM_REPOSITORY
from planewise.packaging.overrides import config_files, documented_runs
from planewise.packaging.run_record import Run
from planewise.packaging.settings import settings_of
from planewise.packaging.source import OURS, THEIRS, foreign_imports
from planewise.packaging.weights import check_weights

Status = Literal["ok", "warning", "FAIL"]
#: Who would stumble: the Model Zoo's checks, its unit test of each bundle, MONAI Label, or we alone.
Tier = Literal["zoo", "unit", "label", "ours"]

FILES = (
    "LICENSE",
    "configs/train.yaml",
    "configs/evaluate.yaml",
    "configs/inference.yaml",
    "configs/logging.conf",
    "docs/README.md",
    "docs/data_license.txt",
)
_SECTIONS = (
    "Authors", "Tags", "Model Description", "Data", "Performance", "System Configuration", "Limitations", "Citation",
)  # fmt: skip
_PERSONAL = re.compile(r"(?:/home/|/Users/|/root/|[A-Z]:\\)[\w.\\/-]*")
#: What MONAI Label overrides in the train config before it starts a training.
_LABEL_TRAINS = (
    "run",
    "device",
    "train#trainer#max_epochs",
    "train#dataset#data",
    "validate#dataset#data",
    "train#handlers",
)
_LABEL_INFERS = ("network_def", "preprocessing", "inferer", "postprocessing", "device")
#: `n` in the formulas of metadata's shapes.
_SIZES = (1, 3)
#: By how much what an exported network gives may differ.
_SAME = 1e-4
#: Of the images that MONAI Label's inference is tried on: a stack, and one slice alone.
_IMAGES = ((40, 36, 3), (40, 36))


@dataclass(frozen=True)
class Finding:
    """One line of a check."""

    status: Status
    name: str
    detail: str = ""
    tier: Tier = "ours"


class _Warning(Exception):
    """What a person should know, and what fails nowhere."""


def check_bundle(
    folder: str | Path, weights: str | Path | None = None, overrides: Sequence[str] = ()
) -> Iterator[Finding]:
    """Check a bundle, in the repository or packaged; nothing in it is changed, and no network is used.

    Args:
        folder: of the bundle.
        weights: a checkpoint, or a run's or bundle's folder; the bundle's own unless given.
        overrides: as on the command line of ``python -m monai.bundle run``; those that no config takes are warned of.

    Yields:
        Each finding as soon as it is known.

    Raises:
        InputError: the folder is no bundle.
    """
    bundle = Bundle(folder)
    checks: list[tuple[Tier, str, Callable[[], str | None]]] = [
        ("zoo", "files", lambda: _files(bundle)),
        ("ours", "model card", lambda: _model_card(bundle)),
        ("zoo", "metadata", lambda: _metadata(bundle)),
        ("zoo", "versions", lambda: _versions(bundle)),
        ("zoo", "required packages", lambda: _requirements(bundle)),
        ("ours", "scores", lambda: _scores(bundle)),
        ("label", "channels", lambda: _channels(bundle)),
        ("label", "configs stand alone", lambda: _stand_alone(bundle)),
        ("ours", "no absolute paths", lambda: _no_paths(bundle)),
        ("label", "handlers", lambda: _handlers(bundle)),
        *(
            ("unit", f"names in {' + '.join(files)}", partial(_names, bundle, files, kind))
            for files, kind in _workflows(bundle)
        ),
        ("label", "names that MONAI Label sets", lambda: _label_names(bundle)),
        ("zoo", "network in inference.yaml", lambda: _network(bundle, "inference.yaml")),
        ("ours", "network in train.yaml", lambda: _network(bundle, "train.yaml")),
        ("zoo", "weights", lambda: _weights(bundle, weights)),
        ("zoo", "TorchScript", lambda: _torchscript(bundle, weights)),
        ("ours", "ONNX", lambda: _onnx(bundle, weights)),
        ("label", "MONAI Label inference", lambda: _label_inference(bundle)),
        *(
            [("ours", "code", lambda: _code(bundle)), ("ours", "sums", lambda: _sums(bundle))]
            if bundle.is_packaged
            else []
        ),
        ("ours", "documented commands", lambda: _documented(bundle)),
        *([("ours", "overrides", lambda: _overrides(bundle, overrides))] if overrides else []),
    ]
    for tier, name, check in checks:
        yield replace(_finding(bundle, name, check), tier=tier)


def _finding(bundle: Bundle, name: str, check: Callable[[], str | None]) -> Finding:
    try:
        with without_noise(), bundle.importable():
            return Finding("ok", name, check() or "")
    except _Warning as warning:
        return Finding("warning", name, str(warning))
    except Exception as error:  # whatever a config can raise is a finding
        return Finding("FAIL", name, _reason(error))


def _reason(error: BaseException) -> str:
    """The innermost message, in a line: MONAI wraps what a config raises."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, (InputError, AssertionError)) else f"{type(error).__name__}: {text}"


def _need(condition: Any, text: str) -> None:
    if not condition:
        raise InputError(text)


# files and words


def _files(bundle: Bundle) -> str | None:
    missing = [file for file in FILES if not (bundle.folder / file).is_file()]
    _need(not missing, f"missing: {', '.join(missing)}")
    configs = bundle.folder / "configs"
    short = [path.name for path in configs.glob("*.yml")]
    _need(not short, f"{', '.join(short)}: MONAI Label opens .yaml alone")
    twins = [name for name in bundle.texts if (configs / name).with_suffix(".json").exists()]
    _need(not twins, f"{', '.join(twins)} also as .json: the zoo would take one and MONAI Label the other")
    large = [name for name in archive.files_of(bundle.folder) if _is_large(bundle, name)]
    if large:
        raise _Warning(
            f"over 25 MB: {', '.join(large)}; the zoo wants them elsewhere (`{OURS} package --zoo --url URL`)"
        )
    if "multi_gpu_train.yaml" not in bundle.texts:
        raise _Warning("there is no configs/multi_gpu_train.yaml")
    return None


def _is_large(bundle: Bundle, name: str) -> bool:
    # a run in the bundle's own folder is no part of it
    run = name.startswith(("eval/", "runs/", "logs/")) or name.endswith("last.ckpt")
    return not run and (bundle.folder / name).stat().st_size > archive.LARGEST


def _model_card(bundle: Bundle) -> None:
    headings = re.findall(r"^#+ (.*)$", bundle.readme, re.M)
    missing = [section for section in _SECTIONS if section not in headings]
    _need(not missing, f"docs/README.md has no section {', '.join(missing)}")


def _metadata(bundle: Bundle) -> str:
    check_metadata(bundle)
    return f"version {bundle.metadata['version']}"


def _versions(bundle: Bundle) -> None:
    """The zoo installs ``name==version`` for each, and of MONAI what is older than the next patch."""
    versions = {key: bundle.metadata[key] for key in ("monai_version", "pytorch_version", "numpy_version")}
    odd = [f"{key} {value}" for key, value in versions.items() if not re.fullmatch(r"\d+(\.\d+)*", str(value))]
    required = bundle.metadata["required_packages_version"]
    odd += [f"{name} {value}" for name, value in required.items() if not re.fullmatch(r"[0-9][\w.!]*", str(value))]
    _need(not odd, f"not plain versions: {', '.join(odd)}")


def _requirements(bundle: Bundle) -> None:
    missing = bundle.requirements()
    text = ", ".join(f"{name} {version}" for name, version in missing.items())
    if missing and not bundle.is_packaged:
        raise _Warning(f"metadata.json does not name {text}; `{OURS} package` adds them")
    _need(not missing, f"metadata.json does not name {text}")


def _scores(bundle: Bundle) -> str:
    scores = bundle.metadata.get("eval_metrics") or {}
    numbers = [name for name, value in scores.items() if isinstance(value, (int, float))]
    _need(numbers, "eval_metrics in metadata.json holds no number: nobody measured it")
    return f"{len(numbers)}, measured on {scores.get('measured_on', 'what is not said')}"


def _channels(bundle: Bundle) -> str:
    form = bundle.metadata["network_data_format"]
    first = next(iter(form["inputs"])), next(iter(form["outputs"]))
    _need(first == ("image", "pred"), f"the first input and output are {first[0]} and {first[1]}, not image and pred")
    named = form["outputs"]["pred"].get("channel_def", {})
    names = [str(name).lower() for name in named.values()]
    _need(all(str(key).isdigit() for key in named), "channel_def has keys that are no numbers")
    _need(len(set(names)) == len(names), "channel_def: MONAI Label takes names in lower case, where two are the same")
    return ", ".join(names)


# configs


def _stand_alone(bundle: Bundle) -> None:
    for file in ("train.yaml", "inference.yaml"):
        text = re.sub(r"(^|\s)#.*", "", bundle.texts.get(file, ""))
        # a percent sign that begins a value is a macro; one in a string is not
        _need(not re.search(r"""[:\-,\[]\s+["']?%""", text), f"{file} includes another (%): MONAI Label opens it alone")
        _need(
            not re.search(r"@_meta_|__meta__", text), f"{file} refers to metadata.json, which MONAI Label does not read"
        )


def _no_paths(bundle: Bundle) -> None:
    texts = {**bundle.texts, "metadata.json": Path(bundle.metadata_file).read_text(), "README.md": bundle.readme}
    found = [f"{name}: {match}" for name, text in texts.items() for match in _PERSONAL.findall(text)]
    _need(not found, "; ".join(found[:3]))


def _handlers(bundle: Bundle) -> None:
    for file, places in (("train.yaml", ("train", "validate")), ("inference.yaml", ("",))):
        for place in places:
            config = bundle.config(file).get(place, {}) if place else bundle.config(file)
            handlers = config.get("handlers", [])
            _need(isinstance(handlers, list), f"{file}: {place} handlers are not a list")
            odd = [entry for entry in handlers if not isinstance(entry, Mapping) or "_target_" not in entry]
            _need(not odd, f"{file}: {place} handlers hold what is no dictionary with _target_")
            loaders = [
                entry for entry in handlers if isinstance(entry, Mapping) and entry["_target_"] == "CheckpointLoader"
            ]
            _need(
                all("map_location" in entry for entry in loaders),
                f"{file}: a CheckpointLoader without map_location needs the device that its weights were trained on",
            )


def _workflows(bundle: Bundle) -> list[tuple[list[str], str]]:
    overlays = ("evaluate.yaml", "multi_gpu_train.yaml", "demo.yaml")
    pairs = [
        (["train.yaml"], "train"),
        *((["train.yaml", file], "train") for file in overlays),
        (["inference.yaml"], "infer"),
    ]
    return [pair for pair in pairs if all(file in bundle.texts for file in pair[0])]


def _names(bundle: Bundle, files: list[str], kind: str) -> str:
    paths = [bundle.config_file(file) for file in files]
    workflow = ConfigWorkflow(paths, bundle.metadata_file, logging_file=False, workflow_type=kind)
    workflow.parser.parse(True)  # as initialize does, without building anything
    properties = workflow.properties.items()
    missing = [entry["id"] for _, entry in properties if entry["required"] and entry["id"] not in workflow.parser]
    _need(not missing, f"missing: {', '.join(missing)}")
    wrong = []
    for name, entry in properties:
        try:
            fits = entry["required"] or workflow._check_optional_id(name=name, property=entry)
        except AttributeError:  # MONAI takes it for text
            fits = False
        if not fits:
            wrong.append(f"{entry['refer_id']} must be '@{entry['id']}' or an expression")
    _need(not wrong, "; ".join(wrong))
    return f"{len(properties)} names"


def _label_names(bundle: Bundle) -> None:
    for file, ids in (("inference.yaml", _LABEL_INFERS), ("train.yaml", _LABEL_TRAINS)):
        parser = ConfigParser(bundle.config(file))
        missing = [name for name in ids if name not in parser]
        if missing and not _takes_images(bundle):
            raise _Warning(
                f"{file} lacks {', '.join(missing)}; the network takes no image, MONAI Label cannot run it anyway"
            )
        _need(not missing, f"{file} lacks {', '.join(missing)}")


def _takes_images(bundle: Bundle) -> bool:
    return bundle.metadata["network_data_format"]["inputs"]["image"]["type"] == "image"


# the network


def _network(bundle: Bundle, file: str) -> str:
    for size in _SIZES:
        verify_net_in_out(
            "network_def",
            bundle.metadata_file,
            bundle.config_file(file),
            device="cpu",
            n=size,
            bundle_root=str(bundle.folder),
        )
    return f"at n = {' and '.join(map(str, _SIZES))}"


def _weights_file(bundle: Bundle, weights: str | Path | None) -> Path | None:
    if weights is not None:
        return Path(weights_path(weights))
    return bundle.weights if bundle.weights.is_file() else None


def _settings(bundle: Bundle, file: Path | None) -> dict[str, Any]:
    """What of the inference config the run that made the weights had otherwise, as the packager would write it."""
    run = Run.of_weights(file) if file and not bundle.is_packaged else None
    if run is None:
        return {}
    return settings_of(run, bundle.config("train.yaml"), bundle.config("inference.yaml"))["inference.yaml"]


def _weights(bundle: Bundle, weights: str | Path | None) -> str:
    file = _weights_file(bundle, weights)
    if file is None:
        large = bundle.folder / archive.LARGE
        if large.is_file() and "models/model.pt" in large.read_text():
            return f"named in {archive.LARGE}"
        if bundle.is_packaged:
            raise InputError(f"there is neither models/model.pt nor {archive.LARGE} that names it")
        raise _Warning("there are none here; name a run's with --weights")
    content = read_weights(file)
    settings = _settings(bundle, file)
    check_weights(content, bundle.network(settings), file.name if weights is None else str(weights))
    if bundle.is_packaged:
        # no map_location: they must not ask for a device
        stored = torch.load(file, weights_only=True)
        elsewhere = {str(value.device) for value in stored.values()} - {"cpu"}
        _need(not elsewhere, f"they are stored on {', '.join(elsewhere)}")
    as_trained = f", with {', '.join(settings)} as the run had them" if settings else ""
    return f"{sum(value.numel() for value in content.values()):,} values{as_trained}"


def _torchscript(bundle: Bundle, weights: str | Path | None) -> str:
    with _exportable(bundle, weights) as (network, options, folder):
        ckpt_export("network_def", filepath=str(folder / "model.ts"), **options)
        script = torch.jit.load(folder / "model.ts")
        image = _example(bundle)
        with torch.no_grad():
            difference = float((script(image) - network(image)).abs().max())
    _need(difference < _SAME, f"its output differs by {difference:.2g}")
    return f"output within {difference:.1g}"


def _onnx(bundle: Bundle, weights: str | Path | None) -> str:
    """No one demands it, so that a network with an operator that ONNX lacks is warned of."""
    if find_spec("onnx") is None:
        raise _Warning("not tried: it needs the package onnx (pip install onnx)")
    import onnx
    from onnx.reference import ReferenceEvaluator

    with _exportable(bundle, weights) as (network, options, folder):
        image, file = _example(bundle), str(folder / "model.onnx")
        try:
            # torch's other exporter needs onnxscript too, and ten times as long
            onnx_export(
                "network_def",
                file,
                use_trace=True,
                input_shape=list(image.shape),
                converter_kwargs={"dynamo": False},
                **options,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise _Warning(f"it cannot be exported: {_reason(error)}") from None
        model = onnx.load(file)
        (given,) = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: image.numpy()})
        with torch.no_grad():
            difference = float((torch.from_numpy(given) - network(image)).abs().max())
    _need(difference < _SAME, f"its output differs by {difference:.2g}")
    return f"opset {model.opset_import[0].version}, output within {difference:.1g}"


@contextmanager
def _exportable(bundle: Bundle, weights: str | Path | None) -> Iterator[tuple[nn.Module, dict[str, Any], Path]]:
    """The network with its weights, what MONAI's exporters are to be told, and a folder that goes away."""
    file = _weights_file(bundle, weights)
    settings = _settings(bundle, file)
    network = bundle.network(settings).eval()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "model.pt"
        torch.save(read_weights(file) if file else network.state_dict(), checkpoint)
        network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
        options = {
            "ckpt_file": str(checkpoint),
            "meta_file": bundle.metadata_file,
            "config_file": bundle.config_file("inference.yaml"),
            "bundle_root": str(bundle.folder),
            **settings,
        }
        yield network, options, Path(folder)


def _example(bundle: Bundle) -> torch.Tensor:
    """A batch of two as metadata.json describes it, at n = 2."""
    image = bundle.metadata["network_data_format"]["inputs"]["image"]
    sizes = [eval(str(size), {"__builtins__": {}}, {"n": 2, "p": 1}) for size in image["spatial_shape"]]
    return torch.rand(2, image["num_channels"], *sizes)


def _label_inference(bundle: Bundle) -> str:
    """Transforms, network and inferer in MONAI Label's order, on a volume of its own; without its server."""
    config = bundle.config("inference.yaml")
    if not _takes_images(bundle):
        raise _Warning("the network takes no image: MONAI Label cannot run it")
    parser = ConfigParser(config | {"device": "cpu", "bundle_root": str(bundle.folder)})
    network, inferer = (parser.get_parsed_content(key) for key in ("network_def", "inferer"))
    before, after = (_transforms(parser.get_parsed_content(key)) for key in ("preprocessing", "postprocessing"))
    _need(
        any(isinstance(step, LoadImaged) for step in before),
        "preprocessing has no LoadImaged: MONAI Label gives a path",
    )
    for shape in _IMAGES:
        _infer_like_label(bundle, before, inferer, network, after, shape)
    return "from a stack and from a slice"


def _infer_like_label(
    bundle: Bundle, before: Sequence, inferer: Callable, network: nn.Module, after: Sequence, shape: tuple[int, ...]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "image.nii.gz")
        affine = np.diag([1.7, 1.5, 8.0, 1.0])
        affine[:3, 3] = 5, -4, 3
        nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random(shape, np.float32), affine), path)
        item: dict[str, Any] = {
            "image": path,
            "image_path": path,
            "model": bundle.name,
            "device": "cpu",
            "description": "",
        }
        try:
            for step in before:
                if isinstance(step, LoadImaged):
                    step._loader.image_only = False  # as MONAI Label sets it
                item = step(item)
            with torch.no_grad():
                item["pred"] = inferer(item["image"][None], network.eval())[0]
            for step in (step for step in after if not isinstance(step, SaveImaged)):
                item = step(item)
        except Exception as error:
            raise InputError(f"an image of shape {shape}: {_reason(error)}") from None
    prediction = item["pred"]
    _need("image_path" in item, "image_path is gone after the transforms: MONAI Label's writer needs it")
    if "classification" in bundle.name:
        return
    _need(prediction.shape[0] == 1, f"{prediction.shape[0]} channels are left; MONAI Label writes one (argmax)")
    given = tuple(int(size) for size in item["image"].meta["spatial_shape"])
    _need(
        tuple(prediction.shape[1:]) == given[: prediction.ndim - 1],
        f"the result has shape {tuple(prediction.shape[1:])}, the image {given}: postprocessing lacks Invertd",
    )


def _transforms(steps: Any) -> list[Callable]:
    return list(steps.transforms) if isinstance(steps, Compose) else list(steps if isinstance(steps, list) else [steps])


# what was packaged


def _code(bundle: Bundle) -> str:
    """``scripts/`` needs nothing of ours, and the configs name nothing of ours."""
    files = sorted((bundle.folder / THEIRS).rglob("*.py"))
    for path in files:
        tree = ast.parse(path.read_text())
        ours = [
            node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) and _imports_ours(node)
        ]
        _need(not ours, f"{path.relative_to(bundle.folder)} imports {OURS}")
    for name, text in bundle.texts.items():
        lines = [
            line for line in text.splitlines() if not line.lstrip().startswith("#") and re.search(rf"\b{OURS}\.", line)
        ]
        _need(not lines, f"{name} names {OURS}: {''.join(lines[:1]).strip()}")
    return f"{len(files)} files; imports {', '.join(sorted(foreign_imports(ast.parse(path.read_text()) for path in files)))}"


def _imports_ours(node: ast.Import | ast.ImportFrom) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return any(name.partition(".")[0] == OURS for name in names)


def _sums(bundle: Bundle) -> str:
    _need((bundle.folder / archive.SUMS).is_file(), f"there is no {archive.SUMS}")
    wrong = archive.wrong_sums(bundle.folder)
    _need(not wrong, f"changed or missing since it was packaged: {', '.join(wrong[:5])}")
    return archive.SUMS


# command lines


def _documented(bundle: Bundle) -> str:
    # what follows in a packaged one needs the repository
    runs = documented_runs(bundle.readme.partition(FROM_REPOSITORY)[0])
    if not runs:
        raise _Warning("docs/README.md documents no `python -m monai.bundle run`")
    odd = [text for arguments in runs for text in _unknown(bundle, arguments)]
    if odd:
        raise _Warning("; ".join(dict.fromkeys(odd)))
    return f"{len(runs)} runs"


def _overrides(bundle: Bundle, arguments: Sequence[str]) -> str:
    odd = _unknown(bundle, arguments)
    if odd:
        raise _Warning("; ".join(odd))
    return "each is a setting"


def _unknown(bundle: Bundle, arguments: Sequence[str]) -> list[str]:
    """Overrides that lead nowhere, each with the nearest that does; a command without --config_file may mean any config."""
    named = config_files(arguments)
    absent = [file for file in named if file not in bundle.texts]
    if absent:
        return [f"there is no configs/{file}" for file in absent]
    if named:
        unknown = unknown_overrides(
            arguments, ConfigParser.load_config_files([bundle.config_file(file) for file in named])
        )
    else:
        found = [unknown_overrides(arguments, bundle.config(file)) for file in bundle.texts]
        unknown = {name: near for name, near in found[0].items() if all(name in other for other in found)}
    return [f"no config takes --{name}{f' (did you mean --{near}?)' if near else ''}" for name, near in unknown.items()]
