"""The adding problem: two numbers of a long sequence are to be added."""

import numpy as np

from seqlab.data.core.drawn import Drawn
from seqlab.data.core.reading import EmbeddedSource


class Adding(EmbeddedSource):
    r"""Random numbers from 0 to 1, two of them marked; the answer is the sum of the two.

    A frame is a number and its mark, 0 or 1; one of the marked steps lies in the first half and one in the second, each
    anywhere (Hochreiter & Schmidhuber 1997, in the form of Arjovsky et al. 2016). The best constant answer is 1, whose
    mean squared error is 1/6, the variance of the sum of two numbers from U(0, 1).

    Example:
        >>> frames, sums = Adding().draw(np.random.default_rng(0), 1, 5)
        >>> frames[0, :, 1].tolist(), bool(sums[0, 0] == frames[0, frames[0, :, 1] == 1, 0].sum())
        ([1.0, 0.0, 1.0, 0.0, 0.0], True)
    """

    targets = ("sum",)
    features = ("number", "mark")
    least_length = 2
    baseline = 1 / 6
    """The mean squared error of the best constant answer."""

    def __str__(self) -> str:
        return "the adding problem"

    def draw(self, random: np.random.Generator, count: int, length: int) -> Drawn:
        """Draws sequences.

        Args:
            random: the source of random numbers.
            count: N, how many.
            length: T, the steps of each.

        Returns:
            The frames ``(N, T, 2)`` float32, and the sums ``(N, 1)`` float32.
        """
        frames = np.zeros((count, length, 2), dtype=np.float32)
        frames[..., 0] = random.random((count, length), dtype=np.float32)
        rows, half = np.arange(count), length // 2
        first, second = random.integers(half, size=count), random.integers(half, length, size=count)
        frames[rows, first, 1] = frames[rows, second, 1] = 1.0
        return frames, (frames[rows, first, 0] + frames[rows, second, 0])[:, None]
