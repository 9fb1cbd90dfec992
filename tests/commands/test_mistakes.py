"""Mistakes in a configuration that show only when the run begins: one line and exit code 2, never a traceback."""

import pytest

from seqlab.run.record import read_record
from tests.command import train_in_this_process
from tests.conftest import small

MISTAKES = {
    "trainer.limit_train_batches=0.0001": "limit_train_batches",
    "trainer.val_check_interval=100000": "val_check_interval",
    "trainer.max_epochs=-1": "training would never end: set trainer.max_epochs or trainer.max_steps",
    "task=tagging,callbacks.examples=null": "task (seqlab.tasks.TaggingTask) is for data of kind tagging, and data",
    "callbacks.examples.prompt=XYZ": "lacks: 'X', 'Y', 'Z'",
    "trainer.limit_val_batches=0.0001": "trainer: You requested to check 0.0001 of the `val_dataloader`",
    "data.path=nofile.txt": "nofile.txt: there is no such file",
    "data.batch_size=100000": "fewer than data.batch_size=100000 rows",
    "data.vocabulary=nowhere.json": "nowhere.json",
}


@pytest.mark.parametrize("overrides", MISTAKES)
def test_a_mistake_is_one_line_on_the_screen_and_in_the_record(tmp_path, text_file, capsys, overrides):
    given = dict.fromkeys(text.partition("=")[0] for text in overrides.split(","))
    rest = [text for text in small(text_file, "trainer.max_epochs=1") if text.partition("=")[0] not in given]
    assert train_in_this_process(tmp_path, *rest, *overrides.split(",")) == 2
    message = capsys.readouterr().err
    assert message.startswith("seqlab: ") and message.count("\n") == 1
    assert MISTAKES[overrides] in message
    record = read_record(tmp_path)
    assert record["status"] == "failed" and MISTAKES[overrides] in record["error"]
