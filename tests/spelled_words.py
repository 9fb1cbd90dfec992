"""Made-up words whose letters have a sound each, to be pronounced; some words have two pronunciations."""

import random
from pathlib import Path

SOUNDS = {"a": "AH1", "b": "B", "c": "K", "d": "D", "e": "EH0"}


def write_words(folder: Path, count: int = 160) -> Path:
    """Writes a table of words and phonemes; every seventh word may also be read backwards."""
    draw = random.Random(0)
    words = sorted({"".join(draw.choices("abcde", k=draw.randint(1, 5))) for _ in range(count)})
    rows = [f"{word}\t{' '.join(SOUNDS[letter] for letter in word)}\n" for word in words]
    rows += [f"{word}\t{' '.join(SOUNDS[letter] for letter in word[::-1])}\n" for word in words[::7]]
    path = folder / "words.tsv"
    path.write_text("".join(rows))
    return path


def of_words(folder: Path, *overrides: str) -> list[str]:
    """A run of a second or two."""
    return [
        "experiment=pronunciation",
        f"data.path={write_words(folder)}",
        "data.split=[0.7,0.15,0.15]",
        "data.batch_size=8",
        "data.eval_batch_size=6",
        "model.hidden_size=16",
        "model.embedding_size=8",
        "scheduler.warmup_steps=5",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=5",
        "trainer.max_epochs=2",
        "runtime.num_threads=1",
        "runtime.keep_freed_memory=false",
        *overrides,
    ]
