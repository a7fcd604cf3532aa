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
#   methods         none (from scratch), imagenet, or one of the pretexts
#   imagenet        file of ImageNet weights, optional: every pretext and every fine-tuning starts from it, save none
#   diagnose        optional: a bundle that diagnoses from predicted masks, and the draws whose masks it gets
#   plan            optional: the pretext whose inference plans views of test exams
#
# Every job is one `python -m monai.bundle run`. A rule declares only the metrics.json that its job writes last: Snakemake
# deletes the declared outputs of a job that was interrupted, and the checkpoints must stay, so that the job goes on where
# it was. On a cluster, add a Snakemake profile.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
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
METHODS = list(config["methods"])
COUNTS = list(config["label_counts"])
DRAWS = list(config["draws"])
TARGET = config["target"]
DIAGNOSIS = config.get("diagnose") or {"bundle": None, "draws": []}
PLANNER = config.get("plan")
IMAGENET = [str(Path(config["imagenet"]).expanduser().resolve())] if config.get("imagenet") else []

if unknown := set(METHODS) - {"none", "imagenet", *PRETEXTS}:
    names, known = ", ".join(sorted(unknown)), ", ".join(PRETEXTS)
    raise WorkflowError(f"methods: {names} is none of the pretexts ({known}); add it there")
if "imagenet" in METHODS and not IMAGENET:
    raise WorkflowError("methods: imagenet needs its weights; give `imagenet: PATH` or leave the method out")


def files(*names, overlay=config.get("overlay")):
    """MONAI's --config_file for some of a bundle's configs, with the study's overlay last."""
    names = [*names, *([overlay] if overlay else [])]
    return '"[' + ",".join(f"'configs/{name}'" for name in names) + ']"'


def overrides(kind):
    """Settings of the study for all jobs of a kind, as command line arguments."""
    settings = config.get("overrides", {}).get(kind) or {}
    return " ".join(f"--{name} '{value}'" for name, value in settings.items())


def bundle(name, configs, arguments):
    """Command line of a bundle run, from the bundle's folder."""
    return (
        f"cd {BUNDLES / name} && {PYTHON} -m monai.bundle run --config_file {configs} {arguments} "
        f"--device {config.get('device', 'cpu')}"
    )


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


wildcard_constraints:
    kind="unlabelled|labelled",
    pretext="[a-z]+",
    method="[a-z]+",
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
    log:
        OUT / "logs" / "index_{kind}.log",
    shell:
        PLANEWISE + " index {OUT}/{wildcards.kind} -o {output} --anatomy {ANATOMY} {params.settings} > {log} 2>&1"


rule inspect:
    input:
        OUT / "unlabelled.json",
    output:
        OUT / "inspect.png",
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
        run=lambda wildcards, input: bundle(
            pretext_bundle(wildcards.pretext),
            files("train.yaml", "evaluate.yaml"),
            f"--run_id train_and_evaluate --section test --datalist {input.datalist} --seed {config.get('seed', 0)} "
            f"--progress False --output_dir {OUT / 'pretrain' / wildcards.pretext} "
            + "".join(f"--imagenet {path} " for path in input.imagenet)
            + overrides("pretrain"),
        ),
    # the long jobs first, or the last of them runs alone
    priority: 10
    threads: THREADS
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
        run=lambda wildcards, input: bundle(
            TARGET["bundle"],
            files("train.yaml", "evaluate.yaml"),
            f"--run_id train_and_evaluate --datalist {input.labels} --num_subjects {wildcards.exams} "
            f"--subject_seed {wildcards.draw} --seed {wildcards.draw} "
            + TARGET.get("arguments", "").format(diagnosed=int(wildcards.draw) in DIAGNOSIS["draws"])
            + f" --progress False "
            f"--output_dir {OUT}/finetune/{wildcards.method}/{wildcards.exams}/{wildcards.draw} "
            + starting_weights(wildcards, input)
            + overrides("finetune"),
        ),
    threads: THREADS
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
        ),
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
        [OUT / "plans" / "plans.done"] if PLANNER else [],
        [] if (config.get("datalists") or {}).get("unlabelled") else [OUT / "inspect.png"],
    output:
        OUT / "report" / "index.html",
    log:
        OUT / "logs" / "report.log",
    run:
        # what the report says of the study
        (OUT / "study.json").write_text(json.dumps(dict(config), indent=1))
        shell(PLANEWISE + " report {OUT} -o {output} > {log} 2>&1")
