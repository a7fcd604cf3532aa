"""Our own requirements: model card, scores, private paths, ONNX, code and checksums of a package, documented commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from monai.bundle import ConfigParser, onnx_export

from planewise.engines.overrides import config_files, unknown_overrides
from planewise.exams.words import did_you_mean
from planewise.own_names import OURS, own_code
from planewise.packaging import archive
from planewise.packaging.bundle import Bundle
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import Remark, need, reason
from planewise.packaging.checks.zoo import SAME
from planewise.packaging.documented_runs import documented_runs
from planewise.packaging.onnx_options import onnx_options
from planewise.packaging.source import foreign_imports

_SECTIONS = (
    "Authors", "Tags", "Model Description", "Data", "Performance", "System Configuration", "Limitations", "Citation",
)  # fmt: skip
_PERSONAL = re.compile(r"(?:/home/|/Users/|/root/|[A-Z]:\\)[\w.\\/-]*")


def model_card(candidate: Candidate) -> None:
    """docs/README.md has every section of a model card."""
    headings = re.findall(r"^#+ (.*)$", candidate.bundle.readme, re.M)
    missing = [section for section in _SECTIONS if section not in headings]
    need(not missing, f"docs/README.md has no section {', '.join(missing)}")


def scores(candidate: Candidate) -> str:
    """metadata.json contains measured scores."""
    found = candidate.bundle.metadata.get("eval_metrics") or {}
    numbers = [name for name, value in found.items() if isinstance(value, (int, float))]
    need(numbers, "eval_metrics in metadata.json holds no number, so the weights have no measured scores")
    return f"{len(numbers)}, measured on {found.get('measured_on', 'unknown data')}"


def no_absolute_paths(candidate: Candidate) -> None:
    """No file contains a path on somebody's machine."""
    bundle = candidate.bundle
    texts = {**bundle.texts, "metadata.json": Path(bundle.metadata_file).read_text(), "README.md": bundle.readme}
    found = [f"{name}: {match}" for name, text in texts.items() for match in _PERSONAL.findall(text)]
    need(not found, "; ".join(found[:3]))


def onnx(candidate: Candidate) -> str:
    """The documented export to ONNX, at the size of real images, reproduces the network's output for one image and for
    several.

    ONNX is optional, so a network with an operator that ONNX lacks gets only a warning.
    """
    absent = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if absent:
        raise Remark(f"not tried: it needs {' and '.join(absent)} (pip install {' '.join(absent)})")
    import onnx
    from onnxruntime import InferenceSession

    options, file = onnx_options(candidate.bundle, candidate.settings), str(candidate.scratch / "model.onnx")
    try:
        onnx_export(
            "network_def",
            file,
            use_trace=True,
            input_shape=options.input_shape,
            converter_kwargs=options.converter_kwargs,
            **candidate.export_options,
        )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise Remark(f"it cannot be exported: {reason(error)}") from None
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    # the shape that was traced, and shapes with other sizes along the axes of variable size
    shapes = [options.input_shape, [2 if axis == 0 else size for axis, size in enumerate(options.input_shape)]]
    if 4 in options.names["image"]:
        shapes += [[*shape[:4], shape[4] // 2 + 1] for shape in shapes]
    difference = 0.0
    for shape in shapes:
        image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = candidate.trained_network(image)
        (given,) = session.run(["pred"], {"image": image.numpy()})
        need(given.shape == expected.shape, f"for {shape} its output is {given.shape}, not {tuple(expected.shape)}")
        error = (torch.from_numpy(given) - expected).abs().max() / expected.abs().max()
        difference = max(difference, float(error))
    need(difference < SAME, f"its output differs from torch's by {difference:.2g} of the largest value")
    size, opset = "x".join(map(str, options.input_shape)), onnx.load(file).opset_import[0].version
    taken = " and ".join(options.names["image"].values())
    return (
        f"opset {opset}, {size} and other numbers of {taken}; differs from torch's output by at most {difference:.1g} "
        "of the largest value"
    )


def code(candidate: Candidate) -> str:
    """Neither the code of a packaged bundle nor its configs use modules of the installed package."""
    bundle = candidate.bundle
    files = sorted(own_code(bundle.folder).rglob("*.py"))
    imports = []
    for path in files:
        here = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        need(not any(map(_imports_ours, here)), f"{path.relative_to(bundle.folder)} imports {OURS}")
        imports += here
    for name, text in bundle.texts.items():
        lines = [
            line for line in text.splitlines() if not line.lstrip().startswith("#") and re.search(rf"\b{OURS}\.", line)
        ]
        need(not lines, f"{name} names {OURS}: {''.join(lines[:1]).strip()}")
    return f"{len(files)} files; imports {', '.join(sorted(foreign_imports(imports)))}"


def _imports_ours(node: ast.Import | ast.ImportFrom) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return any(name.partition(".")[0] == OURS for name in names)


def sums(candidate: Candidate) -> str:
    """The files of a packaged bundle are unchanged since it was packaged."""
    folder = candidate.bundle.folder
    need((folder / archive.SUMS).is_file(), f"there is no {archive.SUMS}")
    wrong = archive.wrong_sums(folder)
    need(not wrong, f"changed or missing since it was packaged: {', '.join(wrong[:5])}")
    return archive.SUMS


def documented_commands(candidate: Candidate) -> str:
    """Every override in the commands of docs/README.md is a setting of a config."""
    bundle = candidate.bundle
    runs = documented_runs(bundle.readme, bundle.name)
    if not runs:
        raise Remark("docs/README.md documents no `python -m monai.bundle run`")
    odd = [text for arguments in runs for text in _unknown(bundle, arguments)]
    if odd:
        raise Remark("; ".join(dict.fromkeys(odd)))
    return f"{len(runs)} runs"


def overrides(candidate: Candidate) -> str:
    """Every override that was given to `planewise check` is a setting of a config."""
    odd = _unknown(candidate.bundle, candidate.overrides)
    if odd:
        raise Remark("; ".join(odd))
    return "each is a setting"


def _unknown(bundle: Bundle, arguments: Sequence[str]) -> list[str]:
    """Messages about overrides that no config has, each with the nearest key. Without --config_file, any config counts."""
    named = [Path(file).name for file in config_files(arguments)]
    absent = [file for file in named if file not in bundle.texts]
    if absent:
        return [f"there is no configs/{file}" for file in absent]
    if named:
        unknown = unknown_overrides(
            arguments, ConfigParser.load_config_files([bundle.config_file(file) for file in named])
        )
    else:
        found = [unknown_overrides(arguments, bundle.config(file)) for file in bundle.texts]
        names = [name for name in found[0] if all(name in other for other in found)]
        unknown = {name: next((other[name] for other in found if other[name]), None) for name in names}
    return [f"no config has --{name}{did_you_mean(near and f'--{near}')}" for name, near in unknown.items()]
