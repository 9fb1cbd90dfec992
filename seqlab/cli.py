"""The ``seqlab`` command. Each subcommand imports what it needs when it runs: help and reports start without torch."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))  # of `python -m`: the working folder, in which a file may be called random.py

import argparse
from pathlib import Path
from typing import Any, NoReturn, TextIO

from seqlab import __version__
from seqlab.errors import InputError
from seqlab.imports import add_user_folders, quick_imports
from seqlab.streams import is_unicode, print_any_text

TRAIN_HELP = """\
usage: seqlab train [-m] [--allow MODULE] [--config-dir DIR] [KEY=VALUE ...]

Composes a configuration with Hydra and trains it; the run's folder is the last line printed.

  seqlab train experiment=kjv_char_lstm              a preset
  seqlab train data=text data.path=my.txt            your own text
  seqlab train -m model.num_layers=1,2,3 seed=1,2    a sweep: every combination
  seqlab train --cfg job                             print the configuration, train nothing

-m, --multirun      sweep over the comma-separated values
--config-dir DIR    a folder with more configuration groups, such as DIR/model/cell/my_cell.yaml
--allow MODULE      let the configuration name classes of this module
Hydra's other options work too; see `seqlab train --hydra-help`.
"""


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns 0 when done, 1 when a run failed, 2 when the input was wrong."""
    argv = sys.argv[1:] if argv is None else argv
    print_any_text()
    try:
        if argv[:1] == ["train"]:
            return _train(argv[1:])
        args = _parser().parse_args(argv)
        return int(args.run(args))
    except InputError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("seqlab: stopped", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left, as `| head` does
        return 0


def _refuse(message: str, file: TextIO | None = None) -> int:
    print(f"seqlab: {' '.join(message.split())}", file=file or sys.stderr)
    return 2


def _train(argv: list[str]) -> int:
    if {"-h", "--help"} & set(argv):
        print(TRAIN_HELP)
        return 0
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from seqlab.commands import train as launch
    from seqlab.config.hints import explain, is_of_composition

    try:
        return launch.train(argv)
    except InputError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        return _refuse(explain(error))
    except Exception as error:
        if not is_of_composition(error):
            raise
        return _refuse(explain(error))


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, as all of the command does; argparse would put its usage before it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Lets options stand between the inputs or overrides of a command: argparse takes those before them alone."""
        parsed, left = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs == "*" and left and not any(each.startswith("-") for each in left):
                getattr(parsed, action.dest).extend(left)
                left = []
        return parsed, left


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="seqlab", description="Recurrent networks: write a cell in ten lines, train it, compare it fairly."
    )
    parser.add_argument("--version", action="version", version=f"seqlab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    commands.add_parser("train", help="train a configuration, or with -m a sweep of them", add_help=False)

    resume = _command(commands, "resume", _resume, "continue an interrupted run from its last checkpoint")
    resume.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change where it runs, as in trainer.devices")
    resume.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the configuration name its classes"
    )

    evaluate = _command(commands, "evaluate", _evaluate, "measure a run's best checkpoint on validation and test")
    evaluate.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change values of the stored configuration")
    evaluate.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the configuration name its classes"
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    generate = _command(commands, "generate", _generate, "continue a prompt")
    generate.add_argument("--prompt", required=True)
    generate.add_argument("--max-new-tokens", type=_positive, default=200, metavar="N")
    how = generate.add_mutually_exclusive_group()
    how.add_argument("--greedy", action="store_true", help="always the likeliest token")
    how.add_argument("--temperature", type=float, default=1.0, metavar="X", help="below 1 sharpens, above 1 flattens")
    generate.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens")
    generate.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest tokens that make up P")
    generate.add_argument("--num-samples", type=_positive, default=1, metavar="N")
    generate.add_argument("--seed", type=int, default=0)
    generate.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the configuration name its classes"
    )

    complete = _command(commands, "complete", _complete, "list the likeliest continuations, as a search box does")
    complete.add_argument("text")
    complete.add_argument("-k", type=_positive, default=10, help="how many")
    complete.add_argument("--words", type=_positive, default=1, help="how many words each continuation has")
    complete.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the configuration name its classes"
    )

    predict = _command(commands, "predict", _predict, "ask a trained model about new input")
    predict.add_argument("inputs", nargs="*", metavar="INPUT", help="one text each")
    predict.add_argument("--file", type=Path, metavar="FILE", help="a text file of further inputs, one a line")
    predict.add_argument("--json", action="store_true", help="print one JSON object a line")
    predict.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the configuration name its classes"
    )

    from seqlab import report

    report_parser = commands.add_parser("report", help="compare runs: a table and a plot")
    report.add_arguments(report_parser)
    report_parser.set_defaults(run=report.run)

    _add_bench(commands)
    return parser


def _add_bench(commands: "argparse._SubParsersAction[_Parser]") -> None:
    bench = commands.add_parser("bench", help="measure speed against plain PyTorch")
    subjects = bench.add_subparsers(title="what to measure", required=True, metavar="training|engine")

    training = subjects.add_parser("training", help="a language model's training step and evaluation")
    training.set_defaults(run=_bench_training)

    engine = subjects.add_parser("engine", help="every engine on every cell, layer by layer")
    parts = ["main", "compile", "scaling", "lengths", "shapes", "memory", "all"]
    engine.add_argument("--part", default="all", choices=parts)
    engine.add_argument("--cells", type=_names, metavar="NAME[,NAME]", help="such as lstm,user_gru (default: all)")
    engine.add_argument("--engines", type=_names, metavar="NAME[,NAME]", help="(default: all that serve the cell)")
    engine.add_argument("--sizes", type=_size, nargs="+", metavar="T,B,H[,I]", help="steps, rows, widths; one or more")
    engine.add_argument("--steps", type=_numbers, metavar="T[,T]", help="of the part scaling (default: 128 to 8192)")
    engine.add_argument(
        "--rounds", type=_positive, default=15, metavar="N", help="each contender is timed once in each"
    )
    engine.add_argument("--threads", type=_positive, metavar="N")
    engine.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    engine.set_defaults(run=_bench_engine)
    for subject in (training, engine):
        subject.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
        subject.add_argument("--json", type=Path, metavar="FILE")


def _command(
    commands: "argparse._SubParsersAction[_Parser]", name: str, run: object, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.set_defaults(run=run)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between them, got {text!r}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _size(text: str) -> tuple[int, ...]:
    sizes = _numbers(text)
    if len(sizes) not in (3, 4):
        raise argparse.ArgumentTypeError(f"expected numbers T,B,H or T,B,H,I, got {text!r}")
    return sizes


def _resume(args: argparse.Namespace) -> int:
    from seqlab.commands.resume import resume

    return resume(args.run_dir, args.overrides, args.allow)


def _evaluate(args: argparse.Namespace) -> int:
    _open_run(args)
    with quick_imports():
        from seqlab.commands.evaluate import evaluate

    metrics = evaluate(args.run_dir, args.overrides)
    if args.json:
        import json

        print(json.dumps(metrics))
    else:
        for name, value in metrics.items():
            print(f"{name:<24} {value:.6g}")
    return 0


def _generate(args: argparse.Namespace) -> int:
    _open_run(args)
    with quick_imports():
        from seqlab.commands.generate import generate
        from seqlab.nn.models.generation import Sampling
        from seqlab.run.load import load_run

    if args.greedy and (args.top_k is not None or args.top_p is not None):
        raise InputError(
            "--greedy takes the likeliest token, so --top-k and --top-p have nothing to choose; drop one side"
        )
    sampling = Sampling(args.greedy, args.temperature, args.top_k, args.top_p)
    texts = generate(load_run(args.run_dir), args.prompt, args.max_new_tokens, sampling, args.num_samples, args.seed)
    print(f"\n{'-' * 40}\n".join(texts))
    return 0


def _complete(args: argparse.Namespace) -> int:
    _open_run(args)
    with quick_imports():
        from seqlab.commands.generate import complete, read_prompt
        from seqlab.run.load import load_run

    text = read_prompt(args.text)
    for continuation, probability in complete(load_run(args.run_dir), text, args.k, args.words):
        print(f"{probability:7.2%}  " + f"{text}{continuation}".replace("\n", "\\n"))  # one line each
    return 0


def _predict(args: argparse.Namespace) -> int:
    _open_run(args)
    with quick_imports():
        from seqlab.commands.predict import predict
        from seqlab.run.load import load_run

    for prediction in predict(load_run(args.run_dir), args.inputs, args.file):
        if args.json:
            import json

            print(json.dumps(prediction.values, ensure_ascii=not is_unicode(sys.stdout)))
        else:
            print(prediction.line)
    return 0


def _bench_training(args: argparse.Namespace) -> int:
    from seqlab.bench.training import training

    return training(args.precision, args.json)


def _bench_engine(args: argparse.Namespace) -> int:
    from seqlab.bench.engine.contenders import Size
    from seqlab.bench.engine.run import SIZES, STEPS, Options, run

    options = Options(
        part=args.part,
        cells=args.cells,
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


def _open_run(args: argparse.Namespace) -> None:
    """Refuses a folder without a run before anything slow is imported, and lets the user's own modules be found."""
    import os

    from seqlab.config.trust import allow
    from seqlab.run.record import read_record
    from seqlab.run.same import Now, since_training

    record = read_record(args.run_dir)
    allow(args.allow)
    add_user_folders([os.getcwd()])
    for line in since_training(record, Now()):
        print(f"seqlab: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
