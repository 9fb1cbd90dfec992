"""The engines of this checkout against those of another one, forward and backward, cell by cell.

python experiments/speed/against.py OTHER_CHECKOUT            the cells and sizes of `seqlab bench engine --part main`
python experiments/speed/against.py OTHER_CHECKOUT --lengths  the same with rows of T/2 to T steps

Three processes stand beside each other: this checkout, the other, and the other once more, which shows what a ratio of
one is worth on this machine. They take turns, once a round, the order rotated by one each round; a timing holds as many
calls as make 20 ms. A ratio is the median of the ratios within the rounds: below 1 this checkout is faster. The first
call is timed with all compiled steps on disk, each in a process that has compiled another cell before.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
SIZES = ((35, 20, 200), (35, 20, 650), (128, 64, 256), (20, 32, 64), (256, 16, 512))  # of `seqlab bench engine`


def serve(threads: int) -> None:
    """Answers requests on standard input, a line of JSON each: what one layer takes."""
    import logging

    import torch

    logging.getLogger("seqlab").setLevel(logging.ERROR)
    torch.set_num_threads(threads)
    from seqlab.bench.engine.cells import all_cells
    from seqlab.nn import Recurrent

    cells, layer, x, lengths, out = all_cells(), None, None, None, sys.stdout

    def call() -> None:
        output, _ = layer(x, lengths=lengths)
        torch.autograd.grad(output, [x, *layer.parameters()], torch.ones_like(output), allow_unused=True)

    print(json.dumps(list(cells)), flush=True)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if "cell" in asked:
            steps, rows, size = asked["size"]
            torch.manual_seed(0)
            layer = Recurrent(cells[asked["cell"]](size, size), "auto")
            x = torch.randn(rows, steps, size, requires_grad=True)
            lengths = torch.randint(steps // 2, steps + 1, (rows,)) if asked["lengths"] else None
            began = time.perf_counter()
            call()
            answer: Any = time.perf_counter() - began
            call()
        else:
            count, began = 0, time.perf_counter()
            while (taken := time.perf_counter() - began) < 0.02 or not count:
                call()
                count += 1
            answer = taken / max(1, count)
        print(json.dumps(answer), file=out, flush=True)


class Checkout:
    """A process that imports seqlab from a checkout."""

    def __init__(self, folder: Path, kernels: Path, threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder), "SEQLAB_KERNEL_CACHE": str(kernels)}
        command = [sys.executable, __file__, "--serve", str(threads), str(folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
        )
        self.cells: list[str] = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, **asked: Any) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return float(self._read())


def measure(checkouts: list[Checkout], cell: str, size: tuple[int, ...], lengths: bool, rounds: int) -> list[float]:
    """For the checkouts after the second: (ratio to the second, ...), and the first calls of all."""
    for each in checkouts:
        each.ask(cell=cell, size=size, lengths=lengths)  # compiled now, if it was not
    first = [each.ask(cell=cell, size=size, lengths=lengths) for each in checkouts]
    times: list[list[float]] = []
    for turn in range(rounds):
        order = [(turn + place) % len(checkouts) for place in range(len(checkouts))]
        found = {place: checkouts[place].ask() for place in order}
        times.append([found[place] for place in range(len(checkouts))])
    ours = statistics.median(one[0] / one[1] for one in times)
    same = statistics.median(one[2] / one[1] for one in times)
    return [ours, same, statistics.median(one[1] for one in times), *first]


def geometric(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lengths", action="store_true")
    parser.add_argument("--cells", help="such as lstm,user_gru (default: all that both know)")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    with tempfile.TemporaryDirectory() as kernels:
        checkouts = [
            Checkout(folder, Path(kernels) / name, options.threads)
            for folder, name in ((HERE, "ours"), (options.other.resolve(), "other"), (options.other.resolve(), "other"))
        ]
        names = [cell for cell in checkouts[0].cells if cell in checkouts[1].cells]
        names = options.cells.split(",") if options.cells else names
        titles = [f"({T},{B},{H})" for T, B, H in SIZES]
        print("| cell |", " | ".join(titles), "| mean | the other against itself | first call, ms |")
        print("| :-- |", " --: |" * (len(titles) + 3), flush=True)
        every = []
        for cell in names:
            rows = [measure(checkouts, cell, size, options.lengths, options.rounds) for size in SIZES]
            every.append((geometric([row[0] for row in rows]), geometric([row[1] for row in rows])))
            cold = [1000 * statistics.median(row[3 + place] for row in rows) for place in (0, 1)]
            ratios = " | ".join(f"{row[0]:.2f}" for row in rows)
            means = f"**{every[-1][0]:.3f}** | {every[-1][1]:.3f}"
            print(f"| {cell} | {ratios} | {means} | {cold[0]:.0f} against {cold[1]:.0f} |", flush=True)
        print(f"| all | {' |' * len(SIZES)} **{geometric([a for a, _ in every]):.3f}** | "
              f"{geometric([b for _, b in every]):.3f} | |")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
