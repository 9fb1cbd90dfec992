"""Digits spoken by a synthesiser: voices, speeds and noise of the test are none of training."""

import hashlib
import itertools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cache import build_once, cache_folder
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import EmbeddedSource, Reading, RowSource
from seqlab.data.formats.audio import resampled
from seqlab.data.transcription.sources import DIGITS, Utterance
from seqlab.errors import InputError

ACCENTS = ("en", "en-us", "en-gb-x-rp", "en-gb-scotland")
VOICES = {
    "train": (
        *("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis"),
        *("Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "anika", "antonio"),
        *("belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "grandma", "ian", "john", "max", "michel"),
    ),
    "validation": ("m7", "f4", "iven", "marcelo", "paul", "quincy"),
    "test": ("m8", "f5", "adam", "linda", "pablo", "rob", "steph", "travis"),
}
SPEEDS = {"train": (140, 160, 180), "validation": (150, 170), "test": (130, 155, 195)}  # words a minute
NOISES = {
    "train": (0.0, 0.004, 0.012, 0.03),
    "validation": (0.006, 0.016),
    "test": (0.002, 0.02),
}  # deviation, of full scale


def _further(voices: Sequence[str]) -> tuple[str, ...]:
    """Voices for the test, if they are names, and none of them is in training or validation."""
    if isinstance(voices, str) or not voices or not all(isinstance(each, str) and each for each in voices):
        raise InputError(f"data.test_voices={voices} must be a list of voices, such as [gustave,victor]")
    for split in ("train", "validation"):
        if heard := sorted(set(voices) & set(VOICES[split])):
            raise InputError(f"data.test_voices: {split} has {', '.join(heard)}; name other voices of eSpeak NG")
    return tuple(voices)


class Order(NamedTuple):
    """What the synthesiser is asked for: a text in a voice at a speed and pitch, and the noise that is added."""

    text: str
    voice: str
    speed: int
    pitch: int
    noise: float


class SyntheticDigits(EmbeddedSource, RowSource[Utterance]):
    """Strings of digits spoken by eSpeak NG.

    Training, validation and test have voices, speeds and levels of noise of their own. The synthesiser's sound depends
    on what it has said before: all utterances are made in one order, in a process of their own, and kept in the cache.

    Args:
        sizes: the utterances of training, validation and test.
        digits: the most digits of an utterance; each has one to so many.
        generator_seed: of texts, voices and noise, which runs of different seeds share.
        test_voices: the voices of the test, by eSpeak NG's names, none of training or validation; None: eight that are
            kept for it.
        rate: samples a second.
        cache_dir: the folder of the sounds; None: as for tokens.

    Raises:
        InputError: an option is out of range; on first use: espeakng-loader is not installed.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (4000, 200, 400),
        digits: int = 5,
        generator_seed: int = 0,
        test_voices: Sequence[str] | None = None,
        rate: int = 8000,
        cache_dir: str | Path | None = None,
    ) -> None:
        if len(sizes) != 3 or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise InputError(f"data.sizes={list(sizes)} must be three numbers of utterances, 1 or more")
        self.sizes = dict(zip(SPLITS, sizes, strict=True))
        self.digits = check_whole_number("data.digits", digits, 1)
        self.rate = check_whole_number("data.rate", rate, 4000)
        self.generator_seed = generator_seed
        self.voices = VOICES if test_voices is None else {**VOICES, "test": _further(test_voices)}
        self._cache = cache_folder(cache_dir)

    def __str__(self) -> str:
        return "the synthetic digits"

    def orders(self, split: str) -> list[Order]:
        """What the synthesiser is asked for, in its order."""
        draw = np.random.default_rng([self.generator_seed, SPLITS.index(split)])
        made = []
        for _ in range(self.sizes[split]):
            words = [DIGITS[int(each)] for each in draw.integers(10, size=int(draw.integers(1, self.digits + 1)))]
            voice = f"{draw.choice(ACCENTS)}+{draw.choice(self.voices[split])}"
            speed = int(draw.choice(SPEEDS[split]))
            noise = float(draw.choice(NOISES[split]))
            made.append(Order(" ".join(words), voice, speed, int(draw.integers(35, 66)), noise))
        return made

    def _read_splits(self) -> dict[str, Reading[Utterance]]:
        try:
            from importlib.metadata import version

            release = version("espeakng-loader")
        except ImportError as error:
            mend = "pip install 'seqlab[speech]'"
            raise InputError(f"the digits are spoken by eSpeak NG, which is not installed: {mend}") from error
        orders = {split: self.orders(split) for split in SPLITS}
        asked = f"digits 2 {release} {self.rate} {self.generator_seed} {orders}"
        key = hashlib.blake2b(asked.encode(), digest_size=16).hexdigest()
        folder = build_once(self._cache, key, lambda into: self._write(into, orders))
        readings = {}
        for split in SPLITS:
            with np.load(folder / f"{split}.npz", allow_pickle=False) as kept:
                values, starts = kept["values"], kept["starts"]
            noise = np.random.default_rng([self.generator_seed, 100 + SPLITS.index(split)])
            rows = []
            for number, order in enumerate(orders[split]):
                samples = values[starts[number] : starts[number + 1]].astype(np.float32) / 2.0**15
                samples = samples + np.float32(order.noise) * noise.standard_normal(len(samples), dtype=np.float32)
                rows.append(Utterance(samples, order.text, f"{split} utterance {number + 1}", (), order.voice))
            readings[split] = Reading(rows)
        return readings

    def _write(self, folder: Path, orders: dict[str, list[Order]]) -> None:
        """Has all utterances spoken, in one order, and keeps them by split."""
        every = [order for split in SPLITS for order in orders[split]]
        lines = "".join(f"{each.voice}\t{each.speed}\t{each.pitch}\t{each.text}\n" for each in every)
        raw = folder / "raw.npz"
        # By its path: the program needs nothing of this package, which would take seconds to import.
        command = [sys.executable, "-P", str(Path(__file__).with_name("espeak.py")), str(raw)]
        done = subprocess.run(command, input=lines, text=True, capture_output=True)
        if done.returncode:
            raise InputError(f"eSpeak NG failed: {' '.join(done.stderr.strip().splitlines()[-1:])}")
        with np.load(raw, allow_pickle=False) as spoken:
            values, starts, rate = spoken["values"], spoken["starts"], int(spoken["rate"])
        raw.unlink()
        sounds = [resampled(values[first:end], rate, self.rate) for first, end in itertools.pairwise(starts)]
        for split in SPLITS:
            own, sounds = sounds[: len(orders[split])], sounds[len(orders[split]) :]
            whole = np.concatenate(own).round().clip(-(2**15), 2**15 - 1).astype(np.int16)
            np.savez(folder / f"{split}.npz", values=whole, starts=np.cumsum([0, *map(len, own)]))
