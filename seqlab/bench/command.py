"""The arguments of ``seqlab bench``, and what they start. Torch is imported only when a benchmark runs."""

import argparse
import os
from pathlib import Path
from typing import Any

from seqlab.config.project import use_project
from seqlab.config.trust import allow
from seqlab.errors import InputError
from seqlab.imports import add_user_folders

PARTS = ("main", "compile", "scaling", "lengths", "shapes", "memory", "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``seqlab bench``."""
    subjects = parser.add_subparsers(title="what to measure", required=True, metavar="training|engine")
    training = subjects.add_parser("training", help="a language model's training step and evaluation")
    training.set_defaults(run=_run_training)
    engine = subjects.add_parser("engine", help="every engine on every cell, layer by layer")
    _add_engine_arguments(engine)
    engine.set_defaults(run=_run_engine)
    for subject in (training, engine):
        subject.add_argument(
            "--precision", default="32-true", choices=["32-true", "bf16-mixed"], help="as the trainer's"
        )
        subject.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


def _add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    add: Any = parser.add_argument
    add("--part", default="all", choices=PARTS, help="what to measure of the engines")
    add("--cells", type=_names, metavar="NAME[,NAME]", help="such as lstm,user_gru,my_cells.MyCell (default: all)")
    add("--allow", action="append", default=[], metavar="MODULE", help="let --cells name classes of this module")
    add("--config-dir", metavar="DIR", help="let --cells name the files of DIR/model/cell")
    add("--engines", type=_names, metavar="NAME[,NAME]", help="(default: all that serve the cell)")
    add("--sizes", type=_size, nargs="+", metavar="T,B,H[,I]", help="steps, rows, widths; one or more")
    add("--steps", type=_numbers, metavar="T[,T]", help="of the part scaling (default: 128 to 8192)")
    add("--rounds", type=positive, default=15, metavar="N", help="each contender is timed once a round")
    add("--threads", type=positive, metavar="N", help="threads of PyTorch (default: PyTorch's own choice)")
    add("--device", default="cpu", choices=["cpu", "cuda"], help="where to measure")


def _run_training(args: argparse.Namespace) -> int:
    from seqlab.bench.training import training

    return training(args.precision, args.json)


def _run_engine(args: argparse.Namespace) -> int:
    allow(name for value in args.allow for name in value.split(","))
    config_dir = use_project(args.config_dir, trusts_beside=True)
    if args.config_dir is not None and not os.path.isdir(args.config_dir):
        raise InputError(f"--config-dir {args.config_dir}: there is no such folder; give the folder above model/cell")
    beside = [] if config_dir is None else [os.path.dirname(os.path.abspath(config_dir))]
    add_user_folders([os.getcwd(), *beside])
    from seqlab.bench.engine.contenders import Size
    from seqlab.bench.engine.run import SIZES, STEPS, Options, run

    options = Options(
        part=args.part,
        cells=args.cells,
        config_dir=config_dir,
        sizes=tuple(Size(*size) for size in args.sizes) if args.sizes else SIZES,
        engines=args.engines,
        steps=tuple(sorted(set(args.steps))) if args.steps else STEPS,
        rounds=args.rounds,
        threads=args.threads,
        precision=args.precision,
        device=args.device,
        json_file=args.json,
    )
    return run(options)


def positive(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between them, got {text!r}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


def _size(text: str) -> tuple[int, ...]:
    sizes = _numbers(text)
    if len(sizes) not in (3, 4):
        raise argparse.ArgumentTypeError(f"expected numbers T,B,H or T,B,H,I, got {text!r}")
    return sizes
