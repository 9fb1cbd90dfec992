"""The command line: what each command prints, and that a mistake is one line with exit code 2."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqlab import cli
from seqlab.errors import InputError
from seqlab.run.folder import start_run
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME
from seqlab.run.record import read_record
from seqlab.run.start import Start
from seqlab.run.supervisor import open_attempt
from tests.command import ONE_THREAD, environment, prepare_here, seqlab
from tests.conftest import config_of, run_here, small


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Runs ``seqlab ARGUMENTS`` here, in an empty folder; returns the exit code, standard output and standard error."""
    prepare_here(tmp_path, monkeypatch)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.main(list(arguments))
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def hello(tmp_path_factory):
    """The folder of the lecture's example, trained by the command, and what the command printed."""
    folder = tmp_path_factory.mktemp("hello")
    done = seqlab("train", "experiment=hello", *ONE_THREAD, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1], done


def test_training_prints_the_runs_folder_last(hello):
    run_dir, done = hello
    assert run_dir.parent.name == "hello" and run_dir.parent.parent.name == "runs"
    assert read_record(run_dir)["status"] == "completed"
    assert not (run_dir / ".hydra").exists()  # its configuration is kept once, in its events
    assert done.stderr == "" and "INFO" not in done.stdout
    assert "val/loss" in done.stdout and "tokens/s" in done.stdout


def test_hello_is_continued_in_a_process_of_its_own(hello):
    run_dir, _ = hello
    arguments = ("--prompt", "h", "--max-new-tokens", "4", "--greedy")
    done = seqlab("generate", str(run_dir), *arguments, folder=run_dir.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_a_run_that_was_moved_still_writes_and_completes(hello, tmp_path, command):
    moved = tmp_path / "moved" / "elsewhere"
    shutil.copytree(hello[0], moved)
    assert command("generate", str(moved), "--prompt", "h", "--max-new-tokens", "4", "--greedy")[1] == "hello\n"
    code, out, _ = command("complete", str(moved), "h", "-k", "3")
    assert code == 0 and 1 <= len(out.splitlines()) <= 3
    assert all(line.split()[0].endswith("%") and line.split()[1].startswith("h") for line in out.splitlines())


def test_samples_follow_the_seed(hello, command):
    def samples(*options: str) -> list[str]:
        arguments = ["--prompt", "h", "--temperature", "3", "--max-new-tokens", "20", *options]
        code, out, err = command("generate", str(hello[0]), *arguments)
        assert (code, err) == (0, "")
        return out.split("\n" + "-" * 40 + "\n")

    three = samples("--num-samples", "3", "--seed", "4")
    assert len(three) == 3 and len(set(three)) == 3 and all(text.startswith("h") for text in three)
    assert samples("--num-samples", "3", "--seed", "4") == three
    assert samples("--num-samples", "3", "--seed", "5") != three


def splits_named(shown: str) -> bool:
    """Whether a line for each split is all that is shown."""
    return [line.split(":")[0] for line in shown.splitlines()] == ["train", "validation", "test"]


def test_evaluate_gives_the_metrics_of_the_record(hello, command):
    expected = read_record(hello[0])["metrics"]
    code, out, err = command("evaluate", str(hello[0]), "--json")
    assert code == 0 and splits_named(err) and json.loads(out) == pytest.approx(expected)
    code, out, err = command("evaluate", str(hello[0]))
    assert dict(line.split() for line in out.splitlines()) == {name: f"{value:.6g}" for name, value in expected.items()}


def test_evaluate_with_another_batch_size_covers_the_same_split(tmp_path, text_file, command):
    run_here(tmp_path / "run", *small(text_file, "trainer.max_steps=20", "logger=none"))
    expected = read_record(tmp_path / "run")["metrics"]
    code, out, err = command("evaluate", str(tmp_path / "run"), "data.eval_batch_size=7", "data.eval_steps=9", "--json")
    found = json.loads(out)
    assert code == 0 and splits_named(err)
    assert found["test/loss"] == pytest.approx(expected["test/loss"], abs=0.01)  # other rows begin without a state
    assert found["test/loss"] != expected["test/loss"]


def test_evaluate_on_another_text_keeps_the_runs_vocabulary(tmp_path, text_file, command):
    run_here(tmp_path / "run", *small(text_file, "trainer.max_steps=20", "logger=none"))
    other = tmp_path / "other.txt"
    other.write_text("ga fe\n" * 300)  # by frequency its letters would get other ids
    code, out, err = command("evaluate", str(tmp_path / "run"), f"data.path={other}", "--json")
    assert code == 0 and splits_named(err) and json.loads(out)["test/loss"] > 1
    other.write_text("xyz\n" * 300)
    code, out, err = command("evaluate", str(tmp_path / "run"), f"data.path={other}")
    assert (code, out, err.count("\n")) == (2, "", 1) and "'x', 'y', 'z'" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "RUN", "data.batchsize=2"], "has no data.batchsize; did you mean data.batch_size?"),
        (["evaluate", "RUN", "data.batch_size"], "'data.batch_size' is not an override; expected key=value"),
        (["generate", "RUN", "--prompt", "hexlox"], "lacks: 'x'"),
        (["generate", "RUN", "--prompt", ""], "the prompt is empty"),
        (["generate", "RUN", "--prompt", "h", "--top-p", "2"], "top_p is 2.0; expected a probability in (0, 1]"),
        (["generate", "RUN", "--prompt", "h", "--temperature", "0"], "temperature is 0.0; expected a number above 0"),
        (["generate", "RUN", "--prompt", "h", "--top-k", "x"], "--top-k: invalid int value: 'x'"),
        (
            ["generate", "RUN", "--prompt", "h", "--num-samples", "0"],
            "--num-samples: expected a whole number, 1 or more",
        ),
        (["generate", "RUN", "--prompt", "h", "--greedy", "--temperature", "2"], "not allowed with argument --greedy"),
        (["generate", "RUN", "--prompt", "h", "--greedy", "--top-k", "2"], "nothing to choose"),
        (["generate", "RUN"], "writes text: give --prompt TEXT"),
        (["complete", "RUN", "z"], "lacks: 'z'"),
        (["complete", "RUN", "h", "-k", "few"], "-k: expected a whole number, 1 or more, got 'few'"),
        (["generate", "nowhere", "--prompt", "h"], "nowhere: there is no such folder"),
        (["report", "nowhere"], "nowhere"),
        (["trian"], "invalid choice: 'trian'"),
        ([], "the following arguments are required: COMMAND"),
        (["train", "modle.hidden_size=3"], "there is no configuration key modle.hidden_size"),
        (["train", "-m", "modle.hidden_size=3,4"], "there is no configuration key modle.hidden_size"),
        (["train", "model.hidden_size"], "model.hidden_size"),
        (["train", "model/cell=lsmt"], "model/cell=lsmt: there is no such choice; did you mean lstm? the choices are "),
        (
            ["train", "data=helo"],
            "data=helo: there is no such choice; did you mean hello? the choices are adding, answers,",
        ),
        (["train", "experiment=zzz"], "experiment=zzz: there is no such choice; the choices are adding, answers,"),
        (
            ["train", "model.num_layers=1,2"],
            "several values are a sweep: add -m; a list is written with brackets, model.",
        ),
        (["train", "seed=1,2"], "seed=1,2: several values are a sweep: add -m\n"),
        (["train", "seed=range(1,3)"], "seed=range(1,3): several values are a sweep: add -m\n"),
        (["train", "model/cell=lstm,gru"], "add -m; a list is written with brackets, model.cell=[lstm,gru]\n"),
        (["train", "-m", "hydra.sweeper.fresh_seeds=4,5"], "with brackets, hydra.sweeper.fresh_seeds=[4,5]"),
        (["train", "hydra.sweeper.fresh_seeds=4,5"], "takes one value; a list is written with brackets"),
        (["train", "-m", "hydra.sweeper.fresh_seed=[4]"], "did you mean hydra.sweeper.fresh_seeds?"),
        (["train", "model.cell=[lstm,gru"], "a [ is not closed by a ]"),
        (["train", "data=hello", "data.batch_size=???"], "data.batch_size: a value is needed"),
        (["train", "data=text", "data.split=[0.9,???,0.05]"], "data.split[1]: a value is needed"),
        (
            ["train", "data=hello", "data.batch_size=???", "data.eval_batch_size=${data.batch_size}"],
            "seqlab: data.batch_size: a value is needed",
        ),
        (["train", "data=hello", "model.hidden_size=${nothing}"], "Interpolation key 'nothing' not found"),
        (["train", "data=hello", "model.cell._target_=os.system"], "model.cell._target_ is os.system, which is not on"),
        (["train", "--config-dir", "nowhere"], "nowhere: there is no such folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_and_exit_code_2(hello, command, arguments, words):
    code, _, err = command(*[str(hello[0]) if text == "RUN" else text for text in arguments])
    assert code == 2
    assert err.startswith("seqlab: ") and err.count("\n") == 1 and words in err and "search path" not in err


def test_help_and_the_composed_configuration(command):
    code, out, err = command("train", "--help")
    assert (code, err) == (0, "") and "usage: seqlab train" in out
    code, out, err = command("train", "experiment=hello", "--cfg", "job")
    assert (code, err) == (0, "") and "hidden_size: 16" in out
    with pytest.raises(SystemExit) as ended:
        command("--help")
    assert ended.value.code == 0


@pytest.mark.parametrize("arguments", [["--help"], ["report", "--help"], ["train", "--help"], ["--version"]])
def test_help_starts_without_torch(tmp_path, arguments):
    program = (
        "import sys\nfrom seqlab import cli\n"
        "try:\n    cli.main(sys.argv[1:])\nfinally:\n"
        "    print('loaded:', sorted({'torch', 'lightning', 'hydra', 'datasets', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 1


def test_a_report_of_a_run_starts_without_torch(hello, tmp_path):
    program = (
        "import sys\nfrom seqlab import cli\ncode = cli.main(['report', sys.argv[1]])\n"
        "print(code, sorted({'torch', 'lightning', 'hydra'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(hello[0])], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_a_reader_that_leaves_early_is_no_error(hello, tmp_path):
    shell = f"{sys.executable} -m seqlab.cli train --help | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.stderr == ""


def test_resuming_a_completed_run_says_so(hello, command):
    before = (hello[0] / RECORD_NAME).read_bytes()
    code, out, err = command("resume", str(hello[0]))
    assert (code, err) == (0, "") and "is complete already" in out
    assert (hello[0] / RECORD_NAME).read_bytes() == before


def test_a_child_that_a_signal_ends_leaves_an_interrupted_record_and_the_way_on(tmp_path, monkeypatch, capfd):
    start = subprocess.Popen

    def doomed(arguments, **options):
        assert arguments[1:4] == ["-Pm", "seqlab.run.process", "train"]
        return start([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **options)

    monkeypatch.setattr(subprocess, "Popen", doomed)
    with open_attempt(tmp_path, {"seed": 1}, ["seed=1"]) as attempt:
        assert Start().carry_out(attempt) == 1
    assert f"seqlab: SIGKILL ended the run; continue with: seqlab resume {tmp_path}" in capfd.readouterr().err
    record = json.loads((tmp_path / RECORD_NAME).read_text())
    assert record["status"] == "interrupted" and "SIGKILL ended the run" in record["error"]


def test_a_refused_run_prints_no_folder(hello, command):
    code, out, err = command("train", "experiment=hello", f"hydra.run.dir={hello[0]}")
    assert (code, out) == (2, "") and "completed: its metrics are in run.json" in err
    code, out, err = command("train", "experiment=hello", "hydra.run.dir=other", "model.num_layers=0")
    assert (code, out) == (2, "") and "model.num_layers=0: expected a whole number" in err


RUN_COMMANDS = {
    "evaluate": (),
    "predict": ("a text",),
    "generate": ("--prompt", "h"),
    "complete": ("h",),
    "resume": (),
}


@pytest.mark.parametrize("name", RUN_COMMANDS)
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("nowhere", ["nowhere: there is no such folder", "seqlab train prints"]),
        ("", ["argument RUN_DIR: the name is empty"]),
        ("empty", ["empty", "it has no run.json"]),
        ("file.txt", ["file.txt is a file, not the folder of a run"]),
        ("sweep", ["sweep is a folder of runs, not a run", "give one of them, such as sweep/one"]),
        ("sweep/one/checkpoints", ["is a part of a run", "give sweep/one"]),
    ],
)
def test_a_folder_that_is_no_run_is_one_line_with_the_mend(tmp_path, command, name, folder, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    (tmp_path / "sweep" / "one" / "checkpoints").mkdir(parents=True)
    with start_run(tmp_path / "sweep" / "one", config_of("experiment=hello")) as claim:
        claim.interrupt()
    code, out, err = command(name, folder, *RUN_COMMANDS[name])
    assert (code, out) == (2, "") and err.startswith("seqlab: ") and err.count("\n") == 1
    assert all(word in err for word in words), err


def test_the_record_of_a_run_stands_for_its_folder(hello, command):
    arguments = ("--prompt", "h", "--max-new-tokens", "4", "--greedy")
    assert command("generate", str(hello[0] / RECORD_NAME), *arguments)[:2] == (0, "hello\n")


def test_a_run_that_is_under_way_is_not_started_twice(tmp_path, command):
    with start_run(tmp_path / "run", config_of("experiment=hello")) as claim:
        for arguments in (["resume", str(tmp_path / "run")], ["train", "experiment=hello", "hydra.run.dir=run"]):
            before = (claim.run_dir / EVENTS_NAME).read_bytes()
            code, _, err = command(*arguments)
            assert code == 2 and f"run is in use by process {os.getpid()} on " in err
            assert err.count("\n") == 1 and (claim.run_dir / EVENTS_NAME).read_bytes() == before


@pytest.mark.parametrize(
    "arguments", [["RUN", "seed=2", "--allow", "mine", "name=x"], ["--allow", "mine", "RUN", "seed=2", "name=x"]]
)
def test_options_may_stand_between_overrides(arguments):
    args = cli._parser().parse_args(["resume", *arguments])
    assert (args.run_dir, args.overrides, args.allow) == (Path("RUN"), ["seed=2", "name=x"], ["mine"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "RUN", "--file", "a", "--file=b"],
        ["generate", "RUN", "--prompt", "a", "--seed", "1", "--seed", "0"],
        ["report", "--metric", "val/loss", "--metric", "test/loss"],
    ],
)
def test_an_option_of_one_value_is_given_once(arguments):
    with pytest.raises(InputError, match=rf"{arguments[-2] if '=' not in arguments[-1] else '--file'} is given twice"):
        cli._parser().parse_args(arguments)
    assert cli._parser().parse_args(["resume", "RUN", "--allow", "a", "--allow", "b"]).allow == ["a", "b"]


def test_an_option_that_there_is_not_takes_no_override_along():
    with pytest.raises(InputError, match="--alow"):
        cli._parser().parse_args(["resume", "RUN", "--alow", "mine", "seed=2"])
