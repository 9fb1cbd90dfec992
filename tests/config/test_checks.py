"""Values of a wrong type or out of range: one line that names the key, before anything is built."""

import pytest

from seqlab.config.compose import compose_config
from seqlab.errors import InputError

MISTAKES = {
    "seed=-1": "seed=-1: expected a whole number, 0 or more",
    "seed=abc": "seed=abc: expected a whole number",
    "runtime.num_threads=0": "runtime.num_threads=0: expected a whole number, 1 or more",
    "trainer.max_epochs=many": "trainer.max_epochs=many: expected a whole number",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches=0: expected a whole number, 1 or more",
    "trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch=0: expected a whole number, 1 or more",
    "trainer.log_every_n_steps=0": "trainer.log_every_n_steps=0: expected a whole number, 1 or more",
    "trainer.gradient_clip_val=-1": "trainer.gradient_clip_val=-1: expected a norm of 0 or more",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_value_of_a_wrong_kind_is_refused(override):
    with pytest.raises(InputError) as refused:
        compose_config([override])
    assert MISTAKES[override] in str(refused.value) and "\n" not in str(refused.value)
