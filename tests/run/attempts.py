"""What a command does with a run, and what a run's process leaves behind in the middle of training."""

from seqlab.run.claim import Claim
from seqlab.run.folder import RunFolder
from seqlab.run.supervisor import Attempt, open_attempt
from tests.run.owners import CONFIG

OTHER = {**CONFIG, "seed": 2}


def attempt(run: RunFolder, config=CONFIG, **options) -> Attempt:
    return open_attempt(run.path, config, [], **options)


def train(claim: Claim, content: str = "weights") -> None:
    """What a run's process leaves behind in the middle of training."""
    claim.note(trains=True)
    (claim.run_dir / "checkpoints").mkdir(exist_ok=True)
    for name in ("last.ckpt", "best.ckpt"):
        (claim.run_dir / "checkpoints" / name).write_text(content)


def interrupted(run: RunFolder, config=CONFIG, **options) -> None:
    """A run with a checkpoint that was interrupted, with a file of the user's beside."""
    with attempt(run, config, **options) as made:
        train(made.claim, f"seed {config['seed']}")
        made.claim.interrupt("told to stop")
    (run.path / "notes.txt").write_text("mine")


def completed(run: RunFolder, config=CONFIG, **options) -> None:
    with attempt(run, config, **options) as made:
        train(made.claim, f"seed {config['seed']}")
        made.claim.complete({"val/loss": float(config["seed"])}, "checkpoints/best.ckpt")
        assert made.note_end(0) == 0
    (run.path / "notes.txt").write_text("mine")


def weights(run: RunFolder) -> str:
    return (run.checkpoints / "last.ckpt").read_text()
