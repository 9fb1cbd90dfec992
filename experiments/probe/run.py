"""What each layer of a language model knows of a word: parts of speech by linear probes, drawn and tabled.

Trains word models of English Web Treebank's text with ``seqlab train`` (or takes those that a first call left),
and probes the states of each layer for the tag of the word that was read, of the one before it and of the one to come.
Needs the treebank under SEQLAB_DATA. ``--sentences 300 --epochs 1 --seeds 1`` is a quick trial.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqlab.commands.states import untrained_model
from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data.core.batch import pad
from seqlab.files import write_atomically
from seqlab.inside import fit_probe, majority_accuracy
from seqlab.nn import LanguageModel, record_states
from seqlab.nn.models.generation import evaluation
from seqlab.run.load import load_run
from seqlab.run.record import read_record

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import with_table

HERE = Path(__file__).parent
SPLITS: Final = {"train": "train", "validation": "dev", "test": "test"}
TARGETS: Final = {"word before": -1, "word read": 0, "word to come": 1}
LAYERS = 2
PLACES: Final = ("embedding", *(f"layer {layer + 1}" for layer in range(LAYERS)))
COLORS: Final = {"word before": "#009E73", "word read": "#0072B2", "word to come": "#D55E00"}
WHEN = ("trained", "untrained")
Sentences = list[tuple[list[str], list[str]]]  # words and tags
Results = dict[tuple[str, str, str], list[float]]  # target, WHEN, place: an accuracy a seed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for the plot and README.md")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/probe"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--sentences", type=int, default=2000, help="training sentences of the probes")
    args = parser.parse_args()

    torch.set_num_threads(1)
    started = time.perf_counter()
    splits = read_treebank()
    files = write_text(splits, args.sweep_dir)
    if train(args.sweep_dir, files, args.epochs, args.seeds):
        return 1
    results = probe_runs(args.sweep_dir, args.epochs, args.seeds, splits, args.sentences)
    args.output.mkdir(parents=True, exist_ok=True)
    draw(results, args.output / "layers.png")
    readme = args.output / "README.md"
    template = readme if readme.exists() else HERE / "README.md"
    write_atomically(readme, with_table(template.read_text(), table(results), "tables").encode())
    print(f"{time.perf_counter() - started:.0f} s; plot and table: {args.output}")
    return 0


def read_treebank() -> dict[str, Sentences]:
    data = build.build_data(compose_config(["experiment=ewt_pos"]))
    return {split: [(list(row.words), list(row.tags)) for row in data.rows(split)] for split in SPLITS}


def write_text(splits: dict[str, Sentences], folder: Path) -> dict[str, Path]:
    """A file a split, a sentence a line, for the language model; what is there already is not written again."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {split: (folder / f"{split}.txt").absolute() for split in SPLITS}
    for split, file in files.items():
        content = "".join(" ".join(words) + "\n" for words, _ in splits[split]).encode()
        if not file.exists() or file.read_bytes() != content:
            write_atomically(file, content)
    return files


def train(sweep_dir: Path, files: dict[str, Path], epochs: int, seeds: str) -> int:
    """The sweep as a user would type it; what is there already is not trained again."""
    command = ["train", "-m", "data=text", *(f"data.{split}={file}" for split, file in files.items()), f"seed={seeds}"]
    command += [
        "data.unit=word",
        "data.max_vocab_size=4000",
        'data.end_of_line="<eos>"',
        "data.batch_size=20",
        "data.tbptt_steps=35",
    ]
    command += [f"model.num_layers={LAYERS}", "model.hidden_size=100", "model.embedding_size=100", "model.dropout=0.1"]
    command += ["optimizer.lr=0.005", "scheduler=cosine", f"trainer.max_epochs={epochs}", "trainer.gradient_clip_val=1"]
    command += ["callbacks.examples=null", "logger=none", "runtime.num_threads=1", f"hydra.sweep.dir={sweep_dir}"]
    return seqlab(*command)


def probe_runs(sweep_dir: Path, epochs: int, seeds: str, splits: dict[str, Sentences], count: int) -> Results:
    """The accuracies by target, network and place; those of an earlier call are not computed again."""
    results: Results = {}
    written = Written(sweep_dir / "probes.jsonl")
    for path in sorted(sweep_dir.glob("*/run.json")):
        record = read_record(path)
        config = record["config"]
        wanted = str(config["seed"]) in seeds.split(",") and config["trainer"]["max_epochs"] == epochs
        if record["status"] != "completed" or not wanted:
            continue
        run = load_run(path.parent)
        print(f"seed {config['seed']}: test perplexity {record['metrics']['test/perplexity']:.1f}", flush=True)
        for when, model in zip(WHEN, (run.language_model(), untrained_model(run, config["seed"])), strict=True):
            assert isinstance(model, LanguageModel)
            chosen = {"train": splits["train"][:count], "test": splits["test"]}
            read: dict[str, dict[str, Tensor]] = {}
            for target, offset in TARGETS.items():
                for place in PLACES:
                    key = [path.parent.name, count, when, target, place]
                    accuracy = written.get(key)
                    if accuracy is None:
                        read = read or {
                            split: states_of(model, run.vocabulary, sentences) for split, sentences in chosen.items()
                        }
                        accuracy = written.add(key, probe(chosen, read, place, offset))
                    results.setdefault((target, when, place), []).append(accuracy)
                    print(f"seed {config['seed']}, {when}, {target}, {place}: {accuracy:.4f}", flush=True)
        for target, offset in TARGETS.items():
            tags = {split: tags_at(sentences, offset)[1] for split, sentences in chosen.items()}
            results.setdefault((target, "", "majority"), []).append(majority_accuracy(tags["train"], tags["test"]))
    return results


class Written:
    """Accuracies in a file, a line each, so that a study that is stopped goes on where it was."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.accuracies = {json.dumps(line["key"]): float(line["accuracy"]) for line in map(json.loads, lines)}

    def get(self, key: list[Any]) -> float | None:
        return self.accuracies.get(json.dumps(key))

    def add(self, key: list[Any], accuracy: float) -> float:
        self.accuracies[json.dumps(key)] = accuracy
        content = "".join(
            json.dumps({"key": json.loads(each), "accuracy": value}) + "\n" for each, value in self.accuracies.items()
        )
        write_atomically(self.file, content.encode())
        return accuracy


def states_of(model: LanguageModel, vocabulary: Any, sentences: Sentences) -> dict[str, Tensor]:
    """The embedding of each word and the state of each layer after it, ``(words, size)``, sentence by sentence."""
    rows = [vocabulary.encode(f"\n{' '.join(words)}") for words, _ in sentences]  # the line before has ended
    assert all(len(row) == len(words) + 1 for row, (words, _) in zip(rows, sentences, strict=True))
    states: dict[str, list[Tensor]] = {}
    for start in range(0, len(rows), 256):
        inputs, lengths = pad(rows[start : start + 256])
        with evaluation(model):
            calls = record_states(model, lambda i=inputs, n=lengths: model.features(i, None, n), gates=False)
        places = {f"layer {layer + 1}": calls[f"encoder.layers.{layer}"][0].states["h"] for layer in range(LAYERS)}
        valid = torch.arange(inputs.size(1)) < lengths.unsqueeze(1)
        valid[:, 0] = False
        for place, values in {"embedding": calls["encoder.layers.0"][0].input, **places}.items():
            states.setdefault(place, []).append(values[valid].clone())
    return {place: torch.cat(values) for place, values in states.items()}


def tags_at(sentences: Sentences, offset: int) -> tuple[Tensor, list[str]]:
    """Which words have another at that distance in their sentence, and its tag."""
    kept, tags = [], []
    for words, own in sentences:
        for position in range(len(words)):
            inside = 0 <= position + offset < len(words)
            kept.append(inside)
            tags += [own[position + offset]] if inside else []
    return torch.tensor(kept), tags


def probe(sentences: dict[str, Sentences], states: dict[str, dict[str, Tensor]], place: str, offset: int) -> float:
    kept, tags = tags_at(sentences["train"], offset)
    fitted = fit_probe(states["train"][place][kept], tags)
    kept, tags = tags_at(sentences["test"], offset)
    return fitted.accuracy(states["test"][place][kept], tags)


def table(results: Results) -> str:
    lines = [
        f"| tag of the | network | majority | {' | '.join(PLACES)} |",
        "| :-- | :-- |" + " --: |" * (1 + len(PLACES)),
    ]
    for target in TARGETS:
        for when in WHEN:
            values = [results[target, "", "majority"], *(results[target, when, place] for place in PLACES)]
            lines.append(f"| {target} | {when} | " + " | ".join(map(cell_of, values)) + " |")
    return "\n".join(lines)


def cell_of(values: list[float]) -> str:
    mean = 100 * float(np.mean(values))
    return (
        f"{mean:.1f}" if len(values) < 2 or np.ptp(values) == 0 else f"{mean:.1f} ± {100 * np.std(values, ddof=1):.1f}"
    )


def draw(results: Results, file: Path) -> None:
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    for target, color in COLORS.items():
        for when, style in zip(WHEN, ("o-", "o--"), strict=True):
            rows = np.array([results[target, when, place] for place in PLACES])
            label = target if when == "trained" else f"{target}, untrained network"
            axes.plot(
                range(len(PLACES)),
                100 * rows.mean(1),
                style,
                color=color,
                label=label,
                alpha=1 if when == "trained" else 0.6,
            )
            for column in rows.T:
                axes.plot(range(len(PLACES)), 100 * column, "o", color=color, markersize=3, mfc="white")
        majority = 100 * np.mean(results[target, "", "majority"])
        axes.axhline(majority, color=color, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(PLACES)), PLACES)
    axes.set_ylabel("accuracy of a linear probe, %")
    axes.set_title("Parts of speech in the layers of a word model (dotted: the commonest tag)", fontsize="medium")
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", fontsize=8)
    figure.savefig(file)


if __name__ == "__main__":
    sys.exit(main())
