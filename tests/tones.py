"""Recordings of tones, whose names are what is said: a language that a small model learns in seconds."""

from pathlib import Path

import numpy as np
from scipy.io import wavfile

TONES = {"low": 300, "mid": 1000, "high": 2500}
RATE = 8000


def sound(words: list[str], draw: np.random.Generator) -> np.ndarray:
    """Each word a tone with noise, and a pause behind it; 16 bits."""
    parts = []
    for word in words:
        steps = np.arange(round(RATE * draw.uniform(0.15, 0.25)))
        parts += [0.3 * np.sin(2 * np.pi * TONES[word] * steps / RATE), np.zeros(round(RATE * draw.uniform(0.05, 0.1)))]
    whole = np.concatenate(parts)
    return ((whole + 0.01 * draw.standard_normal(len(whole))) * 2**15).astype(np.int16)


def of_tones(folder: Path, count: int = 60, *overrides: str) -> list[str]:
    """Writes recordings of one to three tones and their table, and gives the overrides that read them."""
    draw = np.random.default_rng(0)
    rows = ["audio,text"]
    for number in range(count):
        words = [str(word) for word in draw.choice(list(TONES), size=int(draw.integers(1, 4)))]
        wavfile.write(folder / f"{number}.wav", RATE, sound(words, draw))
        rows.append(f"{number}.wav,{' '.join(words)}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    return [
        *("experiment=recordings", f"data.path={folder / 'table.csv'}", f"data.rate={RATE}", "data.unit=word"),
        *("data.num_mels=20", "data.batch_size=8", "model.hidden_size=16", "model.num_layers=1", "optimizer.lr=0.01"),
        *("runtime.num_threads=1", "runtime.keep_freed_memory=false", *overrides),
    ]
