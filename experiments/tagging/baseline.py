"""The baseline of tagging: the most frequent tag of each word, on the very data of the runs.

    python experiments/tagging/baseline.py experiment=ewt_pos

takes the overrides of ``seqlab train``, reads the same data and leaves a record in ``runs/<name>/most_frequent_tag``,
so that ``seqlab report runs/<name> --by model._target_ --metric test/accuracy`` has it in its table. A word gets the
tag that it has most often in training, as the data reads words (lowered with ``data.lowercase=true``); a word that
training lacks gets the most frequent tag of all. Ties go to the tag that comes first. Nothing is chosen on validation.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import torch

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import TaggingData
from seqlab.data.tagging.batch import as_read
from seqlab.errors import InputError
from seqlab.tasks.tag_metrics import EntityMetrics, TagMetrics

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tables import is_measured, leave_record


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="of seqlab train")
    args = parser.parse_args(argv)
    try:
        config = compose_config(args.overrides)
        run_dir = Path("runs") / str(config["name"]) / "most_frequent_tag"
        if is_measured(run_dir, config["data"]):
            print(f"{run_dir} is there already; remove it to measure it again")
            return 0
        data = build.build_data(config)
        data.prepare_data()
    except InputError as error:
        print(f"baseline: {error}", file=sys.stderr)
        return 2
    assert isinstance(data, TaggingData)
    started = time.perf_counter()
    words, overall = most_frequent(data)
    config["model"] = {"_target_": "most_frequent_tag", "unknown": overall}
    measured = {
        f"{name}/{metric}": value
        for name, split in (("val", "validation"), ("test", "test"))
        for metric, value in score(data, split, words, overall).items()
    }
    seconds = time.perf_counter() - started
    leave_record(run_dir, config, args.overrides, measured, num_parameters=len(words), seconds=seconds)
    each = tuple(f"{name}/{metric}_" for name in ("val", "test") for metric in ("accuracy", "entity_f1"))
    print("  ".join(f"{name} {value:.4f}" for name, value in measured.items() if not name.startswith(each)))
    print(run_dir)
    return 0


def most_frequent(data: TaggingData) -> tuple[dict[str, str], str]:
    """The most frequent tag of each word of training, and that of all words together."""
    counts: dict[str, Counter[str]] = {}
    for sentence in data.rows("train"):
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts.setdefault(as_read(word, data.vocabulary), Counter())[tag] += 1
    overall = sum(counts.values(), Counter[str]())
    return {word: _commonest(tags) for word, tags in counts.items()}, _commonest(overall)


def _commonest(tags: Counter[str]) -> str:
    return min(tags, key=lambda tag: (-tags[tag], tag))


def score(data: TaggingData, split: str, words: dict[str, str], overall: str) -> dict[str, float]:
    """The metrics of the runs, but for the loss: a table of tags has no probabilities."""
    tags = data.tags + data.spec.unseen_tags
    number = {tag: place for place, tag in enumerate(tags)}
    tag_metrics, entity_metrics = TagMetrics(data.tags), EntityMetrics(tags)
    for sentence in data.rows(split):
        read = [as_read(word, data.vocabulary) for word in sentence.words]
        predicted = [number[words.get(word, overall)] for word in read]
        true = [number[tag] for tag in sentence.tags]
        unseen = torch.tensor([word not in words for word in read])
        tag_metrics.update(torch.tensor(0.0), torch.tensor(predicted), torch.tensor(true), unseen)
        if data.entities:
            entity_metrics.update([predicted], [true])
    found = tag_metrics.compute()
    del found["loss"]
    if data.entities:
        found |= entity_metrics.compute()
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    sys.exit(main())
