"""Sequences drawn from a grammar of motifs, whose classes are known as well as they can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

LETTERS = "ACGT"

Bases = tuple[float, float, float, float]
"""The probabilities of A, C, G and T at a position."""

_PARSED = 1 << 11  # sequences whose parses are weighed at once
_NEVER = 1e-300  # stands for a probability of 0, whose logarithm times 0 would be no number


@dataclass(frozen=True)
class Motif:
    """A stretch of fixed length whose positions have probabilities of their own.

    Args:
        positions: of each position, the probabilities of A, C, G and T.
    """

    positions: tuple[Bases, ...]

    @property
    def choices(self) -> tuple[tuple[Bases, ...], ...]:
        """The positions of each stretch that may be drawn: here of a single one."""
        return (self.positions,)


@dataclass(frozen=True)
class Stretch:
    """Bases of one composition: ``least`` to ``most`` of them, each number equally likely.

    Args:
        bases: the probabilities of A, C, G and T.
        least: the fewest bases.
        most: the most bases.
    """

    bases: Bases
    least: int
    most: int

    @property
    def choices(self) -> tuple[tuple[Bases, ...], ...]:
        """The positions of each stretch that may be drawn."""
        return tuple((self.bases,) * count for count in range(self.least, self.most + 1))


@dataclass(frozen=True)
class Production:
    """A way to make a sequence: bases of one composition, then ``parts``, then bases of another.

    Args:
        label: the class of the sequence.
        probability: of this production among all of the grammar.
        before: the composition of what stands before the parts.
        parts: motifs and stretches, one after the other.
        after: the composition of what follows them.
    """

    label: str
    probability: float
    before: Bases
    parts: tuple[Motif | Stretch, ...]
    after: Bases


@dataclass(frozen=True)
class Parse:
    """One way in which a production gives a sequence: the place and the length of each of its parts.

    Attributes:
        label: the class.
        probability: of this parse among all parses of the grammar.
        positions: the probabilities of A, C, G and T at each position, ``(T, 4)``.
    """

    label: str
    probability: float
    positions: NDArray[np.float64]


class MotifGrammar:
    r"""Sequences of T bases by drawn productions, and the classifier that no other exceeds.

    A production is drawn, then the length of each of its stretches, then the place where its parts begin, all places
    that leave ``margin`` bases on either side being equally likely; that is a parse z. Given the parse, each base is
    drawn by itself. So a class has the likelihood

    .. math::  p(x, c) = \sum_{z \in c} p(z) \prod_{t=1}^{T} p(x_t \mid z)

    whose sum runs over finitely many parses and is computed in full. The class with the largest p(x, c) is the Bayes
    decision: no classifier has a higher expected accuracy (Duda, Hart & Stork 2001, section 2.2).

    Args:
        productions: whose probabilities add up to 1.
        length: T.
        margin: the fewest bases before and after the parts.

    Raises:
        ValueError: probabilities do not add up to 1, or a production does not fit into T bases.

    Example:
        >>> even, gc = (0.25, 0.25, 0.25, 0.25), (0.0, 0.5, 0.5, 0.0)
        >>> coin = MotifGrammar([Production("any", 0.5, even, (), even), Production("gc", 0.5, gc, (), gc)], length=2)
        >>> coin.posterior(coin.numbers(["GC", "GA"])).round(3).tolist()  # 1/16 against 1/4; 1/16 against 0
        [[0.2, 0.8], [1.0, 0.0]]
    """

    def __init__(self, productions: Sequence[Production], length: int, margin: int = 0) -> None:
        self.productions = tuple(productions)
        self.length, self.margin = length, margin
        self.labels = tuple(dict.fromkeys(each.label for each in self.productions))
        if abs(sum(each.probability for each in self.productions) - 1) > 1e-9:
            raise ValueError("the probabilities of the productions must add up to 1")
        if not np.allclose([parse.positions.sum(1) for parse in self.parses], 1):
            raise ValueError("the probabilities of A, C, G and T must add up to 1 at each position")

    @cached_property
    def parses(self) -> tuple[Parse, ...]:
        """All parses of the grammar; their probabilities add up to 1."""
        return tuple(parse for each in self.productions for parse in self._parses_of(each))

    def _parses_of(self, production: Production) -> Iterator[Parse]:
        choices = list(product(*(part.choices for part in production.parts)))
        for chosen in choices:
            inner = [bases for positions in chosen for bases in positions]
            starts = self._starts(len(inner))
            for start in starts:
                after = self.length - start - len(inner)
                positions = [*[production.before] * start, *inner, *[production.after] * after]
                probability = production.probability / len(choices) / len(starts)
                yield Parse(production.label, probability, np.array(positions, dtype=np.float64))

    def _starts(self, inner: int) -> range:
        """The places where parts of that many bases may begin."""
        starts = range(self.margin, self.length - self.margin - inner + 1)
        if not starts:
            raise ValueError(f"{inner} bases and twice {self.margin} do not fit into {self.length}")
        return starts

    def sample(self, count: int, seed: Sequence[int]) -> tuple[list[str], list[str]]:
        """Draws sequences, the same on every machine; more of them begin with those of a smaller ``count``.

        Args:
            count: how many.
            seed: numbers that decide what is drawn.

        Returns:
            The sequences and their labels.
        """
        points = np.random.default_rng(list(seed)).random((count, 1 + self.length))  # of the parse, then of each base
        bounds = np.cumsum([parse.probability for parse in self.parses])
        chosen = np.minimum(np.searchsorted(bounds, points[:, 0], side="right"), len(bounds) - 1)
        steps = np.stack([parse.positions for parse in self.parses]).cumsum(2)[:, :, :-1]  # (Z, T, 3)
        parts = [
            (steps[chosen[at : at + _PARSED]] <= points[at : at + _PARSED, 1:, None]).sum(2)
            for at in range(0, count, _PARSED)
        ]
        sequences = ["".join(LETTERS[base] for base in row) for part in parts for row in part.tolist()]
        return sequences, [self.parses[number].label for number in chosen.tolist()]

    @staticmethod
    def numbers(sequences: Sequence[str]) -> NDArray[np.int64]:
        """Sequences of equal lengths as numbers from 0 to 3, ``(N, T)``."""
        rows = [[LETTERS.index(letter) for letter in sequence] for sequence in sequences]
        return np.array(rows, dtype=np.int64)

    def log_joint(self, sequences: NDArray[np.int64]) -> NDArray[np.float64]:
        """The logarithm of p(x, c) of each sequence and class, ``(N, C)``; classes in the order of ``labels``.

        Args:
            sequences: ``(N, T)``, numbers from 0 to 3.
        """
        parts = [self._log_joint(sequences[at : at + _PARSED]) for at in range(0, len(sequences), _PARSED)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.labels)))

    def _log_joint(self, sequences: NDArray[np.int64]) -> NDArray[np.float64]:
        one_hot = np.eye(len(LETTERS))[sequences].reshape(len(sequences), -1)
        joint = []
        for emissions, log_probabilities in self._by_class:
            log_p = one_hot @ emissions + log_probabilities  # (N, Z), a column for each parse
            most = log_p.max(1, keepdims=True)
            joint.append(most[:, 0] + np.log(np.exp(log_p - most).sum(1)))
        return np.stack(joint, axis=1)

    @cached_property
    def _by_class(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """For each class, of its Z parses the logarithms of the bases, ``(4 T, Z)``, and of the parses, ``(Z,)``."""
        tables = []
        for label in self.labels:
            parses = [parse for parse in self.parses if parse.label == label]
            bases = np.stack([parse.positions.ravel() for parse in parses], axis=1)
            tables.append((np.log(np.maximum(bases, _NEVER)), np.log([parse.probability for parse in parses])))
        return tables

    def posterior(self, sequences: NDArray[np.int64]) -> NDArray[np.float64]:
        """The probability of each class given a sequence, ``(N, C)``.

        Args:
            sequences: ``(N, T)``, numbers from 0 to 3.
        """
        joint = self.log_joint(sequences)
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

    def decide(self, sequences: Sequence[str]) -> list[str]:
        """The Bayes decision of each sequence; of equally likely classes the first."""
        return [self.labels[number] for number in self.log_joint(self.numbers(sequences)).argmax(1)]
