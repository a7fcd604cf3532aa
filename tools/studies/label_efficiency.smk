# Label efficiency (Zhang 2024, Tables 2 to 5): pretexts x label counts x draws -> tables and figures.
#
#   snakemake -s tools/studies/label_efficiency.smk --configfile tools/studies/configs/demo.yaml --cores 2
#
# The configuration says whose anatomy it is and which bundles are run:
#
#   anatomy         cardiac or knee: of `planewise phantom` and `planewise index --anatomy`
#   pretext_bundle  pretext_knee_{pretext}
#   target          the bundle that is fine-tuned, and `arguments` that it alone takes. {diagnosed} in them is True in the
#                   draws that are diagnosed
#   methods         none (from scratch), imagenet, or one of the pretexts; if not given, none and all pretexts
#   imagenet        file of ImageNet weights, optional: every pretext and every fine-tuning starts from it, save none
#   diagnose        optional: a bundle that diagnoses from predicted masks, and the draws whose masks it gets
#   plan            optional: the pretext whose inference plans views of test exams, if it is among the pretexts
#   device          cpu, or cuda:0: the first of the GPUs that a job gets, see on_gpus.py
#   processes       optional: GPUs over which torchrun spreads each training, {pretrain: 4, finetune: 1}. batch_size is of each
#                   process, see tools/docs/studies.md; without a GPU, processes of the CPU
#   resources       optional: what a rule's job asks of the machine, over the defaults below: {pretrain: {mem_mb: 64000}}
#   expected        optional: how much data there will be, for estimate.py
#
# Every job is one `python -m monai.bundle run`. A rule declares only the metrics.json that its job writes last: Snakemake
# deletes the declared outputs of a job that was interrupted, and the checkpoints must stay, so that the job goes on where
# it was. Several GPUs, a cluster and what a study costs: tools/docs/studies.md.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

min_version("8.0")

ROOT = Path(workflow.basedir).parent.parent
BUNDLES = ROOT / "bundles"
# absolute: the jobs run in the folders of their bundles
OUT = Path(config["out"]).resolve()
PYTHON = sys.executable
PLANEWISE = f"{PYTHON} -m planewise"
THREADS = int(config.get("threads", 1))

# one thread a job: several small jobs side by side are faster than one that waits for its own threads
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
if config.get("salt"):
    # phantoms are nobody; a fixed salt gives their exams the same names on every machine
    os.environ["PLANEWISE_SALT_FILE"] = str(OUT / "salt")
    OUT.mkdir(parents=True, exist_ok=True)
    if not (OUT / "salt").exists():
        (OUT / "salt").write_text(config["salt"])
os.environ.setdefault("PLANEWISE_CACHE", str(OUT / "cache"))

ANATOMY = config["anatomy"]
PRETEXTS = list(config["pretexts"])
METHODS = list(config.get("methods") or ["none", *PRETEXTS])
COUNTS = list(config["label_counts"])
DRAWS = list(config["draws"])
TARGET = config["target"]
DIAGNOSIS = config.get("diagnose") or {"bundle": None, "draws": []}
PLANNER = config.get("plan")
DEVICE = str(config.get("device", "cpu"))
IMAGENET = [str(Path(config["imagenet"]).expanduser().resolve())] if config.get("imagenet") else []

if unknown := set(METHODS) - {"none", "imagenet", *PRETEXTS}:
    names, known = ", ".join(sorted(unknown)), ", ".join(PRETEXTS)
    raise WorkflowError(f"methods: {names} is none of the pretexts ({known}); add it there")
if "imagenet" in METHODS and not IMAGENET:
    raise WorkflowError("methods: imagenet needs its weights; give `imagenet: PATH` or leave the method out")
if DEVICE.startswith("cuda") and DEVICE not in ("cuda", "cuda:0"):
    raise WorkflowError(f"device: {DEVICE}; a job sees only its own GPUs. Give cuda:0, and CUDA_VISIBLE_DEVICES={DEVICE[5:]}")

PROCESSES = config.get("processes") or {}
if not isinstance(PROCESSES, dict):
    PROCESSES = dict.fromkeys(("pretrain", "finetune"), PROCESSES)
if unknown := set(PROCESSES) - {"pretrain", "finetune"}:
    raise WorkflowError(f"processes: {', '.join(sorted(unknown))}; torchrun spreads pretrain and finetune")

# megabytes and minutes; a profile for one machine limits the GPUs alone
RESOURCES = {
    "pretrain": {"mem_mb": 32000, "runtime": 24 * 60},
    "finetune": {"mem_mb": 16000, "runtime": 12 * 60},
    "plan": {"mem_mb": 8000, "runtime": 60},
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
    return processes(kind) if DEVICE.startswith("cuda") and kind in ("pretrain", "finetune", "plan") else 0


def files(*names, overlay=config.get("overlay"), after=()):
    """MONAI's --config_file for some of a bundle's configs, then the study's overlay, then those that come after it."""
    names = [*names, *([overlay] if overlay else []), *after]
    return '"[' + ",".join(f"'configs/{name}'" for name in names) + ']"'


def overrides(kind):
    """Settings of the study for all jobs of a kind, as command line arguments."""
    settings = config.get("overrides", {}).get(kind) or {}
    return " ".join(f"--{name} '{value}'" for name, value in settings.items())


def bundle(name, configs, arguments, device="cpu", processes=1):
    """Command line of a bundle run, from the bundle's folder; on GPUs that no other job has."""
    on_gpu = device.startswith("cuda")
    command = [f"{PYTHON} {workflow.basedir}/on_gpus.py {processes} --"] if on_gpu else []
    command.append(PYTHON)
    if processes > 1:
        command.append(f"-m torch.distributed.run --standalone --nproc_per_node={processes}")
    command.append(f"-m monai.bundle run --config_file {configs} {arguments}")
    if not on_gpu or processes == 1:
        # of several processes each takes a GPU of its own
        command.append(f"--device {device}")
    return f"cd {BUNDLES / name} && {' '.join(command)}"


def training(kind, name, arguments):
    """Command line that trains, in as many processes as the study says, and evaluates."""
    count = processes(kind)
    configs = files("train.yaml", "evaluate.yaml", after=["multi_gpu_train.yaml"] if count > 1 else [])
    return bundle(name, configs, f"--run_id train_and_evaluate {arguments}", DEVICE, count)


def datalist(kind):
    given = (config.get("datalists") or {}).get(kind)
    return str(Path(given).resolve()) if given else str(OUT / f"{kind}.json")


def pretext_bundle(pretext):
    return config["pretext_bundle"].format(pretext=pretext)


def pretrained(wildcards):
    return [f"{OUT}/pretrain/{wildcards.method}/test/metrics.json"] if wildcards.method in PRETEXTS else []


def starting_weights(wildcards, input):
    """Arguments that say what a fine-tuning starts from."""
    pretext = f"--pretrained {OUT / 'pretrain' / wildcards.method} " if input.weights else ""
    return pretext + "".join(f"--imagenet {path} " for path in input.imagenet)


TRAINED = [*map(pretext_bundle, PRETEXTS), TARGET["bundle"], DIAGNOSIS["bundle"] or TARGET["bundle"]]
ABSENT = [name for name in dict.fromkeys(TRAINED) if not (BUNDLES / name / "configs" / "train.yaml").is_file()]
if ABSENT:
    logger.warning(f"not there yet, so this can be planned and not run: {', '.join(ABSENT)}")


onstart:
    # not called by a dry run
    if ABSENT:
        raise WorkflowError(f"no bundle {', '.join(ABSENT)} in {BUNDLES}; add it, or leave the pretext out of `pretexts`")


wildcard_constraints:
    kind="unlabelled|labelled",
    pretext="[a-z][a-z0-9_]*",
    method="[a-z][a-z0-9_]*",
    exams="[0-9]+",
    draw="[0-9]+",


rule all:
    input:
        OUT / "report" / "index.html",


rule phantom:
    output:
        touch(OUT / "phantom_{kind}.done"),
    params:
        settings=lambda wildcards: config["phantom"][wildcards.kind],
    threads: workflow.cores or 1
    resources:
        **resources("phantom"),
    log:
        OUT / "logs" / "phantom_{kind}.log",
    shell:
        PLANEWISE + " phantom {ANATOMY} {OUT}/{wildcards.kind} {params.settings} > {log} 2>&1"


rule index:
    input:
        OUT / "phantom_{kind}.done",
    output:
        OUT / "{kind}.json",
    params:
        settings=lambda wildcards: config.get("index", {}).get(wildcards.kind, ""),
    resources:
        **resources("index"),
    log:
        OUT / "logs" / "index_{kind}.log",
    shell:
        PLANEWISE + " index {OUT}/{wildcards.kind} -o {output} --anatomy {ANATOMY} {params.settings} > {log} 2>&1"


rule inspect:
    input:
        OUT / "unlabelled.json",
    output:
        OUT / "inspect.png",
    resources:
        **resources("inspect"),
    log:
        OUT / "logs" / "inspect.log",
    shell:
        PLANEWISE + " inspect {input} -o {output} > {log} 2>&1"


rule pretrain:
    input:
        datalist=datalist("unlabelled"),
        imagenet=IMAGENET,
    output:
        OUT / "pretrain" / "{pretext}" / "test" / "metrics.json",
    params:
        run=lambda wildcards, input: training(
            "pretrain",
            pretext_bundle(wildcards.pretext),
            f"--section test --datalist {input.datalist} --seed {config.get('seed', 0)} "
            f"--progress False --output_dir {OUT / 'pretrain' / wildcards.pretext} "
            + "".join(f"--imagenet {path} " for path in input.imagenet)
            + overrides("pretrain"),
        ),
    # the long jobs first, or the last of them runs alone
    priority: 10
    threads: THREADS * processes("pretrain")
    resources:
        **resources("pretrain"),
    log:
        OUT / "logs" / "pretrain_{pretext}.log",
    shell:
        "({params.run}) > {log} 2>&1"


rule finetune:
    input:
        labels=datalist("labelled"),
        weights=pretrained,
        imagenet=lambda wildcards: [] if wildcards.method == "none" else IMAGENET,
    output:
        OUT / "finetune" / "{method}" / "{exams}" / "{draw}" / "test" / "metrics.json",
    params:
        run=lambda wildcards, input: training(
            "finetune",
            TARGET["bundle"],
            f"--datalist {input.labels} --num_subjects {wildcards.exams} "
            f"--subject_seed {wildcards.draw} --seed {wildcards.draw} "
            + TARGET.get("arguments", "").format(diagnosed=int(wildcards.draw) in DIAGNOSIS["draws"])
            + f" --progress False "
            f"--output_dir {OUT}/finetune/{wildcards.method}/{wildcards.exams}/{wildcards.draw} "
            + starting_weights(wildcards, input)
            + overrides("finetune"),
        ),
    threads: THREADS * processes("finetune")
    resources:
        **resources("finetune"),
    log:
        OUT / "logs" / "finetune_{method}_{exams}_{draw}.log",
    shell:
        "({params.run}) > {log} 2>&1"


rule forest:
    input:
        datalist("labelled"),
    output:
        OUT / "diagnose" / "reference" / "test" / "metrics.json",
    params:
        run=lambda wildcards, input: bundle(
            DIAGNOSIS["bundle"],
            files("train.yaml", "evaluate.yaml", overlay=None),
            f"--run_id train_and_evaluate --datalist {input} --output_dir {OUT / 'diagnose' / 'reference'}",
        ),
    resources:
        **resources("forest"),
    log:
        OUT / "logs" / "forest.log",
    shell:
        "({params.run}) > {log} 2>&1"


rule diagnose:
    input:
        labels=datalist("labelled"),
        forest=OUT / "diagnose" / "reference" / "test" / "metrics.json",
        masks=OUT / "finetune" / "{method}" / "{exams}" / "{draw}" / "test" / "metrics.json",
    output:
        OUT / "diagnose" / "{method}" / "{exams}" / "{draw}" / "metrics.json",
    params:
        run=lambda wildcards, input, output: bundle(
            DIAGNOSIS["bundle"],
            files("train.yaml", "evaluate.yaml", overlay=None),
            f"--datalist {input.labels} --masks {Path(input.masks).parent}/masks "
            f"--weights {OUT / 'diagnose' / 'reference' / 'models' / 'model.pt'} "
            f"--report_dir {Path(output[0]).parent.resolve()}",
        ),
    resources:
        **resources("diagnose"),
    log:
        OUT / "logs" / "diagnose_{method}_{exams}_{draw}.log",
    shell:
        "({params.run}) > {log} 2>&1"


rule plan:
    input:
        weights=OUT / "pretrain" / str(PLANNER) / "test" / "metrics.json",
        datalist=datalist("unlabelled"),
    output:
        touch(OUT / "plans" / "plans.done"),
    params:
        run=lambda wildcards, input: bundle(
            pretext_bundle(PLANNER),
            files("inference.yaml"),
            f"--input {input.datalist} --section test --num_exams 3 "
            f"--weights {OUT / 'pretrain' / PLANNER / 'models' / 'model.pt'} "
            f"--output_dir {OUT / 'plans'} {overrides('plan')}",
            DEVICE,
        ),
    resources:
        **resources("plan"),
    log:
        OUT / "logs" / "plan.log",
    shell:
        "({params.run}) > {log} 2>&1"


rule report:
    input:
        expand(OUT / "pretrain" / "{pretext}" / "test" / "metrics.json", pretext=PRETEXTS),
        expand(
            OUT / "finetune" / "{method}" / "{exams}" / "{draw}" / "test" / "metrics.json",
            method=METHODS, exams=COUNTS, draw=DRAWS,
        ),
        expand(
            OUT / "diagnose" / "{method}" / "{exams}" / "{draw}" / "metrics.json",
            method=METHODS, exams=COUNTS, draw=DIAGNOSIS["draws"],
        ),
        [OUT / "plans" / "plans.done"] if PLANNER in PRETEXTS else [],
        [] if (config.get("datalists") or {}).get("unlabelled") else [OUT / "inspect.png"],
    output:
        OUT / "report" / "index.html",
    resources:
        **resources("report"),
    log:
        OUT / "logs" / "report.log",
    run:
        # what the report says of the study
        (OUT / "study.json").write_text(json.dumps({**config, "methods": METHODS}, indent=1))
        shell(PLANEWISE + " report {OUT} -o {output} > {log} 2>&1")
