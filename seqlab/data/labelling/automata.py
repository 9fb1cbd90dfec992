"""Languages of finite automata, with the state as the label: parity, modular arithmetic, permutations, brackets."""

import itertools
from typing import Final

import numpy as np

from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.core.options import check_whole_number
from seqlab.data.labelling.sources import Generated, Integers
from seqlab.errors import InputError

_BRACKETS: Final = "()[]{}<>"
_MOST_DEGREES: Final = 6  # 720 elements; a table of the products of 5,040 would have 25 million entries


class Parity(Generated):
    r"""Random bits; the label of each step is the parity of the bits so far: :math:`y_t = \sum_{s \le t} x_s` modulo 2.

    The smallest task that needs a state (Minsky & Papert 1969; as a test of recurrent networks Hochreiter &
    Schmidhuber 1997, Delétang et al. 2023). A cell that is linear in its state with factors between 0 and 1 cannot do
    it at lengths that it was not trained on (Grazzi et al. 2025). Chance is 1/2.

    Example:
        >>> tokens, labels = Parity().draw(np.random.default_rng(0), 1, 8)
        >>> tokens.tolist(), labels.tolist()
        ([[1, 1, 1, 0, 0, 0, 0, 0]], [[1, 0, 1, 1, 1, 1, 1, 1]])
    """

    name = "parity"
    tokens = labels = ("0", "1")

    def chance(self, length: int) -> float:
        """1/2."""
        return 0.5

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws bits and their parities; see :class:`LabelGenerator`."""
        bits = random.integers(2, size=(count, length))
        return bits, bits.cumsum(1) % 2


class ModularArithmetic(Generated):
    """Sums, differences and products of random numbers, modulo m: 3 * 4 - 2 + ... without brackets.

    Numbers and signs take turns. The label of a number is the value, modulo m, of the expression that ends with it,
    where a product comes before a sum; at a sign nothing is asked ("modular arithmetic (simple)" of Delétang et al.
    2023, there with one answer at the end). The state is the sum of the finished terms and the open term: m^2 states.
    Chance is 1/m, but for the first steps, where a product makes 0 the commonest value.

    Args:
        modulus: m.

    Raises:
        InputError: ``modulus`` is no whole number of 2 or more.

    Example:
        >>> source = ModularArithmetic(5)
        >>> tokens, labels = source.draw(np.random.default_rng(1), 1, 7)
        >>> " ".join(source.tokens[token] for token in tokens[0]), labels[0, ::2].tolist()
        ('2 * 3 + 0 + 4', [2, 1, 1, 0])
    """

    def __init__(self, modulus: int = 5) -> None:
        self.modulus = check_whole_number("data.modulus", modulus, 2)
        self.labels = tuple(map(str, range(modulus)))
        self.tokens = (*self.labels, "+", "-", "*")
        self.name = f"arithmetic modulo {modulus}"

    def chance(self, length: int) -> float:
        """1/m."""
        return 1 / self.modulus

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws expressions and their values; see :class:`LabelGenerator`."""
        m = self.modulus
        tokens = random.integers(m, size=(count, length))
        tokens[:, 1::2] = m + random.integers(3, size=tokens[:, 1::2].shape)
        labels = np.full_like(tokens, IGNORE_INDEX)
        total, term = np.zeros_like(tokens[:, 0]), tokens[:, 0]
        labels[:, 0] = term
        for step in range(2, length, 2):
            sign, number = tokens[:, step - 1] - m, tokens[:, step]
            is_product = sign == 2
            total = np.where(is_product, total, total + term) % m
            term = np.where(is_product, term * number, np.where(sign == 1, -number, number)) % m
            labels[:, step] = (total + term) % m
        return tokens, labels


class Permutations(Generated):
    """Random permutations of n things; the label of each step is the product of the permutations so far.

    The word problem of the symmetric group S_n: of S_5 it is complete for NC^1 (Barrington 1989), which what is
    computed in constant depth, a linear recurrence or a Transformer of a few layers, is believed not to reach (Merrill
    et al. 2024). A permutation is named by where it sends 0, 1, ..., n-1; the product does what came earlier first.
    Chance is 1/n!.

    Args:
        degree: n, from 2 to 6.

    Raises:
        InputError: ``degree`` is out of range.

    Example:
        >>> source = Permutations(3)
        >>> tokens, labels = source.draw(np.random.default_rng(0), 1, 3)
        >>> [source.tokens[token] for token in tokens[0]], [source.labels[label] for label in labels[0]]
        (['210', '120', '120'], ['210', '021', '102'])
    """

    def __init__(self, degree: int = 3) -> None:
        if check_whole_number("data.degree", degree, 2) > _MOST_DEGREES:
            raise InputError(f"data.degree={degree} must be at most {_MOST_DEGREES}: S_n has n! elements")
        elements = np.array(list(itertools.permutations(range(degree))))  # (n!, n), in lexicographic order
        self.tokens = self.labels = tuple("".join(map(str, element)) for element in elements.tolist())
        self.name = f"S_{degree}"
        weights = degree ** np.arange(degree - 1, -1, -1)
        after = elements[:, elements]  # (x, g, i): x sends g's image of i on
        self._products = np.searchsorted(elements @ weights, after @ weights).T  # (g, x): g, then x

    def chance(self, length: int) -> float:
        """1/n!."""
        return 1 / len(self.labels)

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws permutations and their products; see :class:`LabelGenerator`."""
        tokens = random.integers(len(self.tokens), size=(count, length))
        labels = tokens.copy()
        for step in range(1, length):
            labels[:, step] = self._products[labels[:, step - 1], tokens[:, step]]
        return tokens, labels


class Dyck(Generated):
    """Brackets of n kinds, well nested: the label after each closing one says which bracket is innermost now.

    The label is what would close that bracket, or "none" where all are closed; after an opening bracket it would be
    that bracket itself, and nothing is asked. At each step a bracket opens with probability 1/2, always where all are
    closed and never at ``max_depth``, and its kind is drawn evenly: the hierarchical languages of bounded depth of
    Hewitt et al. (2020). In the long run "none" is right in 1 of ``max_depth`` answers and the others are equally
    common, so chance is (1 - 1/d)/n for depth d, or 1/d where that is more.

    Args:
        kinds: n, from 1 to 4.
        max_depth: the most brackets that are open at once.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> source = Dyck(2)
        >>> tokens, labels = source.draw(np.random.default_rng(5), 1, 10)
        >>> "".join(source.tokens[token] for token in tokens[0])
        '[[([])[()]'
        >>> [source.labels[label] for label in labels[0] if label >= 0]
        [')', ']', ']', ']']
    """

    least_length = 2

    def __init__(self, kinds: int = 2, max_depth: int = 8) -> None:
        if check_whole_number("data.kinds", kinds, 1) > len(_BRACKETS) // 2:
            raise InputError(f"data.kinds={kinds} must be at most {len(_BRACKETS) // 2}, the brackets that there are")
        self.kinds, self.max_depth = kinds, check_whole_number("data.max_depth", max_depth, 1)
        self.tokens = tuple(_BRACKETS[: 2 * kinds])
        self.labels = (*self.tokens[1::2], "none")
        self.name = f"Dyck-{kinds} of depth {max_depth}"

    def chance(self, length: int) -> float:
        """max((1 - 1/d)/n, 1/d), which long sequences come near to."""
        return max((1 - 1 / self.max_depth) / self.kinds, 1 / self.max_depth)

    def draw(self, random: np.random.Generator, count: int, length: int) -> tuple[Integers, Integers]:
        """Draws brackets and what is innermost; see :class:`LabelGenerator`."""
        kinds = random.integers(self.kinds, size=(count, length))
        chances = random.random((count, length))
        tokens, labels = np.empty_like(kinds), np.full_like(kinds, IGNORE_INDEX)
        rows, depth = np.arange(count), np.zeros(count, dtype=np.int64)
        stack = np.zeros((count, self.max_depth + 1), dtype=np.int64)  # the kinds of open brackets from place 1 on
        stack[:, 0] = self.kinds  # none
        for step in range(length):
            opens = (depth == 0) | ((depth < self.max_depth) & (chances[:, step] < 0.5))
            tokens[:, step] = np.where(opens, 2 * kinds[:, step], 2 * stack[rows, depth] + 1)
            depth += np.where(opens, 1, -1)
            stack[rows[opens], depth[opens]] = kinds[opens, step]
            labels[~opens, step] = stack[rows[~opens], depth[~opens]]
        return tokens, labels
