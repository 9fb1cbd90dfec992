"""What is said of callbacks that a checkpoint does not keep."""

import lightning.pytorch as pl

from seqlab.callbacks import TrainingMetrics
from seqlab.run.resumed_callbacks import warn_of_forgetful


class Counting(pl.Callback):
    def __init__(self):
        self.batches = 0


class Kept(Counting):
    def state_dict(self):
        return {"batches": self.batches}


class Plain(pl.Callback):
    pass


def test_a_callback_with_attributes_and_no_state_dict_is_named(caplog):
    warn_of_forgetful([Counting(), Kept(), Plain(), TrainingMetrics(), pl.callbacks.LearningRateMonitor()])
    (record,) = caplog.records
    assert record.getMessage().startswith("the callback Counting goes on as it was made, for it has no state_dict")
