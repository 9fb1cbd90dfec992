"""Tokenising and reading a corpus takes memory for a piece of it, not for the whole."""

import threading
import time
from pathlib import Path

import pytest

from seqlab.data import LanguageModelData, TextFiles, from_options

STATUS = Path("/proc/self/status")
MEGABYTES = 48


def anonymous_megabytes() -> float:
    """This process's RssAnon: memory that no file backs, so that mapped token pages do not count."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


class Peak:
    """The highest RssAnon while the block runs, above that at its beginning."""

    def __enter__(self) -> "Peak":
        self.start = self.highest = anonymous_megabytes()
        self.running = True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            self.highest = max(self.highest, anonymous_megabytes())
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()

    @property
    def growth(self) -> float:
        return self.highest - self.start


@pytest.mark.skipif(not STATUS.exists(), reason="RssAnon is read from /proc, which this system lacks")
@pytest.mark.parametrize("unit", ["character", "word"])
def test_a_corpus_is_tokenised_and_read_a_piece_at_a_time(tmp_path, unit):
    line = "It was the best of times, it was the worst of times, it was the age of wisdom,\n" * 1000
    with open(tmp_path / "text.txt", "w") as file:
        for _ in range(MEGABYTES * 1_000_000 // len(line)):
            file.write(line)
    data = from_options(LanguageModelData, TextFiles(tmp_path / "text.txt"), unit=unit, batch_size=32, tbptt_steps=64)
    with Peak() as peak:
        data.prepare_data()
        for _, _ in zip(range(200), data.train_dataloader(), strict=False):
            pass
    assert data.spec.num_tokens["train"] > 5_000_000
    # A piece takes 40 to 60 MB with its Arrow arrays; text, code points and ids of the whole took over 400 MB.
    assert peak.growth < 2 * MEGABYTES, f"RssAnon grew by {peak.growth:.0f} MB"
