"""A made-up language to translate into: the words of the other in reverse order."""

import random
from pathlib import Path

GERMAN = ("Eins", "zwei", "drei", "vier", "fuenf", "sechs")
ENGLISH = dict(zip(GERMAN, ("One", "two", "three", "four", "five", "six"), strict=True))


def write_numbers(folder: Path, num_train: int = 240) -> Path:
    """Writes ``{train,val,test}.{de,en}``: ``num_train``, 24 and 30 sentences of one to four words."""
    draw = random.Random(0)
    for name, count in (("train", num_train), ("val", 24), ("test", 30)):
        rows = [[draw.choice(GERMAN) for _ in range(draw.randint(1, 4))] for _ in range(count)]
        backwards = [[ENGLISH[word] for word in reversed(row)] for row in rows]
        for ending, side in (("de", rows), ("en", backwards)):
            (folder / f"{name}.{ending}").write_text("".join(" ".join(row) + ".\n" for row in side))
    return folder


def of_numbers(folder: Path, *overrides: str) -> list[str]:
    files = [
        f"data.{split}.{side}={folder / name}.{ending}"
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))
        for side, ending in (("source", "de"), ("target", "en"))
    ]
    return [
        "data=parallel",
        "model=translator",
        "model/cell=gru",
        "task=translation",
        "callbacks=translation",
        *files,
        "data.unit=word",
        "data.punctuation=true",
        "data.max_vocab_size=null",
        "data.batch_size=8",
        "data.eval_batch_size=7",
        "data.bucket_batches=4",
        "model.hidden_size=24",
        "trainer.max_epochs=2",
        "trainer.log_every_n_steps=5",
        "runtime.num_threads=1",
        "runtime.keep_freed_memory=false",
        *overrides,
    ]
