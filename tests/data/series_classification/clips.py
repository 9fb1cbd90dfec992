"""Clips for tests, as files."""

import numpy as np


def write_clips(folder, count=12, shape=(3, 4, 5)):
    draw = np.random.default_rng(0)
    lines = ["file,label"]
    for number in range(count):
        np.save(folder / f"{number}.npy", draw.integers(0, 256, shape).astype(np.uint8))
        lines.append(f"{number}.npy,{'ab'[number % 2]}")
    (folder / "clips.csv").write_text("\n".join(lines))
    return folder / "clips.csv"
