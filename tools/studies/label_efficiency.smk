# Label efficiency (Zhang 2024, Tables 2 to 5): pretexts x label counts x draws -> tables and figures.
#
#   snakemake -s tools/studies/label_efficiency.smk --configfile tools/studies/configs/heart.yaml --cores 2
#
# The settings of the configuration: tools/docs/studies.md, "All settings" and "What is compared".
#
# Every job is one `python -m monai.bundle run`. A rule declares only the metrics.json that its job writes last: Snakemake
# deletes the declared outputs of a job that was interrupted, and the checkpoints must stay, so that the job resumes from
# its last epoch. Several GPUs, a cluster and what a study costs: tools/docs/studies.md.
import json
import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import yaml

# the same loader in C, before MONAI's is made from it: the checks below read the configs of every bundle again and again
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
from methods import PREDICTED, REFERENCE, found_overlay, left_out, methods_of, pretrainings_of, starts_of
from patients import patients_folder
from planewise.errors import InputError
from planewise.files.datalists import items_in, labelled_exams, parsed_datalist
from planewise.files.shared_patients import seen_before
from planewise.words import did_you_mean, nearest
from planewise.locks import claim_folder
from planewise.not_computed import NOT_COMPUTED, only_longer
from planewise.workshop.study.folder import datalist_of
from planewise.files.text import read_json, read_yaml
from pretext_bundles import bundle_of, overlays_of, pretexts_of, settings_for_steps
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version
from study_settings import wrong_settings

min_version("8.0")

#: Kinds of trainings, and kinds of jobs that have settings in `overrides`.
KINDS = ("pretrain", "finetune")
OVERRIDDEN = (*KINDS, "plan")
#: Settings of a job that other settings of the study determine, in place of `overrides`.
DETERMINED = {
    "ckpt_dir": "out", "datalist": "datalists", "device": "device", "imagenet": "imagenet", "input": "datalists",
    "num_subjects": "label_counts", "output_dir": "out", "pretrained": "methods", "subject_seed": "draws",
    "weights": "plan",
}
#: Of these, a pretraining may have its own.
OF_PRETRAINING = ("num_subjects", "pretrained", "subject_seed")
for file in workflow.configfiles:
    # Snakemake has read it, but if a setting is repeated, it keeps only the last value
    try:
        read_yaml(file, "a study")
    except InputError as error:
        raise WorkflowError(str(error)) from None
if wrong := wrong_settings(config):
    raise WorkflowError(f"{'; '.join(wrong)}. Correct the study's config; tools/docs/studies.md lists all settings")
def as_read(value):
    """A setting with numbers in place of their texts, which Snakemake gives for `--config 'overrides={finetune: {seed: 1}}'`."""
    if isinstance(value, dict):
        return {key: as_read(element) for key, element in value.items()}
    if isinstance(value, list):
        return [as_read(element) for element in value]
    try:
        number = yaml.safe_load(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError):  # a date that does not exist is a ValueError
        return value
    return number if isinstance(number, (int, float)) or value in ("null", "None") else value


for key in ("overrides", "methods"):
    if key in config:
        config[key] = as_read(config[key])
# a null setting counts as not given; `imagenet: null` is kept, because methods wait for its file
for key in [key for key, value in config.items() if value is None and key != "imagenet"]:
    del config[key]
ROOT = Path(workflow.basedir).parent.parent
BUNDLES = ROOT / "bundles"
# the path must be absolute, because the jobs run in the folders of their bundles
OUT = Path(config["out"]).resolve()
# folder of the real patients that are the labelled exams, which cannot come with the code
PATIENTS = config.get("patients")
if PATIENTS:
    PATIENTS = patients_folder(PATIENTS)
    if not PATIENTS.is_dir():
        raise WorkflowError(
            f"this study needs the patients of {config['patients']}, and there is no folder {PATIENTS}; give yours as "
            "tools/demo NAME --data DIR"
        )
for kind in sorted({datalist_of(config, kind, OUT)[0] for kind in ("labelled", "unlabelled")}):
    if kind == "labelled" and PATIENTS:
        continue
    if not config.get("datalists", {}).get(kind) and config.get("phantom", {}).get(kind) is None:
        raise WorkflowError(f"there are no {kind} exams: give the study `datalists: {{{kind}: PATH}}`")
    if (given := config.get("datalists", {}).get(kind)) and not Path(given).is_file():
        raise WorkflowError(f"datalists: {kind}: there is no file {given}; correct the path, or run `planewise index` first")

PYTHON = sys.executable
PLANEWISE = f"{PYTHON} -m planewise"
THREADS = int(config.get("threads", 1))

# one thread a job: several small jobs side by side are faster than one that waits for its own threads
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
if config.get("salt"):
    # phantoms need no protection; a fixed salt gives their exams the same names on every machine
    os.environ["PLANEWISE_SALT_FILE"] = str(OUT / "salt")
    OUT.mkdir(parents=True, exist_ok=True)
    if not (OUT / "salt").exists():
        (OUT / "salt").write_text(config["salt"])
os.environ.setdefault("PLANEWISE_CACHE", str(OUT / "cache"))


ANATOMY = config["anatomy"]
if config.get("overlay"):
    config["overlay"] = found_overlay(config["overlay"])
VIEW = f"--view {config['view']}" if config.get("view") else ""
PRETEXTS = list(config["pretexts"])
# on the command line (--config 'draws=[0,1]'), Snakemake reads the elements of a list as texts
COUNTS, DRAWS = (list(map(int, config[key])) for key in ("label_counts", "draws"))
config |= {"label_counts": COUNTS, "draws": DRAWS}
PRETEXT_STEPS = config.get("pretext_steps")
TARGET = config["target"]
# a cross-validation divides the training and validation exams again
TARGET = {key: value for key, value in TARGET.items() if value is not None}
FOLDS = "--fold " in TARGET.get("arguments", "")
DIAGNOSIS = {"bundle": None, **(config.get("diagnose") or {})}
DIAGNOSIS["draws"] = [int(draw) for draw in DIAGNOSIS.get("draws") or ()]
# what plans views: a pretext of the study, or a bundle with the weights that ship with it
PLANNER = config.get("plan")
SHIPPED_PLANNER = PLANNER["bundle"] if isinstance(PLANNER, dict) else None
DEVICE = str(config.get("device", "cpu"))
IMAGENET = [str(Path(config["imagenet"]).expanduser().resolve())] if config.get("imagenet") else []


def pretext_bundle(pretext):
    return bundle_of(pretext, config["pretext_bundle"], BUNDLES, config.get("pretext_bundles"))


@cache
def content_of(path):
    """The content of a config file."""
    try:
        content = read_yaml(path) or {}
    except InputError as error:
        raise WorkflowError(str(error)) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise WorkflowError(f"{path} must have settings with names, such as `gamma: 0.3`; correct it")
    return content


def refuse_absent_bundles(named):
    """Stop if there is no bundle of a name; `named` has the word of the study's config for each bundle."""
    if absent := {name: word for name, word in named.items() if not (BUNDLES / name / "configs" / "train.yaml").is_file()}:
        known = pretexts_of(config["pretext_bundle"], BUNDLES)
        words = [f"{word}{did_you_mean(nearest(word, known))}" for name, word in absent.items() if word != name]
        raise WorkflowError(
            f"{', '.join(words)}{': ' if words else ''}there is no bundle {', '.join(absent)} in {BUNDLES}; the pretexts of this "
            f"anatomy are {', '.join(known)}: name one of these, or leave it out of `pretexts`"
        )


# before the methods, so that a misspelt pretext is named, not its method; a planner that the study does not pretrain is left out
refuse_absent_bundles({pretext_bundle(pretext): pretext for pretext in PRETEXTS})
if SHIPPED_PLANNER:
    refuse_absent_bundles({SHIPPED_PLANNER: SHIPPED_PLANNER})
try:
    METHODS = methods_of(config)
    LEFT_OUT = left_out(config)
except InputError as error:
    raise WorkflowError(str(error)) from None
if LEFT_OUT:
    logger.warning(
        f"left out, since the config gives them no file: {', '.join(LEFT_OUT)}. For a row, give its `weights: PATH` "
        f"(imagenet: the study's `imagenet: PATH`), in the config or as --config 'methods={{{LEFT_OUT[-1]}: {{weights: PATH}}}}'"
    )
# the folder in pretrain of each pretraining, and the folder that each method starts from
PRETRAININGS = pretrainings_of(config, METHODS)
STARTS = starts_of(METHODS)
# the method, number of labelled exams and draw of each fine-tuning
RUNS = [
    (name, int(exams), int(draw))
    for name, method in METHODS.items()
    for exams in method.label_counts or COUNTS
    for draw in method.draws or DRAWS
]
# encoders whose frozen features are probed: a random one and every pretraining's, if the target has a config for it
HAS_PROBE = (BUNDLES / TARGET["bundle"] / "configs" / "probe.yaml").is_file()
PROBED = ["untrained", *PRETRAININGS] if HAS_PROBE else []
if DEVICE.startswith("cuda") and DEVICE not in ("cuda", "cuda:0"):
    raise WorkflowError(f"device: {DEVICE}; a job sees only its own GPUs. Give cuda:0, and CUDA_VISIBLE_DEVICES={DEVICE[5:]}")

PROCESSES = config.get("processes") or {}
if not isinstance(PROCESSES, dict):
    PROCESSES = dict.fromkeys(("pretrain", "finetune"), PROCESSES)

# megabytes and minutes; a profile for one machine limits the GPUs alone
RESOURCES = {
    "pretrain": {"mem_mb": 32000, "runtime": 24 * 60},
    "finetune": {"mem_mb": 16000, "runtime": 12 * 60},
    "probe": {"mem_mb": 16000, "runtime": 120},
    "plan": {"mem_mb": 8000, "runtime": 60},
    "predict_masks": {"mem_mb": 8000, "runtime": 120},
    "index": {"mem_mb": 8000, "runtime": 12 * 60},
}


def resources(rule):
    """What a job of a rule asks for; one that is not in the table is small and runs on the CPU."""
    asked = {"mem_mb": 4000, "runtime": 60, **RESOURCES.get(rule, {}), "gpu": gpus(rule)}
    return {**asked, **((config.get("resources") or {}).get(rule) or {})}


def processes(kind):
    return int(PROCESSES.get(kind) or 1)


def gpus(kind):
    """GPUs of a job."""
    return processes(kind) if DEVICE.startswith("cuda") and kind in ("pretrain", "finetune", "probe", "plan", "predict_masks") else 0


def files(bundle, *names, overlay=config.get("overlay"), after=()):
    """MONAI's --config_file for some of a bundle's configs, then the anatomy's and the study's overlay, then ``after``."""
    names = [*names, *overlays_of(bundle, ANATOMY, overlay, BUNDLES), *after]
    return '"[' + ",".join(f"'{name if '/' in name else f'configs/{name}'}'" for name in names) + ']"'


def overriding(kind, method):
    """The study's settings of a kind of job, then the method's; the last one counts. A pretext that lacks one of the
    study's settings goes without it."""
    settings = (config.get("overrides") or {}).get(kind) or {}
    if kind == "pretrain" and method:
        bundle_name = pretext_bundle(method.pretext)
        known = settings_of(kind, bundle_name, method)
        settings = {key: value for key, value in settings.items() if key.split("#")[0] in known}
    return settings | ((method.overrides.get(kind) or {}) if method else {})


def paths_of(bundle, *names):
    """The paths of some of a bundle's configs, or of other configs."""
    return [name if "/" in name else str(BUNDLES / bundle / "configs" / name) for name in names]


def read_config(path):
    """The settings of a config file, without the marks + and ~ in front of names."""
    return {name.lstrip("+~"): value for name, value in content_of(path).items()}


def own_files(overlays):
    """The content of a user's own files among overlays, by path; those of the bundles belong to the code."""
    return {path: content_of(path) for path in overlays if path and "/" in path}


def configs_of(kind, name, method):
    """The paths of a training's configs, in order, with the config of the target's probe, which has the same settings; or of the
    configs of the inference that plans views."""
    names = ["inference.yaml"] if kind == "plan" else ["train.yaml", "evaluate.yaml"]
    names += overlays_of(name, ANATOMY, None if name == SHIPPED_PLANNER else config.get("overlay"), BUNDLES)
    names += overlays(method, "pretrain" if kind == "plan" else kind) if method else []
    names += ["multi_gpu_train.yaml"] if processes(kind) > 1 else []
    names += ["probe.yaml"] if kind == "finetune" and HAS_PROBE else []
    return paths_of(name, *names)


def settings_of(kind, name, method):
    """The settings at the top of a job's configs."""
    return {key: value for path in configs_of(kind, name, method) for key, value in read_config(path).items()}


def shorter(method):
    """Settings that give a pretraining the study's number of steps."""
    if PRETEXT_STEPS is None:
        return {}
    settings = settings_of("pretrain", pretext_bundle(method.pretext), method) | overriding("pretrain", method)
    return settings_for_steps(settings, int(PRETEXT_STEPS), processes("pretrain"))


def refuse_too_many_labels():
    """Stop if `label_counts` asks for more exams than the datalist has; fine-tunings check a datalist that is not there yet."""
    path = Path(datalist("labelled"))
    most = labelled_exams(parsed_datalist(path), "training", *["validation"] * FOLDS) if path.is_file() else 0
    if COUNTS and 0 < most < max(COUNTS):
        raise WorkflowError(f"label_counts {max(COUNTS)}: {path} has {most} labelled training exams; give 1 to {most}")


def warn_of_seen_tests():
    """Warn if pretexts learn from test images; datalists that the study makes itself keep them apart."""
    lists = [Path(datalist(kind)) for kind in ("unlabelled", "labelled")]
    if lists[0] != lists[1] and all(path.is_file() for path in lists):
        try:
            # copies under other names, too, as on the page
            if seen := seen_before(*lists, read=True):
                logger.warning(f"{seen}, so pretexts learn from test images, and their gains may be too large")
        except InputError as error:
            raise WorkflowError(f"{error}. Correct the study's config") from None


def refuse_wrong_datalists():
    """Stop if a datalist that the study names cannot be read, or has exams for training that are also scored."""
    wrong = []
    for path in dict.fromkeys(Path(given) for given in (config.get("datalists") or {}).values() if given):
        try:
            content = parsed_datalist(path)
        except InputError as error:
            wrong.append(f"datalists: {error}; make it again with `planewise index FOLDER -o {path}`")
            continue
        learned, scored = (
            {str(item.get("patient") or item.get("exam") or item.get("image")) for item in items_in(content, name)}
            for name in ("training", "test")
        )
        if shared := sorted(learned & scored):
            wrong.append(f"{path} has patients in training and test, such as {shared[0]}; keep each patient in one section")
    if IMAGENET and not Path(IMAGENET[0]).is_file():
        wrong.append(f"imagenet: there is no {IMAGENET[0]}; correct the path, or leave it out")
    if wrong:
        raise WorkflowError("; ".join(wrong))


def bundles_and_methods(kind):
    """The bundle and the method of each job of a kind, by the names of the methods that need it."""
    if kind == "plan":
        if SHIPPED_PLANNER:
            return {SHIPPED_PLANNER: (SHIPPED_PLANNER, None)}
        planner = PRETRAININGS.get(PLANNER)
        return {PLANNER: (pretext_bundle(planner.pretext), planner)} if planner else {}
    if kind == "pretrain":
        sharing = {name: [other for other, start in STARTS.items() if start == name] for name in PRETRAININGS}
        return {
            ", ".join(sharing[name]) if method.pretrains else name: (pretext_bundle(method.pretext), method)
            for name, method in PRETRAININGS.items()
        }
    return {name: (TARGET["bundle"], method) for name, method in METHODS.items()}


def refuse_wrong_settings():
    """Stop if a setting of `overrides` or of an overlay belongs to no job, is set by the study itself, or would be refused."""
    given = config.get("overrides") or {}
    wrong = [f"{kind}{did_you_mean(nearest(kind, OVERRIDDEN))}: there are no such jobs" for kind in given if kind not in OVERRIDDEN]
    for kind in OVERRIDDEN:
        jobs, refused = bundles_and_methods(kind), {}
        # pretexts and overlays differ, so a setting may belong to one of them
        known = set().union(*(settings_of(kind, *job) for job in jobs.values()))
        wrong += [
            f"{kind}: no config has {key}{did_you_mean(nearest(key, known))}"
            for key in given.get(kind) or {} if jobs and key.split("#")[0] not in known
        ]
        for names, (bundle_name, method) in jobs.items():
            settings, mine = overriding(kind, method), settings_of(kind, bundle_name, method)
            wrong += [
                f"{kind}: {key} is set by the study for each job: give `{DETERMINED[key]}`"
                for key in settings if key in DETERMINED and (kind == "finetune" or key not in OF_PRETRAINING)
            ]
            wrong += [
                f"{kind} of {names}: no config has {key}{did_you_mean(nearest(key, mine))}"
                for key in (method.overrides.get(kind) or {} if method else {}) if key.split("#")[0] not in mine
            ]
            if settings:
                # this import takes seconds
                from fire.parser import DefaultParseValue  # the command line makes a number of the text 1e-3
                from planewise.engines.check_settings import check_plain_settings

                values = {key: settings[key] for key in settings if key in mine}
                values = {key: DefaultParseValue(each) if isinstance(each, str) else each for key, each in values.items()}
                try:
                    check_plain_settings(values)
                except InputError as error:
                    refused.setdefault(str(error), []).append(names)
        wrong += [f"{kind} of {', '.join(names)}: {error}" for error, names in refused.items()]
    if wrong:
        raise WorkflowError(f"overrides: {'; '.join(dict.fromkeys(wrong))}. Correct the study's config or its overlays")


def as_texts(settings):
    """Settings as texts for a command line. MONAI ignores a None there, so a null becomes an expression."""
    return {name: "$None" if value is None else str(value) for name, value in settings.items()}


def overrides(kind, method=None, always=None, **settings):
    """Settings of a kind of job, then those of `overriding`, then what always holds, as command line arguments."""
    texts = as_texts(settings | overriding(kind, method) | (always or {}))
    return " ".join(f"--{name} {shlex.quote(text)}" for name, text in texts.items())


def bundle(name, configs, arguments, device="cpu", processes=1):
    """Command line of a bundle run, from the bundle's folder; on GPUs that no other job has."""
    on_gpu = device.startswith("cuda")
    command = [f"{PYTHON} {workflow.basedir}/on_gpus.py {processes} --"] if on_gpu else []
    command.append(PYTHON)
    if processes > 1:
        command.append(f"-m torch.distributed.run --standalone --nproc_per_node={processes}")
    command.append(f"-m monai.bundle run --config_file {configs} {arguments}")
    if not on_gpu or processes == 1:
        # with several processes, each takes its own GPU
        command.append(f"--device {device}")
    return f"cd {BUNDLES / name} && {' '.join(command)}"


def training(kind, name, method, arguments):
    """Command line that trains with a method's overlay, in as many processes as the study says, and evaluates."""
    count = processes(kind)
    after = [*overlays(method, kind), *(["multi_gpu_train.yaml"] if count > 1 else [])]
    configs = files(name, "train.yaml", "evaluate.yaml", after=after)
    return bundle(name, configs, f"--run_id train_and_evaluate {arguments}", DEVICE, count)


def datalist(kind):
    return str(datalist_of(config, kind, OUT)[1].resolve())


def overlays(method, kind):
    overlay = method.overlay_of(kind)
    return [overlay] if overlay else []


def target_config():
    """The training config of the target's bundle."""
    return content_of(str(BUNDLES / TARGET["bundle"] / "configs" / "train.yaml"))


def pretrained(wildcards):
    """What a fine-tuning waits for: the end of its pretraining, or a file of weights."""
    if start := STARTS[wildcards.method]:
        return [f"{OUT}/pretrain/{start}/test/metrics.json"]
    return [METHODS[wildcards.method].file] if METHODS[wildcards.method].file else []


def labels(wildcards):
    """The datalist that a method is fine-tuned on."""
    predicted = METHODS[wildcards.method].masks == PREDICTED
    return str(OUT / "predicted" / "datalist.json") if predicted else datalist("labelled")


def starting_weights(wildcards, input):
    """Arguments that say what a fine-tuning starts from."""
    start = STARTS[wildcards.method]
    weights = [str(OUT / "pretrain" / start)] if start else input.weights
    return "".join(f"--pretrained {path} " for path in weights) + "".join(f"--imagenet {path} " for path in input.imagenet)


def auxiliary_task(name):
    """Arguments of a fine-tuning that goes on learning its pretext: as it was pretrained, on the same images."""
    method = METHODS[name]
    if not method.has_two_tasks:
        return ""
    trained = pretext_bundle(method.pretext)
    overlay = config.get("overlay")
    configs = paths_of(trained, "train.yaml", *overlays_of(trained, ANATOMY, overlay, BUNDLES), *overlays(method, "pretrain"))
    run_settings = target_config()["auxiliary_task"]["run_settings"]
    settings = {key: value for key, value in overriding("pretrain", method).items() if key not in run_settings}
    if settings:
        # they must be in a config of the pretext, because an expression in them refers to that config
        configs.append(str(OUT / "other_task" / f"{name}.yaml"))
        Path(configs[-1]).parent.mkdir(parents=True, exist_ok=True)
        Path(configs[-1]).write_text(yaml.safe_dump(settings))
    return f"--pretext_datalist {datalist(method.images or 'unlabelled')} --pretext_config {shlex.quote(str(configs))} "


def finetuning(wildcards, input):
    """Command line of a fine-tuning."""
    method = METHODS[wildcards.method]
    folder = f"{OUT}/finetune/{wildcards.method}/{wildcards.exams}/{wildcards.draw}"
    if int(wildcards.exams) == 0:  # the weights as they are
        configs = files(TARGET["bundle"], "train.yaml", "evaluate.yaml", after=overlays(method, "finetune"))
        arguments = f"--datalist {input.labels} --weights {method.file} --progress False --output_dir {folder} "
        return bundle(TARGET["bundle"], configs, arguments + overrides("finetune", method), DEVICE)

    return training(
        "finetune",
        TARGET["bundle"],
        method,
        f"--datalist {input.labels} --num_subjects {wildcards.exams} --subject_seed {wildcards.draw} "
        + TARGET.get("arguments", "").format(diagnosed=int(wildcards.draw) in DIAGNOSIS["draws"], draw=wildcards.draw)
        + f" --progress False --output_dir {folder} "
        + starting_weights(wildcards, input)
        + auxiliary_task(wildcards.method)
        + overrides("finetune", method, seed=wildcards.draw),
    )


def described(kind, method, labels, seed, starts=""):
    """What determines the result of a training, as text; the training leaves it in its folder as `job.json`. Of files, only
    the names, because a study can be moved, and the content of a user's own overlays."""
    bundle_name = TARGET["bundle"] if kind == "finetune" else pretext_bundle(method.pretext)
    overlay = [config.get("overlay"), *overlays(method, kind)]
    settings = {"seed": seed} | overriding(kind, method) | (shorter(method) if kind == "pretrain" else {})
    about = {"bundle": bundle_name, "overlay": overlay, "datalist": Path(labels).name, "starts from": Path(starts).name}
    about |= {"arguments": TARGET.get("arguments", "") if kind == "finetune" else "", **settings}
    about |= {f"{path}: {key}": value for path, own in own_files(overlay).items() for key, value in own.items()}
    return json.dumps({key: value for key, value in about.items() if key not in NOT_COMPUTED}, sort_keys=True, default=str)


def pretext_datalist(name):
    """The datalist of the images that a pretraining learns from."""
    return datalist(PRETRAININGS[name].images or "unlabelled")


def described_pretraining(name):
    method = PRETRAININGS[name]
    return described("pretrain", method, pretext_datalist(name), config.get("seed", 0))


def described_finetuning(method, draw):
    given = METHODS[method]
    labels = OUT / "predicted" / "datalist.json" if given.masks == PREDICTED else datalist("labelled")
    starts = STARTS[method] or given.file or ""
    return described("finetune", given, labels, draw, starts)


def refuse_other_settings():
    """Stop if trainings had other settings than the study has now: Snakemake would keep finished ones, next to new ones, and
    the others would refuse to go on."""
    wanted = {f"pretrain/{name}": described_pretraining(name) for name in PRETRAININGS}
    wanted |= {
        f"finetune/{method}/{exams}/{draw}": described_finetuning(method, draw) for method, exams, draw in RUNS
    }
    stale, keys = [], set()
    for place, now in wanted.items():
        folder = OUT / place
        finished = (folder / "test" / "metrics.json").is_file()
        # the files by which a training recognises an earlier one
        left = ("history.csv", "models/last.ckpt", "models/model.pt")
        if not (folder / "job.json").is_file() or not (finished or any((folder / name).is_file() for name in left)):
            continue
        try:
            before, after = read_json(folder / "job.json"), json.loads(now)
        except InputError:
            continue  # the disk was full, for example
        if before != after and (finished or not only_longer(before, after)):
            stale.append(place)
            keys |= {
                f"{key}: {before.get(key)} -> {after.get(key)}" for key in before | after if before.get(key) != after.get(key)
            }
    if stale:
        # if a pretraining runs again, the fine-tunings that start from it must run again too
        again = {place.split("/")[1] for place in stale if place.startswith("pretrain/")}
        starts = {place: STARTS.get(place.split("/")[1]) for place in wanted if place.startswith("finetune/")}
        folders = [place for place in wanted if (place in stale or starts.get(place) in again) and (OUT / place).exists()]
        raise WorkflowError(
            f"trainings in {OUT} had other settings than this study has now ({'; '.join(sorted(keys)[:5])}): "
            f"{', '.join(stale[:3])}{f' and {len(stale) - 3} more' if len(stale) > 3 else ''}. "
            f"Set another `out` to keep them, or train again after\n"
            f"  cd {shlex.quote(str(OUT))} && rm -r {' '.join(folders)}"
        )


def pretrainings(awaited):
    """Regular expression of the pretrainings that fine-tunings wait for, or of the others; of no name if there are none."""
    return "|".join(name for name in PRETRAININGS if (name in STARTS.values()) == awaited) or "(?!)"


def refuse_absent_overlay(asked, overlay, name):
    """Stop if there is no such overlay, or if it is empty, which MONAI ends with a traceback; `asked` begins the message."""
    folder = BUNDLES / name / "configs"
    if not (folder / overlay).is_file():
        hint = did_you_mean(nearest(overlay, [path.name for path in folder.glob("*.yaml")]))
        raise WorkflowError(
            f"{asked} {overlay}{hint}, which is not in {folder}; for a file of your own, write its path with a slash: ./{overlay}"
        )
    if not content_of(str(folder / overlay)):
        raise WorkflowError(f"{asked} {overlay}, which is empty. Write a setting into it, or leave it out")


TRAINED = [pretext_bundle(method.pretext) for method in PRETRAININGS.values()]
TRAINED += [TARGET["bundle"], DIAGNOSIS["bundle"] or TARGET["bundle"]]
refuse_absent_bundles({name: name for name in TRAINED})
for trained in TRAINED[: len(PRETRAININGS) + 1]:
    for overlay in overlays_of(trained, ANATOMY, config.get("overlay"), BUNDLES):
        refuse_absent_overlay("overlay:", overlay, trained)
for name, method in METHODS.items():
    trainings = {"finetune": TARGET["bundle"]} | ({"pretrain": pretext_bundle(method.pretext)} if method.pretrains else {})
    for kind, trained in trainings.items():
        for overlay in overlays(method, kind):
            refuse_absent_overlay(f"methods: {name} needs", overlay, trained)
    if method.has_two_tasks and "auxiliary_task" not in target_config():
        raise WorkflowError(f"methods: {name} goes on learning its pretext, which {TARGET['bundle']} cannot")


# for jobs in processes of their own, the main process has checked this
if workflow.is_main_process:
    refuse_wrong_datalists()
    refuse_wrong_settings()
    refuse_too_many_labels()
    warn_of_seen_tests()
refuse_other_settings()


# before a job overwrites the log of a study that is running; not in a dry run
onstart:
    try:
        claim_folder(OUT)
    except InputError as error:
        raise WorkflowError(str(error)) from None


wildcard_constraints:
    kind="unlabelled|labelled",
    encoder="[a-z][a-z0-9_]*",
    pretraining="[a-z][a-z0-9_]*",
    method="[a-z][a-z0-9_]*",
    exams="[0-9]+",
    draw="[0-9]+",


# what the report reads. `rule all` asks for it, too: without that, Snakemake would not make a result again that a user deletes
# while the report exists
RESULTS = [
    *expand(OUT / "pretrain" / "{name}" / "test" / "metrics.json", name=PRETRAININGS),
    *(OUT / "finetune" / name / str(exams) / str(draw) / "test" / "metrics.json" for name, exams, draw in RUNS),
    *(
        OUT / "diagnose" / name / str(exams) / str(draw) / "metrics.json"
        for name, exams, draw in RUNS if draw in DIAGNOSIS["draws"]
    ),
    *expand(OUT / "probe" / "{encoder}" / "test" / "metrics.json", encoder=PROBED),
    # also without draws: the diagnosis from reference masks; in a cross-validation, from predicted masks, too
    *expand(
        OUT / "diagnose" / "folds" / "{masks}" / "{fold}" / "metrics.json",
        masks=[REFERENCE, PREDICTED], fold=range(int(DIAGNOSIS.get("folds") or 0)),
    ),
    *([OUT / "diagnose" / "reference" / "test" / "metrics.json"] if DIAGNOSIS["bundle"] and not DIAGNOSIS.get("folds") else []),
    *([OUT / "plans" / "plans.done"] if SHIPPED_PLANNER or PLANNER in PRETRAININGS else []),
    *([OUT / "inspect.png"] if datalist("unlabelled") == str(OUT / "unlabelled.json") else []),
]


rule all:
    input: OUT / "report" / "index.html", RESULTS


rule phantom:
    output: touch(OUT / "phantom_{kind}.done")
    params: settings=lambda wildcards: config["phantom"][wildcards.kind]
    # Snakemake lowers this to the machine's cores; on a cluster, it must stay the number with which the job is submitted
    threads: 8
    resources: **resources("phantom")
    log: OUT / "logs" / "phantom_{kind}.log"
    shell: PLANEWISE + " phantom {ANATOMY} {OUT}/{wildcards.kind} --workers {threads} {params.settings} > {log} 2>&1"


rule index:
    input: lambda wildcards: [] if PATIENTS and wildcards.kind == "labelled" else OUT / f"phantom_{wildcards.kind}.done"
    output: OUT / "{kind}.json"
    params:
        images=lambda wildcards: shlex.quote(str(PATIENTS if PATIENTS and wildcards.kind == "labelled" else OUT / wildcards.kind)),
        settings=lambda wildcards: config.get("index", {}).get(wildcards.kind) or "",
    resources: **resources("index")
    log: OUT / "logs" / "index_{kind}.log"
    shell: PLANEWISE + " index {params.images} -o {output} --anatomy {ANATOMY} {VIEW} {params.settings} > {log} 2>&1"


rule inspect:
    input: OUT / "unlabelled.json"
    output: OUT / "inspect.png"
    resources: **resources("inspect")
    log: OUT / "logs" / "inspect.log"
    shell: PLANEWISE + " inspect {input} -o {output} > {log} 2>&1"


rule pretrain:
    wildcard_constraints: pretraining=pretrainings(awaited=True)
    input:
        datalist=lambda wildcards: pretext_datalist(wildcards.pretraining),
        imagenet=IMAGENET,
    output: OUT / "pretrain" / "{pretraining}" / "test" / "metrics.json"
    params:
        run=lambda wildcards, input: training(
            "pretrain",
            pretext_bundle(PRETRAININGS[wildcards.pretraining].pretext),
            PRETRAININGS[wildcards.pretraining],
            f"--section test --datalist {input.datalist} "
            f"--progress False --output_dir {OUT / 'pretrain' / wildcards.pretraining} "
            + "".join(f"--imagenet {path} " for path in input.imagenet)
            + overrides(
                "pretrain",
                PRETRAININGS[wildcards.pretraining],
                shorter(PRETRAININGS[wildcards.pretraining]),
                seed=config.get("seed", 0),
            ),
        ),
        job=lambda wildcards: described_pretraining(wildcards.pretraining),
    # long jobs start first, so that none runs alone at the end; pretrainings come before them, because fine-tunings wait for these
    priority: 20
    threads: THREADS * processes("pretrain")
    resources: **resources("pretrain")
    log: OUT / "logs" / "pretrain_{pretraining}.log"
    benchmark: OUT / "logs" / "pretrain_{pretraining}.tsv"
    shell: "printf %s {params.job:q} > {OUT}/pretrain/{wildcards.pretraining}/job.json && ({params.run}) > {log} 2>&1"


use rule pretrain as pretrain_alone with:
    wildcard_constraints: pretraining=pretrainings(awaited=False)
    priority: 10


rule predict_masks:
    input: datalist("labelled")
    output: OUT / "predicted" / "datalist.json"
    threads: THREADS
    resources: **resources("predict_masks")
    log: OUT / "logs" / "predict_masks.log"
    shell: PLANEWISE + " segment {input} -o {OUT}/predicted --device {DEVICE} > {log} 2>&1"


rule finetune:
    input:
        labels=labels,
        weights=pretrained,
        imagenet=lambda wildcards: IMAGENET if METHODS[wildcards.method].imagenet else [],
    output: OUT / "finetune" / "{method}" / "{exams}" / "{draw}" / "test" / "metrics.json"
    params:
        run=lambda wildcards, input: finetuning(wildcards, input),
        job=lambda wildcards: described_finetuning(wildcards.method, int(wildcards.draw)),
    threads: THREADS * processes("finetune")
    resources: **resources("finetune")
    log: OUT / "logs" / "finetune_{method}_{exams}_{draw}.log"
    shell: "printf %s {params.job:q} > {OUT}/finetune/{wildcards.method}/{wildcards.exams}/{wildcards.draw}/job.json && ({params.run}) > {log} 2>&1"


def probing(wildcards, input):
    """Command line that probes the frozen features of an encoder, for all numbers of labelled exams at once."""
    method = PRETRAININGS.get(wildcards.encoder)
    after = [*(overlays(method, "finetune") if method else []), "probe.yaml"]
    start = f"--pretrained {OUT / 'pretrain' / wildcards.encoder} " if method else ""
    return bundle(
        TARGET["bundle"],
        files(TARGET["bundle"], "train.yaml", "evaluate.yaml", after=after),
        f"--datalist {input.labels} "
        # in a cross-validation, probes use the first fold
        + TARGET.get("arguments", "").format(diagnosed=False, draw=0)
        + f" --progress False --output_dir {OUT / 'probe' / wildcards.encoder} {start}"
        + overrides("finetune", method, {"probe_counts": COUNTS, "probe_draws": config.get("probe_draws", 20)}),
        DEVICE,
    )


rule probe:
    input:
        labels=datalist("labelled"),
        weights=lambda wildcards: [
            f"{OUT}/pretrain/{name}/test/metrics.json" for name in PRETRAININGS if name == wildcards.encoder
        ],
    output: OUT / "probe" / "{encoder}" / "test" / "metrics.json"
    params: run=lambda wildcards, input: probing(wildcards, input)
    resources: **resources("probe")
    log: OUT / "logs" / "probe_{encoder}.log"
    shell: "({params.run}) > {log} 2>&1"


def diagnosing(arguments):
    """Command line of the forest that diagnoses from masks."""
    configs = files(DIAGNOSIS["bundle"], "train.yaml", "evaluate.yaml", overlay=None)
    return bundle(DIAGNOSIS["bundle"], configs, arguments)


rule forest:
    input: datalist("labelled")
    output: OUT / "diagnose" / "reference" / "test" / "metrics.json"
    params:
        run=lambda wildcards, input: diagnosing(
            f"--run_id train_and_evaluate --datalist {input} --output_dir {OUT / 'diagnose' / 'reference'}"
        ),
    resources: **resources("forest")
    log: OUT / "logs" / "forest.log"
    shell: "({params.run}) > {log} 2>&1"


rule forest_of_fold:
    wildcard_constraints: masks=f"{REFERENCE}|{PREDICTED}", fold="[0-9]+"
    input: lambda wildcards: OUT / "predicted" / "datalist.json" if wildcards.masks == PREDICTED else datalist("labelled")
    output: OUT / "diagnose" / "folds" / "{masks}" / "{fold}" / "metrics.json"
    params:
        run=lambda wildcards, input, output: diagnosing(
            f"--run_id train_and_evaluate --datalist {input} --fold {wildcards.fold} --folds {DIAGNOSIS['folds']} "
            f"--section validation --output_dir {Path(output[0]).parent} --report_dir {Path(output[0]).parent}"
        ),
    resources: **resources("forest")
    log: OUT / "logs" / "forest_{masks}_{fold}.log"
    shell: "({params.run}) > {log} 2>&1"


rule diagnose:
    input:
        labels=datalist("labelled"),
        forest=OUT / "diagnose" / "reference" / "test" / "metrics.json",
        masks=OUT / "finetune" / "{method}" / "{exams}" / "{draw}" / "test" / "metrics.json",
    output: OUT / "diagnose" / "{method}" / "{exams}" / "{draw}" / "metrics.json"
    params:
        run=lambda wildcards, input, output: diagnosing(
            f"--datalist {input.labels} --masks {Path(input.masks).parent}/masks "
            f"--weights {OUT / 'diagnose' / 'reference' / 'models' / 'model.pt'} "
            f"--report_dir {Path(output[0]).parent.resolve()}"
        ),
    resources: **resources("diagnose")
    log: OUT / "logs" / "diagnose_{method}_{exams}_{draw}.log"
    shell: "({params.run}) > {log} 2>&1"


def planning(datalist):
    """Command line that plans views of three test exams."""
    if SHIPPED_PLANNER:
        name, configs, own = SHIPPED_PLANNER, files(SHIPPED_PLANNER, "inference.yaml", overlay=None), ""
    else:
        method = PRETRAININGS[PLANNER]
        name = pretext_bundle(method.pretext)
        configs = files(name, "inference.yaml", after=overlays(method, "pretrain"))
        own = f"--weights {OUT / 'pretrain' / PLANNER / 'models' / 'model.pt'}"
    arguments = f"--input {datalist} --section test --num_exams 3 {own} --output_dir {OUT / 'plans'} {overrides('plan')}"
    return bundle(name, configs, arguments, DEVICE)


rule plan:
    input:
        weights=[] if SHIPPED_PLANNER else OUT / "pretrain" / str(PLANNER) / "test" / "metrics.json",
        datalist=datalist("unlabelled"),
    output: touch(OUT / "plans" / "plans.done")
    params: run=lambda wildcards, input: planning(input.datalist)
    resources: **resources("plan")
    log: OUT / "logs" / "plan.log"
    shell: "({params.run}) > {log} 2>&1"


rule report:
    input: RESULTS
    output: OUT / "report" / "index.html"
    resources: **resources("report")
    log: OUT / "logs" / "report.log"
    run:
        # the report reads the study from this file
        found = {"pretexts": list(PRETRAININGS), "methods": {name: method.as_config() for name, method in METHODS.items()}}
        found["label_counts"] = sorted({exams for _, exams, _ in RUNS})
        given = [config.get("overlay"), *(method.overlay_of(kind) for method in METHODS.values() for kind in KINDS)]
        if own := own_files(given):
            found["overlay_files"] = [{"file": path, "content": content} for path, content in own.items()]
        (OUT / "study.json").write_text(json.dumps({**config, **found}, indent=1, default=str))
        shell(PLANEWISE + " report {OUT} -o {output} > {log} 2>&1")
