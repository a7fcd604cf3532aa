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
from planewise.errors import InputError
from planewise.files.atomic_write import claim_folder
from planewise.files.datalists import items_in, labelled_exams, parsed_datalist
from planewise.settings import NOT_COMPUTED
from planewise.workshop.study.shared_patients import seen_before
from planewise.words import did_you_mean, nearest
from planewise.workshop.study.folder import datalist_of
from planewise.files.text import read_json, read_yaml
from pretext_bundles import bundle_of, overlays_of, patients_folder, pretexts_of, settings_for_steps
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version
from study_settings import wrong_settings

min_version("8.0")

#: The configs of a bundle that every training runs, before those of the anatomy, the study and the method.
TRAINING = ("train.yaml", "evaluate.yaml")
#: Settings of a job that other settings of the study determine, in place of `overrides`.
DETERMINED = {
    "ckpt_dir": "out", "datalist": "datalists", "device": "device", "imagenet": "imagenet", "input": "datalists",
    "num_subjects": "label_counts", "output_dir": "out", "pretrained": "methods", "subject_seed": "draws",
    "weights": "methods",
}
#: Of these, a pretraining may have its own.
OF_PRETRAINING = ("num_subjects", "pretrained", "subject_seed")
#: What a job asks for, megabytes and minutes; one that is not listed is small. A profile for one machine limits the GPUs alone.
RESOURCES = {
    "pretrain": {"mem_mb": 32000, "runtime": 24 * 60},
    "finetune": {"mem_mb": 16000, "runtime": 12 * 60},
    "predict_masks": {"mem_mb": 8000, "runtime": 120},
    "index": {"mem_mb": 8000, "runtime": 12 * 60},
}
#: Jobs that run on the study's device.
ON_DEVICE = ("pretrain", "finetune", "predict_masks")


def refuse(wrong):
    """Stop if anything is wrong."""
    if wrong:
        raise WorkflowError(f"{'; '.join(dict.fromkeys(wrong))}. Correct the study's config; tools/docs/studies.md lists all settings")


@cache
def content_of(path):
    """The content of a config file. MONAI ends with a traceback if it is absent or empty."""
    if not Path(path).is_file():
        raise WorkflowError(f"there is no config {path}; for a file of your own, write its path with a slash: ./{Path(path).name}")
    try:
        content = read_yaml(path, "a study")
    except InputError as error:
        raise WorkflowError(str(error)) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise WorkflowError(f"{path} must have settings with names, such as `gamma: 0.3`; correct it, or leave it out")
    return content


for file in workflow.configfiles:
    content_of(file)  # Snakemake has read it, but if a setting is repeated, it keeps only the last value
refuse(wrong_settings(config))
# a null setting counts as not given; `imagenet: null` is kept, because methods wait for its file
for key in [key for key, value in config.items() if value is None and key != "imagenet"]:
    del config[key]
ROOT = Path(workflow.basedir).parent.parent
BUNDLES = ROOT / "bundles"
# the path must be absolute, because the jobs run in the folders of their bundles
OUT = Path(config["out"]).resolve()
# folder of the real patients that are the labelled exams, which cannot come with the code
PATIENTS = patients_folder(config["patients"]) if config.get("patients") else None
if PATIENTS and not PATIENTS.is_dir():
    raise WorkflowError(
        f"this study needs the patients of {config['patients']}, and there is no folder {PATIENTS}; give yours as "
        "tools/demo NAME --data DIR"
    )

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
PRETEXTS = list(config["pretexts"])
# on the command line (--config 'draws=[0,1]'), Snakemake reads the elements of a list as texts
COUNTS, DRAWS = (list(map(int, config[key])) for key in ("label_counts", "draws"))
config |= {"label_counts": COUNTS, "draws": DRAWS}
TARGET = {key: value for key, value in config["target"].items() if value is not None}
DIAGNOSIS = {"bundle": None, "folds": 0, **(config.get("diagnose") or {})}
DIAGNOSIS["draws"] = [int(draw) for draw in DIAGNOSIS.get("draws") or ()]
DEVICE = str(config.get("device", "cpu"))
if DEVICE.startswith("cuda") and DEVICE not in ("cuda", "cuda:0"):
    raise WorkflowError(f"device: {DEVICE}; a job sees only its own GPUs. Give cuda:0, and CUDA_VISIBLE_DEVICES={DEVICE[5:]}")
IMAGENET = [str(Path(config["imagenet"]).expanduser().resolve())] if config.get("imagenet") else []
PROCESSES = config.get("processes") or {}
if not isinstance(PROCESSES, dict):
    PROCESSES = dict.fromkeys(("pretrain", "finetune"), PROCESSES)


def processes(kind):
    return int(PROCESSES.get(kind) or 1)


def resources(rule):
    """What a job of a rule asks for."""
    gpus = processes(rule) if DEVICE.startswith("cuda") and rule in ON_DEVICE else 0
    return {"mem_mb": 4000, "runtime": 60, "gpu": gpus, **RESOURCES.get(rule, {}), **((config.get("resources") or {}).get(rule) or {})}


def datalist(kind):
    return str(datalist_of(config, kind, OUT)[1].resolve())


def pretext_bundle(pretext):
    return bundle_of(pretext, config["pretext_bundle"], BUNDLES, config.get("pretext_bundles"))


def refuse_absent_bundles(named):
    """Stop if there is no bundle of a name; `named` has the word of the study's config for each bundle."""
    if absent := {name: word for name, word in named.items() if not (BUNDLES / name / "configs" / "train.yaml").is_file()}:
        known = pretexts_of(config["pretext_bundle"], BUNDLES)
        words = [f"{word}{did_you_mean(nearest(word, known))}" for word in absent.values()]
        raise WorkflowError(f"{', '.join(words)}: there is no bundle {', '.join(absent)}; the pretexts are {', '.join(known)}")


# before the methods, so that a misspelt pretext is named, not its method
refuse_absent_bundles({pretext_bundle(pretext): pretext for pretext in PRETEXTS})
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
refuse_absent_bundles({pretext_bundle(method.pretext): method.pretext for method in PRETRAININGS.values()})
refuse_absent_bundles({name: name for name in (TARGET["bundle"], DIAGNOSIS["bundle"] or TARGET["bundle"])})


def configs(kind, name, method):
    """The configs of a job, in order: the bundle's, the anatomy's, the study's overlay, the method's, and the job's own."""
    names = [*TRAINING, *overlays_of(name, ANATOMY, config.get("overlay"), BUNDLES)]
    overlay = method.overlay_of("pretrain" if kind == "pretrain" else "finetune") if method else None
    return names + [overlay] * bool(overlay) + ["multi_gpu_train.yaml"] * (processes(kind) > 1)


def paths_of(bundle, names):
    """The paths of some of a bundle's configs, or of other configs."""
    return [name if "/" in name else str(BUNDLES / bundle / "configs" / name) for name in names]


def methods_with(kind):
    """The methods, by name, that a kind of job trains."""
    return PRETRAININGS if kind == "pretrain" else METHODS


@cache
def settings_of(kind, name):
    """The settings at the top of a job's configs, without the marks + and ~."""
    bundle = pretext_bundle(PRETRAININGS[name].pretext) if kind == "pretrain" else TARGET["bundle"]
    paths = paths_of(bundle, configs(kind, bundle, methods_with(kind)[name]))
    return {key.lstrip("+~"): value for path in paths for key, value in content_of(path).items()}


def overriding(kind, name):
    """The study's settings of a job, then the method's; the last one counts. A pretext that lacks one of the study's settings
    goes without it."""
    settings = (config.get("overrides") or {}).get(kind) or {}
    if kind == "pretrain":
        settings = {key: value for key, value in settings.items() if key.split("#")[0] in settings_of(kind, name)}
    return settings | (methods_with(kind)[name].overrides.get(kind) or {})


def shorter(name):
    """Settings that give a pretraining the study's number of steps."""
    if not config.get("pretext_steps"):
        return {}
    settings = settings_of("pretrain", name) | overriding("pretrain", name)
    return settings_for_steps(settings, int(config["pretext_steps"]), processes("pretrain"))


def refuse_wrong_datalists():
    """Stop if a datalist of the study is missing, cannot be read, has exams for training that are also scored, or fewer labels
    than the study asks for. Warn if pretexts learn from test images; datalists that the study makes itself keep them apart."""
    wrong = [f"imagenet: there is no {path}; correct the path, or leave it out" for path in IMAGENET if not Path(path).is_file()]
    for kind in sorted({datalist_of(config, kind, OUT)[0] for kind in ("labelled", "unlabelled")}):
        path = (config.get("datalists") or {}).get(kind)
        if not path:
            if (config.get("phantom") or {}).get(kind) is None and not (kind == "labelled" and PATIENTS):
                wrong.append(f"there are no {kind} exams: give the study `datalists: {{{kind}: PATH}}`")
            continue
        try:
            content = parsed_datalist(Path(path))
        except InputError as error:
            wrong.append(f"datalists: {kind}: {error}; correct the path, or make it with `planewise index FOLDER -o {path}`")
            continue
        learned, scored = (
            {str(item.get("patient") or item.get("exam") or item.get("image")) for item in items_in(content, name)}
            for name in ("training", "test")
        )
        if shared := sorted(learned & scored):
            wrong.append(f"{path} has patients in training and test, such as {shared[0]}; keep each patient in one section")
    refuse(wrong)
    lists = [Path(datalist(kind)) for kind in ("unlabelled", "labelled")]
    if lists[1].is_file():
        # a cross-validation divides the training and validation exams again
        sections = ["training", "validation"] if "--fold " in TARGET.get("arguments", "") else ["training"]
        most = labelled_exams(parsed_datalist(lists[1]), *sections)
        if COUNTS and 0 < most < max(COUNTS):
            refuse([f"label_counts {max(COUNTS)}: {lists[1]} has {most} labelled training exams; give 1 to {most}"])
    if lists[0] != lists[1] and all(path.is_file() for path in lists):
        # copies under other names, too, as on the page
        if seen := seen_before(*lists):
            logger.warning(f"{seen}, so pretexts learn from test images, and their gains may be too large")


def refuse_wrong_settings():
    """Stop if a setting of `overrides` or of an overlay belongs to no job, is set by the study itself, or would be refused."""
    # these imports take seconds
    from fire.parser import DefaultParseValue  # the command line makes a number of the text 1e-3
    from planewise.engines.check_settings import check_plain_settings

    wrong = []
    for kind in ("pretrain", "finetune"):
        known = {name: settings_of(kind, name) for name in methods_with(kind)}
        # pretexts and overlays differ, so a setting of the study may belong to one of them
        given = {"": ((config.get("overrides") or {}).get(kind) or {}, {key for keys in known.values() for key in keys})}
        given |= {f" of {name}": (methods_with(kind)[name].overrides.get(kind) or {}, keys) for name, keys in known.items()}
        for of, (settings, keys) in given.items() if known else ():
            for key, value in settings.items():
                if key in DETERMINED and (kind == "finetune" or key not in OF_PRETRAINING):
                    wrong.append(f"{kind}: {key} is set by the study for each job: give `{DETERMINED[key]}`")
                elif key.split("#")[0] not in keys:
                    wrong.append(f"{kind}{of}: no config has {key}{did_you_mean(nearest(key, keys))}")
                else:
                    try:
                        check_plain_settings({key: DefaultParseValue(value) if isinstance(value, str) else value})
                    except InputError as error:
                        wrong.append(f"{kind}{of}: {error}")
    refuse([f"overrides: {each}" for each in wrong])


def as_arguments(settings):
    """Settings as command line arguments. MONAI ignores a None there, so a null becomes an expression."""
    return " ".join(f"--{key} {shlex.quote('$None' if value is None else str(value))}" for key, value in settings.items())


def run(name, configs, arguments, device="cpu", processes=1):
    """Command line of a bundle run, from the bundle's folder; on GPUs that no other job has."""
    on_gpu = device.startswith("cuda")
    command = [f"{PYTHON} {workflow.basedir}/on_gpus.py {processes} --"] if on_gpu else []
    command.append(PYTHON)
    if processes > 1:
        command.append(f"-m torch.distributed.run --standalone --nproc_per_node={processes}")
    files = ",".join(f"'{each if '/' in each else f'configs/{each}'}'" for each in configs)
    command.append(f'-m monai.bundle run --config_file "[{files}]" {arguments}')
    if not on_gpu or processes == 1:
        # with several processes, each takes its own GPU
        command.append(f"--device {device}")
    return f"(cd {BUNDLES / name} && {' '.join(command)})"


def described(kind, name, draw=None):
    """What determines the result of a training, as text; the training leaves it in its folder as `job.json`. Of files, only
    the names, because a study can be moved, and the content of a user's own overlays."""
    if kind == "pretrain":
        method, starts, labels, arguments = PRETRAININGS[name], "", pretext_datalist(name), ""
        bundle, settings = pretext_bundle(method.pretext), {"seed": config.get("seed", 0)}
    else:
        method, bundle, labels, arguments = METHODS[name], TARGET["bundle"], labels_of(name), TARGET.get("arguments", "")
        starts, settings = STARTS[name] or method.file or "", {"seed": draw}
    overlays = [config.get("overlay"), *filter(None, [method.overlay_of(kind)])]
    settings |= overriding(kind, name) | (shorter(name) if kind == "pretrain" else {})
    about = {"bundle": bundle, "overlay": overlays, "datalist": Path(labels).name, "starts from": Path(starts).name}
    about |= {"arguments": arguments, **settings}
    own = {path: content_of(path) for path in overlays if path and "/" in path}
    about |= {f"{path}: {key}": value for path, content in own.items() for key, value in content.items()}
    return json.dumps({key: value for key, value in about.items() if key not in NOT_COMPUTED}, sort_keys=True, default=str)


def recorded(kind, bundle, method, job, folder, arguments):
    """Command line that writes what determines the result, and then trains in as many processes as the study says, and
    evaluates; or only evaluates."""
    trains = kind != "score"
    arguments = f"{'--run_id train_and_evaluate ' * trains}{arguments} --progress False --output_dir {folder}"
    command = run(bundle, configs(kind, bundle, method), arguments, DEVICE, processes(kind))
    return f"printf %s {shlex.quote(job)} > {folder}/job.json && {command}"


def pretext_datalist(name):
    """The datalist of the images that a pretraining learns from."""
    return datalist(PRETRAININGS[name].images or "unlabelled")


def pretraining(wildcards):
    name = wildcards.pretraining
    settings = {"seed": config.get("seed", 0)} | overriding("pretrain", name) | shorter(name)
    arguments = f"--section test --datalist {pretext_datalist(name)} "
    arguments += "".join(f"--imagenet {path} " for path in IMAGENET) + as_arguments(settings)
    bundle = pretext_bundle(PRETRAININGS[name].pretext)
    return recorded("pretrain", bundle, PRETRAININGS[name], described("pretrain", name), OUT / "pretrain" / name, arguments)


def labels_of(name, masks=None):
    """The datalist that a method is fine-tuned on, or that has some masks."""
    predicted = (masks or METHODS[name].masks) == PREDICTED
    return str(OUT / "predicted" / "datalist.json") if predicted else datalist("labelled")


def imagenet_of(name):
    return IMAGENET if METHODS[name].imagenet else []


def weights_of(name):
    """What a fine-tuning waits for: the end of its pretraining, or a file of weights."""
    if STARTS[name] in PRETRAININGS:
        return [f"{OUT}/pretrain/{STARTS[name]}/test/metrics.json"]
    return [METHODS[name].file] * bool(METHODS[name].file)


def auxiliary_task(name):
    """Arguments of a fine-tuning that goes on learning its pretext: as it was pretrained, on the same images."""
    method = METHODS[name]
    if not method.has_two_tasks:
        return ""
    trained, start = pretext_bundle(method.pretext), STARTS[name]
    files = paths_of(trained, [each for each in configs("pretrain", trained, method) if each not in ("evaluate.yaml", "multi_gpu_train.yaml")])
    run_settings = content_of(str(BUNDLES / TARGET["bundle"] / "configs" / "train.yaml"))["auxiliary_task"]["run_settings"]
    settings = {key: value for key, value in overriding("pretrain", start).items() if key not in run_settings}
    if settings:
        # they must be in a config of the pretext, because an expression in them refers to that config
        files.append(str(OUT / "other_task" / f"{name}.yaml"))
        Path(files[-1]).parent.mkdir(parents=True, exist_ok=True)
        Path(files[-1]).write_text(yaml.safe_dump(settings))
    return f"--pretext_datalist {datalist(method.images or 'unlabelled')} --pretext_config {shlex.quote(str(files))} "


def finetuning(wildcards):
    name, exams, draw = wildcards.method, int(wildcards.exams), int(wildcards.draw)
    method, start = METHODS[name], STARTS[name]
    job = (TARGET["bundle"], method, described("finetune", name, draw), OUT / "finetune" / name / str(exams) / str(draw))
    if exams == 0:  # the weights as they are
        arguments = f"--datalist {labels_of(name)} --weights {method.file} {as_arguments(overriding('finetune', name))}"
        return recorded("score", *job, arguments)
    arguments = f"--datalist {labels_of(name)} --num_subjects {exams} --subject_seed {draw} "
    arguments += TARGET.get("arguments", "").format(diagnosed=draw in DIAGNOSIS["draws"], draw=draw) + " "
    arguments += "".join(f"--pretrained {path} " for path in ([OUT / "pretrain" / start] if start else weights_of(name)))
    arguments += "".join(f"--imagenet {path} " for path in imagenet_of(name)) + auxiliary_task(name)
    arguments += as_arguments({"seed": draw} | overriding("finetune", name))
    return recorded("finetune", *job, arguments)


def indexing(wildcards):
    images = PATIENTS if PATIENTS and wildcards.kind == "labelled" else OUT / wildcards.kind
    settings = f"--view {config['view']} " if config.get("view") else ""
    settings += config.get("index", {}).get(wildcards.kind) or ""
    return f"{PLANEWISE} index {shlex.quote(str(images))} -o {OUT}/{wildcards.kind}.json --anatomy {ANATOMY} {settings}"


def diagnosing(arguments):
    """Command line of the forest that diagnoses from masks."""
    return run(DIAGNOSIS["bundle"], [*TRAINING, *overlays_of(DIAGNOSIS["bundle"], ANATOMY, None, BUNDLES)], arguments)


def diagnosing_fold(wildcards):
    folder = OUT / "diagnose" / "folds" / wildcards.masks / wildcards.fold
    return diagnosing(
        f"--run_id train_and_evaluate --datalist {labels_of('', wildcards.masks)} --fold {wildcards.fold} "
        f"--folds {DIAGNOSIS['folds']} --section validation --output_dir {folder} --report_dir {folder}"
    )


def diagnosing_predicted(wildcards):
    run = Path(wildcards.method) / wildcards.exams / wildcards.draw
    return diagnosing(
        f"--datalist {datalist('labelled')} --masks {OUT / 'finetune' / run}/test/masks "
        f"--weights {FOREST.parent.parent / 'models' / 'model.pt'} --report_dir {OUT / 'diagnose' / run}"
    )


#: The file that each kind of job writes last, what it waits for, and its command line.
FOREST = OUT / "diagnose" / "reference" / "test" / "metrics.json"
JOBS = {
    "index": (
        OUT / "{kind}.json",
        lambda job: [] if PATIENTS and job.kind == "labelled" else OUT / f"phantom_{job.kind}.done",
        indexing,
    ),
    "predict_masks": (
        OUT / "predicted" / "datalist.json",
        lambda job: datalist("labelled"),
        lambda job: f"{PLANEWISE} segment {datalist('labelled')} -o {OUT}/predicted --device {DEVICE}",
    ),
    "pretrain": (
        OUT / "pretrain" / "{pretraining}" / "test" / "metrics.json",
        lambda job: [pretext_datalist(job.pretraining), *IMAGENET],
        pretraining,
    ),
    "finetune": (
        OUT / "finetune" / "{method}" / "{exams}" / "{draw}" / "test" / "metrics.json",
        lambda job: [labels_of(job.method), *weights_of(job.method), *imagenet_of(job.method)],
        finetuning,
    ),
    "forest": (
        FOREST,
        lambda job: datalist("labelled"),
        lambda job: diagnosing(
            f"--run_id train_and_evaluate --datalist {datalist('labelled')} --output_dir {OUT / 'diagnose' / 'reference'}"
        ),
    ),
    "forest_of_fold": (
        OUT / "diagnose" / "folds" / "{masks}" / "{fold}" / "metrics.json",
        lambda job: labels_of("", job.masks),
        diagnosing_fold,
    ),
    "diagnose": (
        OUT / "diagnose" / "{method}" / "{exams}" / "{draw}" / "metrics.json",
        lambda job: [datalist("labelled"), FOREST, OUT / "finetune" / job.method / job.exams / job.draw / "test" / "metrics.json"],
        diagnosing_predicted,
    ),
}


def refuse_other_settings():
    """Stop if finished trainings had other settings than the study has now: Snakemake would keep them, next to new ones. Others
    refuse to go on by themselves."""
    wanted = {f"pretrain/{name}": described("pretrain", name) for name in PRETRAININGS}
    wanted |= {f"finetune/{name}/{exams}/{draw}": described("finetune", name, draw) for name, exams, draw in RUNS}
    stale, keys = [], set()
    for place, now in wanted.items():
        folder = OUT / place
        if not (folder / "job.json").is_file() or not (folder / "test" / "metrics.json").is_file():
            continue
        before, after = read_json(folder / "job.json"), json.loads(now)
        if before != after:
            stale.append(place)
            keys |= {f"{key}: {before.get(key)} -> {after.get(key)}" for key in before | after if before.get(key) != after.get(key)}
    if stale:
        # if a pretraining runs again, the fine-tunings that start from it must run again too
        again = {place.split("/")[1] for place in stale if place.startswith("pretrain/")}
        starts = {place: STARTS.get(place.split("/")[1]) for place in wanted if place.startswith("finetune/")}
        folders = [place for place in wanted if (place in stale or starts.get(place) in again) and (OUT / place).exists()]
        raise WorkflowError(
            f"trainings in {OUT} had other settings than this study has now ({'; '.join(sorted(keys)[:5])}): {', '.join(stale)}. "
            f"Set another `out` to keep them, or train again after\n  cd {shlex.quote(str(OUT))} && rm -r {' '.join(folders)}"
        )


for name, method in METHODS.items():
    if method.has_two_tasks and "auxiliary_task" not in content_of(str(BUNDLES / TARGET["bundle"] / "configs" / "train.yaml")):
        raise WorkflowError(f"methods: {name} goes on learning its pretext, which {TARGET['bundle']} cannot")
# for jobs in processes of their own, the main process has checked this
if workflow.is_main_process:
    refuse_wrong_datalists()
    refuse_wrong_settings()
refuse_other_settings()


# before a job overwrites the log of a study that is running; not in a dry run
onstart:
    try:
        claim_folder(OUT)
    except InputError as error:
        raise WorkflowError(str(error)) from None


wildcard_constraints:
    kind="unlabelled|labelled",
    pretraining="|".join(PRETRAININGS) or "(?!)",
    method="[a-z][a-z0-9_]*",
    exams="[0-9]+",
    draw="[0-9]+",
    masks=f"{REFERENCE}|{PREDICTED}",
    fold="[0-9]+",


# what the report reads. `rule all` asks for it, too: without that, Snakemake would not make a result again that a user deletes
# while the report exists
RESULTS = [
    *expand(JOBS["pretrain"][0], pretraining=PRETRAININGS),
    *(str(JOBS["finetune"][0]).format(method=name, exams=exams, draw=draw) for name, exams, draw in RUNS),
    *(
        str(JOBS["diagnose"][0]).format(method=name, exams=exams, draw=draw)
        for name, exams, draw in RUNS if draw in DIAGNOSIS["draws"]
    ),
    # also without draws: the diagnosis from reference masks; in a cross-validation, from predicted masks, too
    *expand(JOBS["forest_of_fold"][0], masks=[REFERENCE, PREDICTED], fold=range(int(DIAGNOSIS["folds"] or 0))),
    *([FOREST] if DIAGNOSIS["bundle"] and not DIAGNOSIS["folds"] else []),
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


for kind, (output_file, awaited, command) in JOBS.items():
    place = "".join(f"_{{{name}}}" for name in re.findall(r"{(\w+)}", str(output_file)))

    rule:
        name: kind
        input: awaited
        output: output_file
        params: run=command
        # long jobs start first, so that none runs alone at the end; pretrainings, because fine-tunings wait for them
        priority: 20 if kind == "pretrain" else 0
        threads: THREADS * processes(kind)
        resources: **resources(kind)
        log: OUT / "logs" / f"{kind}{place}.log"
        benchmark: OUT / "logs" / f"{kind}{place}.tsv"
        shell: "{params.run} > {log} 2>&1"


rule report:
    input: RESULTS
    output: OUT / "report" / "index.html"
    resources: **resources("report")
    log: OUT / "logs" / "report.log"
    run:
        # the report reads the study from this file
        found = {"pretexts": list(PRETRAININGS), "methods": {name: method.as_config() for name, method in METHODS.items()}}
        found["label_counts"] = sorted({exams for _, exams, _ in RUNS})
        overlays = [config.get("overlay"), *(method.overlay_of(kind) for method in METHODS.values() for kind in ("pretrain", "finetune"))]
        if own := [path for path in dict.fromkeys(overlays) if path and "/" in path]:
            found["overlay_files"] = [{"file": path, "content": content_of(path)} for path in own]
        (OUT / "study.json").write_text(json.dumps({**config, **found}, indent=1, default=str))
        shell(PLANEWISE + " report {OUT} -o {output} > {log} 2>&1")
