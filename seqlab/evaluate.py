"""``seqlab evaluate``: the metrics of a run's best checkpoint, on its own data or another."""

import logging
import warnings
from pathlib import Path

from seqlab import build, saved
from seqlab.errors import InputError
from seqlab.train import evaluate_splits, ignore_foreign_warnings, prepare_process
from seqlab.trust import check_targets


def evaluate(run_dir: Path, overrides: list[str]) -> dict[str, float]:
    """Evaluates the best checkpoint of a run on the validation and test splits of its configuration, ``overrides``
    applied.

    The run's own vocabulary is kept, whatever the data: ids mean what the model learned them to mean.

    Raises:
        InputError: where the folder, its data or an override is wrong.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    run = saved.load_run(run_dir, overrides)
    check_targets(run.config)
    build.check_settings(run.config)
    prepare_process(run.config)
    data = build.build_data({**run.config, "data": {**run.config["data"], "vocabulary": str(run_dir)}})
    data.prepare_data()
    data.setup("test")
    if len(data.vocabulary) != run.spec.vocab_size:
        raise InputError(
            f"{run_dir} has a vocabulary of {run.spec.vocab_size} tokens, the data one of {len(data.vocabulary)}"
        )
    task = build.build_task(run.config, data.spec, run.model())
    with warnings.catch_warnings():
        ignore_foreign_warnings()
        return evaluate_splits(run.config, task, data, run.checkpoint)
