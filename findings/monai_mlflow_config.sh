#!/usr/bin/env bash
# With a plain `output_dir`, MONAI's `--tracking mlflow` stores the executed config in the folder, but not in MLflow.
# Guess: `python -m monai.bundle run --tracking mlflow` logs the config of each run as an artifact (`save_execute_config`), wherever the
#   config says that results go, and an artifact that cannot be found is an error or a warning.
# Seen (MONAI 1.6.1, mlflow-skinny 3.17.2): with `output_dir: $'out'`, an expression, MLflow has config_*.json. With `output_dir: out`, or
#   `--output_dir out` over the expression, the artifact's path becomes the text "out + '/config_....json'", no such file exists, and the
#   run ends without an artifact and without a word.
# Why it matters: people compare runs in MLflow by settings; those of runs started with --output_dir, which is the usual way, are missing there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 monai==1.6.1 pytorch-ignite==0.5.5 \
    fire==0.7.1 pyyaml==6.0.3 mlflow-skinny==3.17.2 sqlalchemy==2.0.57 alembic==1.20.1
cd "$work"
mkdir configs
cat > configs/train.yaml <<'YAML'
bundle_root: .
output_dir: OUTPUT
initialize: []
run: [$@train#trainer.run()]
network: {_target_: torch.nn.Linear, in_features: 1, out_features: 1}
train:
  data: [{image: $torch.ones(1), label: $torch.ones(1)}]
  handlers: []
  trainer:
    _target_: SupervisedTrainer
    device: $torch.device('cpu')
    max_epochs: 1
    train_data_loader: {_target_: DataLoader, dataset: {_target_: Dataset, data: '@train#data'}, batch_size: 1}
    network: '@network'
    loss_function: {_target_: torch.nn.MSELoss}
    optimizer: {_target_: torch.optim.SGD, params: $@network.parameters(), lr: 0.1}
    train_handlers: '@train#handlers'
YAML
cat > artifacts.py <<'PYTHON'
import sys

from mlflow.tracking import MlflowClient

client = MlflowClient(f"sqlite:///{sys.argv[1]}/mlruns.db")
runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
(run,) = runs
print(len(client.list_artifacts(run.info.run_id)))
PYTHON
artifacts() { # name, output_dir in the config, further options: the number of artifacts in MLflow
    sed "s|OUTPUT|$2|" configs/train.yaml > "configs/$1.yaml"
    venv/bin/python -W ignore -m monai.bundle run --config_file "configs/$1.yaml" --tracking mlflow "${@:3}" > "$1.log" 2>&1 ||
        { tail -n 20 "$1.log" >&2; exit 1; }
    [ "$(find "$1" -maxdepth 1 -name 'config_*.json' | wc -l)" = 1 ] || { echo "no config in $1" >&2; exit 1; }
    venv/bin/python artifacts.py "$1" 2>> "$1.log"
}
expression=$(artifacts expression "\$'expression'")
plain=$(artifacts plain plain)
option=$(artifacts option "\$'other'" --output_dir option)
echo "artifacts in MLflow: output_dir as an expression $expression, as a plain path $plain, as an option $option"
[ "$expression $plain $option" = "1 0 0" ]
