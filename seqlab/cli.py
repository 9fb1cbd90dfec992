"""The ``seqlab`` command. Each subcommand imports what it needs when it runs: help and reports start without torch."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m` puts the working folder first, and a file there may have a standard module's name, such as random.py.
    sys.path.append(sys.path.pop(0))

import argparse
from pathlib import Path
from typing import Any, NoReturn

from seqlab import __version__
from seqlab.errors import InputError
from seqlab.imports import quick_imports
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
A file seqlab.toml of the working folder can hold both, and more: see the guide "A project of your own".
Hydra's other options work too; see `seqlab train --hydra-help`.
"""


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns 0 when done, 1 when a run failed, 2 when the input was wrong."""
    argv = sys.argv[1:] if argv is None else argv
    print_any_text()
    try:
        if argv[:1] != ["train"]:
            args = _parser().parse_args(argv)
            return int(args.run(args))
        if {"-h", "--help"} & set(argv):
            print(TRAIN_HELP)
            return 0
        from seqlab.commands.train import train

        return train(argv[1:])
    except InputError as error:
        print(f"seqlab: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("seqlab: stopped", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left, as `| head` does
        return 0


class _Once(argparse._StoreAction):
    """The value of an option that is given once: argparse would take the last of several."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        given = vars(namespace).setdefault("_given", set())
        if option_string is not None and self.dest in given:
            parser.error(f"{option_string} is given twice; give it once")
        given.add(self.dest)
        super().__call__(parser, namespace, values, option_string)


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, as every command does; argparse would print its usage first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("action", None, _Once)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Allows options between the inputs or overrides of a command: argparse stops at the first option."""
        parsed, left = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs == "*" and left and not any(text.startswith("-") for text in left):
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
    _add_run_commands(commands)
    _add_new(commands)

    from seqlab import report

    report_parser = commands.add_parser("report", help="compare runs: a table and a plot")
    report.add_arguments(report_parser)
    report_parser.set_defaults(run=report.run)

    from seqlab.bench import command as bench

    bench.add_arguments(commands.add_parser("bench", help="measure speed against plain PyTorch"))
    return parser


def _add_run_commands(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Adds the commands that go on from a run's folder."""
    from seqlab.bench.command import positive

    resume = _command(commands, "resume", _resume, "continue an interrupted run from its last checkpoint")
    resume.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change where it runs, as in trainer.devices")

    evaluate = _command(commands, "evaluate", _evaluate, "measure a run's best checkpoint on validation and test")
    help_text = "change the stored configuration, such as data.test=FILE for a test on that file"
    evaluate.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=help_text)
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    generate = _command(commands, "generate", _generate, "continue a prompt")
    generate.add_argument("--prompt", help="the text to continue; music: a MIDI file, or train, validation or test")
    generate.add_argument("--output", type=Path, metavar="FOLDER", help="music: where MIDI files and pictures go")
    generate.add_argument("--max-new-tokens", type=positive, default=200, metavar="N", help="the most tokens to add")
    choice = generate.add_mutually_exclusive_group()
    choice.add_argument("--greedy", action="store_true", help="always the likeliest token")
    choice.add_argument(
        "--temperature", type=float, default=1.0, metavar="X", help="below 1 sharpens, above 1 flattens"
    )
    generate.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens")
    generate.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest tokens that make up P")
    generate.add_argument("--num-samples", type=positive, default=1, metavar="N", help="how many texts")
    generate.add_argument("--seed", type=int, default=0, help="of the random draws")

    chat = _command(commands, "chat", _chat, "talk with a language model of conversations")
    chat.add_argument("--page", action="store_true", help="on a page of this machine, not in the terminal")
    chat.add_argument("--port", type=int, default=0, metavar="N", help="of the page; 0: a free one")
    chat.add_argument("--temperature", type=float, default=0.7, metavar="X", help="below 1 sharpens, above 1 flattens")
    chat.add_argument(
        "--top-p", type=float, default=0.9, metavar="P", help="draw from the likeliest tokens that make up P"
    )
    chat.add_argument("--seed", type=int, default=0, help="of the random draws")

    complete = _command(commands, "complete", _complete, "list the likeliest continuations, as a search box does")
    complete.add_argument("text", help="the text to continue")
    complete.add_argument("-k", type=positive, default=10, help="how many")
    complete.add_argument("--words", type=positive, default=1, help="how many words each continuation has")

    predict = _command(commands, "predict", _predict, "ask a trained model about new input")
    predict.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="one text each; a file each, where the data are numbers"
    )
    predict.add_argument("--file", type=Path, metavar="FILE", help="a text file of further inputs, one a line")
    predict.add_argument("--json", action="store_true", help="print one JSON object a line")

    export = _command(commands, "export", _export, "write a trained model as files that run without seqlab")
    export.add_argument("--format", choices=("onnx", "torch"), default="onnx", help="ONNX, or torch.export's programs")
    export.add_argument(
        "--output", type=_path, metavar="FOLDER", help="a new folder; without it, export/FORMAT in the run's folder"
    )
    export.add_argument("--int8", action="store_true", help="8-bit weights too, measured on the validation split")
    export.add_argument("--overwrite", action="store_true", help="replace an export that is there already")
    states = _command(commands, "states", _states, "draw what a layer holds while the model reads a text")
    states.add_argument("text", metavar="TEXT", help="the text that the model reads")
    states.add_argument("--output", required=True, type=Path, metavar="FILE", help="the picture, .png, .pdf or .svg")
    states.add_argument("--part", default="h", metavar="NAME", help="h, c or a gate's name such as f (default: h)")
    states.add_argument("--layer", type=positive, metavar="N", help="from 1 at the bottom (default: the uppermost)")
    states.add_argument("--direction", choices=("forward", "backward"), help="of a bidirectional model")
    states.add_argument("--units", metavar="N[,N]", help="the units to draw, from 0 (default: all)")


def _add_new(commands: "argparse._SubParsersAction[_Parser]") -> None:
    text = "write the class, the configuration file and the test of a cell, a task or a dataset of your own"
    parser = commands.add_parser("new", help=text, description=text.capitalize() + ".")
    parser.add_argument("kind", choices=("cell", "task", "dataset"), metavar="cell|task|dataset", help="what to write")
    parser.add_argument("name", metavar="NAME", help="of the module and of the choice, such as my_cell")
    parser.set_defaults(run=_new)


def _command(
    commands: "argparse._SubParsersAction[_Parser]", name: str, run: object, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument("run_dir", type=_path, metavar="RUN_DIR", help="the folder of a run")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the configuration name its classes"
    )
    parser.set_defaults(run=run)
    return parser


def _path(text: str) -> Path:
    if not text.strip():  # an unset variable of the shell, which Path would take for the working folder
        raise argparse.ArgumentTypeError("the name is empty; give a folder, . for the working folder")
    return Path(text)


def _new(args: argparse.Namespace) -> int:
    from seqlab.commands.new import new

    return new(args.kind, args.name)


def _resume(args: argparse.Namespace) -> int:
    from seqlab.commands.resume import resume

    return resume(args.run_dir, args.overrides, args.allow)


def _evaluate(args: argparse.Namespace) -> int:
    run_dir = _open_run(args)
    with quick_imports():
        from seqlab.commands.evaluate import evaluate

    metrics = evaluate(run_dir, args.overrides)
    if args.json:
        import json

        print(json.dumps(metrics))
    else:
        for name, value in metrics.items():
            print(f"{name:<24} {value:.6g}")
    return 0


def _generate(args: argparse.Namespace) -> int:
    run_dir = _open_run(args)
    with quick_imports():
        from seqlab.commands.compose import is_music
        from seqlab.commands.generate import generate
        from seqlab.nn.models.generation import Sampling
        from seqlab.run.load import load_run

    if args.greedy and (args.top_k is not None or args.top_p is not None):
        raise InputError(
            "--greedy takes the likeliest token, so --top-k and --top-p have nothing to choose; drop one side"
        )
    run = load_run(run_dir)
    if is_music(run):
        return _compose(args, run)
    if args.output is not None or args.prompt is None:
        text = f"{run_dir} writes text: "
        raise InputError(text + ("leave out --output" if args.prompt is not None else "give --prompt TEXT"))
    sampling = Sampling(args.greedy, args.temperature, args.top_k, args.top_p)
    texts = generate(run, args.prompt, args.max_new_tokens, sampling, args.num_samples, args.seed)
    print(f"\n{'-' * 40}\n".join(texts))
    return 0


def _compose(args: argparse.Namespace, run: Any) -> int:
    from seqlab.commands.compose import write_pieces

    if args.greedy or args.top_k is not None or args.top_p is not None:
        raise InputError("--greedy, --top-k and --top-p are for tokens; the notes of a frame are drawn one by one")
    if args.output is None:
        raise InputError(f"{run.run_dir} writes music: give --output FOLDER for the MIDI files")
    frames = (args.max_new_tokens, args.temperature, args.num_samples, args.seed)
    for file in write_pieces(run, args.prompt, args.output, *frames):
        print(file)
    return 0


def _chat(args: argparse.Namespace) -> int:
    run_dir = _open_run(args)
    with quick_imports():
        from seqlab.commands.chat import page, talk
        from seqlab.nn.models.generation import Sampling
        from seqlab.run.load import load_run

    sampling = Sampling(temperature=args.temperature, top_p=args.top_p)
    run = load_run(run_dir)
    if not args.page:
        return talk(run, sampling, args.seed)
    server = page(run, sampling, args.seed, args.port)
    print(f"http://127.0.0.1:{server.server_port} (Ctrl-C ends)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
    return 0


def _complete(args: argparse.Namespace) -> int:
    run_dir = _open_run(args)
    with quick_imports():
        from seqlab.commands.generate import complete, read_prompt
        from seqlab.run.load import load_run

    text = read_prompt(args.text)
    for continuation, probability in complete(load_run(run_dir), text, args.k, args.words):
        print(f"{probability:7.2%}  " + f"{text}{continuation}".replace("\n", "\\n"))  # one line each
    return 0


def _predict(args: argparse.Namespace) -> int:
    run_dir = _open_run(args)
    with quick_imports():
        from seqlab.commands.predict import predict
        from seqlab.run.load import load_run

    for prediction in predict(load_run(run_dir), args.inputs, args.file):
        if args.json:
            import json

            print(json.dumps(prediction.values, ensure_ascii=not is_unicode(sys.stdout)))
        else:
            print(prediction.line)
    return 0


def _export(args: argparse.Namespace) -> int:
    if args.int8 and args.format != "onnx":
        raise InputError("--int8 quantises ONNX files, by onnxruntime: leave it out, or give --format onnx")
    run_dir = _open_run(args)
    with quick_imports():
        from seqlab.commands.export import export, lines
        from seqlab.run.load import load_run

    folder, metadata = export(
        load_run(run_dir), args.format, args.output, quantized=args.int8, overwrite=args.overwrite
    )
    for line in lines(metadata):
        print(line)
    print(folder)
    return 0


def _states(args: argparse.Namespace) -> int:
    from seqlab.report.output import check_picture

    check_picture("--output", args.output)
    run_dir = _open_run(args)
    with quick_imports():
        from seqlab.commands.states import draw, parse_units
        from seqlab.run.load import load_run

    options = {"part": args.part, "layer": args.layer, "direction": args.direction, "units": parse_units(args.units)}
    states = draw(load_run(run_dir), args.text, args.output, **options)
    print(f"{states!r}: {args.output}")
    return 0


def _open_run(args: argparse.Namespace) -> Path:
    """The run's folder, checked before anything slow is imported; then the user's own modules can be imported."""
    from seqlab.commands.run_folder import run_folder
    from seqlab.config.project import use_project_modules
    from seqlab.config.trust import allow
    from seqlab.run.comparison import Present, changes_since_training
    from seqlab.run.record import read_record

    run_dir = run_folder(args.run_dir)
    record = read_record(run_dir)
    allow(args.allow)
    use_project_modules()
    for line in changes_since_training(record, Present()):
        print(f"seqlab: {line}", file=sys.stderr)
    return run_dir


if __name__ == "__main__":
    sys.exit(main())
