"""A user's folder with twelve settings, of which two are mistaken: one cell raises, one learning rate diverges."""

from pathlib import Path

CELL = '''\
"""h' = (1 - a) h + a tanh(c): a leaky unit, with a mistake that shows at one size."""

from seqlab.nn import GatedCell


class LeakyCell(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        {mistake}
        return (0.5 * state[0] + 0.5 * (gi + gh).tanh(),)
'''
MISTAKE = "if state[0].shape[-1] == 40:\n            raise IndexError('a mistake of the user in the cell')"

SETTING = """\
# @package _global_
defaults:
  - override /data: kjv
  - override /model/cell: {cell}
  - override /optimizer: {optimizer}
  - override /trainer: cpu

data: {{unit: character, batch_size: 16, tbptt_steps: 32, eval_batch_size: 64, eval_steps: 64}}
model: {{num_layers: 2, hidden_size: {size}, embedding_size: 16, dropout: 0.2}}
optimizer: {{lr: {rate}}}
trainer:
  max_steps: {steps}
  val_check_interval: {interval}
  limit_val_batches: 20
  limit_test_batches: 20
  log_every_n_steps: 5
callbacks: {{checkpoint: {{every_n_steps: 10}}, examples: null}}
runtime: {{num_threads: 1}}
"""

CELLS, SIZES = ("lstm", "gru", "leaky"), (24, 32, 40, 48)
NAMES = [f"{cell}_{size}" for cell in CELLS for size in SIZES]
RAISES, DIVERGES, KILLED = "leaky_40", "gru_48", "lstm_32"
COMMAND = ("train", "-m", "--config-dir", "conf", f"experiment={','.join(NAMES)}", "name=twelve")
SWEEP = Path("runs") / "twelve"


def write(folder: Path, steps: int, mistaken: bool) -> None:
    """Writes the cell and the settings, with or without the mistakes of two of them."""
    for group in ("experiment", "model/cell"):
        (folder / "conf" / group).mkdir(parents=True, exist_ok=True)
    (folder / "leaky.py").write_text(CELL.format(mistake=MISTAKE if mistaken else "# mended"))
    cell = "_target_: leaky.LeakyCell\n_partial_: true\n"
    (folder / "conf" / "model" / "cell" / "leaky.yaml").write_text(cell)
    for name in NAMES:
        wild = mistaken and name == DIVERGES
        setting = SETTING.format(
            cell=name.partition("_")[0],
            size=name.partition("_")[2],
            optimizer="sgd" if wild else "adam",
            rate="1.0e+30" if wild else "0.01",
            steps=steps,
            interval=max(1, steps // 3),
        )
        path = folder / "conf" / "experiment" / f"{name}.yaml"
        if not path.exists() or path.read_text() != setting:
            path.write_text(setting)
