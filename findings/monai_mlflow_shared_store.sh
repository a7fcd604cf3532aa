#!/usr/bin/env bash
# Two trainings that log to one MLflow store at the same time become one run of MLflow, without a word.
# Guess: MONAI's MLFlowHandler without `run_name`, which is the default of `--tracking mlflow`, makes a new run for each training.
# Seen (MONAI 1.6.1, mlflow-skinny 3.17.2): a handler that starts while another one of the same experiment has not ended goes on with the
#   other's run, and a run that crashed is taken over by the next training. The store has one run with the losses of both at each step. With
#   different values of one parameter (`experiment_param`), the second training ends with "Changing param values is not allowed".
# Why it matters: on a shared server, curves of two people's trainings are drawn as one. planewise names each run by its settings.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 monai==1.6.1 pytorch-ignite==0.5.5 \
    mlflow-skinny==3.17.2 sqlalchemy==2.0.57 alembic==1.20.1
cd "$work"
cat > two.py <<'PYTHON'
from ignite.engine import Engine
from mlflow.tracking import MlflowClient
from monai.handlers import MLFlowHandler


def training(loss: float, names: dict, **settings: object) -> MLFlowHandler:
    """The handler of a training that has begun and made one step, and has not ended."""
    handler = MLFlowHandler("sqlite:///mlruns.db", experiment_name="hearts", experiment_param=settings, **names)
    engine = Engine(lambda engine, batch: loss)
    engine.state.iteration = 1
    engine.state.max_epochs, engine.state.epoch_length = 1, 1
    handler.start(engine)
    handler.client.log_metric(handler.cur_run.info.run_id, "loss", loss, step=1)
    return handler


client = MlflowClient("sqlite:///mlruns.db")
first, second = training(0.5, {}, seed=0), training(0.9, {}, seed=0)
(run,) = client.search_runs([first.experiment.experiment_id])
both = [each.value for each in client.get_metric_history(run.info.run_id, "loss")]
print("runs: 1, losses of step 1:", *sorted(both))
assert first.cur_run.info.run_id == second.cur_run.info.run_id and sorted(both) == [0.5, 0.9]
try:
    training(0.7, {}, seed=1)
    raise SystemExit("another seed was accepted")
except Exception as error:
    print(type(error).__name__, "Changing param values is not allowed" in str(error))
    assert "Changing param values is not allowed" in str(error)
named = training(0.7, {"run_name": "a name of its own"}, seed=1)
assert named.cur_run.info.run_id != first.cur_run.info.run_id
print("with a run_name of its own, a run of its own")
PYTHON
venv/bin/python -W ignore two.py
