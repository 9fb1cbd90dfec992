"""What a run's folder holds."""

import json

from seqlab.run.folder import RunFolder


def checkpoint(run: RunFolder, name: str = "last.ckpt", content: str = "weights") -> None:
    run.checkpoints.mkdir(exist_ok=True, parents=True)
    (run.checkpoints / name).write_text(content)


def events(run: RunFolder) -> list[str]:
    return [json.loads(line)["event"] for line in run.events_path.read_text().splitlines()]


def shown(run: RunFolder) -> dict:
    return json.loads((run.path / "run.json").read_text())
