"""Units that follow a label over a text, and how likely one is found by chance (Karpathy, Johnson & Li 2015)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.errors import InputError
from seqlab.inside.states import States

_AT_ONCE: Final = 64  # shifts in one product
_LEAST: Final = 40  # tokens of a text: twenty to choose by, twenty to check


@dataclass(frozen=True)
class UnitScore:
    """How well one unit follows a label.

    Attributes:
        layer: its layer, from 1.
        direction: "forward" or "backward".
        part: the part of the state, or the gate.
        unit: its number, from 0.
        chosen: the score on the first part of the text, by which units are ranked.
        held_out: the score on the rest.
        p: the share of circular shifts of the held-out labels, these among them, for which any unit at all is as good;
            1 for a unit that is on the other side of chance there.
    """

    layer: int
    direction: str
    part: str
    unit: int
    chosen: float
    held_out: float
    p: float


@dataclass(frozen=True)
class UnitRanking:
    """The units that follow a label best.

    Attributes:
        label: what the label is.
        measure: "AUC" of a label of two values: 0.5 is chance, 0 and 1 are perfect. "Spearman's rho" of others: 0 is
            chance, -1 and 1 are perfect.
        units: the best first, by ``chosen``.
        tried: how many units there were.
        threshold: how far from chance the best of all units comes on the held-out part in 95 % of circular shifts.
        untrained: the same of a network with random weights, where there was one.
    """

    label: str
    measure: str
    units: tuple[UnitScore, ...]
    tried: int
    threshold: float
    untrained: "UnitRanking | None" = None

    @property
    def chance(self) -> float:
        """The score of a unit that knows nothing."""
        return 0.5 if self.measure == "AUC" else 0.0

    @property
    def best(self) -> UnitScore:
        """The unit that was best on the first part."""
        return self.units[0]

    def frame(self) -> Any:
        """The units as a pandas data frame, a row each."""
        import pandas as pd

        return pd.DataFrame(self.units)

    def _repr_html_(self) -> str:
        """The ranking in a notebook."""
        from html import escape

        head, *_ = str(self).splitlines()
        foot = "" if self.untrained is None else f"<p>{escape(str(self).splitlines()[-1])}</p>"
        return f"<p>{escape(head)}</p>{self.frame().to_html(index=False, float_format='%.3f')}{foot}"

    def __str__(self) -> str:
        head = f"{self.label}: {self.measure}, {self.tried} units; by chance the best is {self.threshold:.3f} from "
        lines = [f"{head}{self.chance:g} (95 % of shifts)", "layer  part  unit   chosen  held out      p"]
        for unit in self.units:
            name = f"{unit.layer}{'' if unit.direction == 'forward' else ' back'}"
            scores = f"{unit.chosen:>8.3f}  {unit.held_out:>8.3f}  {unit.p:>5.3f}"
            lines.append(f"{name:<5}  {unit.part:<4}  {unit.unit:>4}  {scores}")
        if self.untrained is not None:
            best = self.untrained.best
            lines.append(f"untrained, the best of as many units: {best.chosen:.3f}, held out {best.held_out:.3f}")
        return "\n".join(lines)


def rank_units(
    states: States,
    labels: Sequence[float] | NDArray[Any],
    *,
    name: str = "label",
    parts: Sequence[str] | None = None,
    held_out: float = 0.5,
    shifts: int = 199,
    top: int = 10,
    seed: int = 0,
) -> UnitRanking:
    """Ranks the units of all layers by how well their value follows a label.

    A unit is scored by the ranks of its values alone: by the area under the ROC curve where the label has two values,
    by Spearman's correlation otherwise. Units are ranked on the first part of the text, and scored again on the rest.
    Neighbouring tokens are alike, in labels as in states, so chance is not that of independent draws: it is measured on
    labels that are shifted around the held-out part by a random number of tokens, and on the best of all units there.

    Args:
        states: the states over a text.
        labels: a number for each token, ``(T,)``.
        name: what the label is, for tables.
        parts: the parts and gates whose units are tried; None: those of the state.
        held_out: the share of the text, at its end, that chooses nothing.
        shifts: the number of shifts.
        top: how many units the ranking has.
        seed: of the shifts.

    Raises:
        InputError: the text is too short, a label is missing or not finite, all labels of either part are equal, a part
            is unknown, or a number is out of range.

    Example:
        >>> import torch
        >>> from seqlab.nn import Encoder, RNNCell, record_states
        >>> _ = torch.manual_seed(0)
        >>> encoder, x = Encoder(RNNCell, 1, 8), torch.randn(1, 400, 1)
        >>> with torch.no_grad():
        ...     states = States.from_calls("-" * 400, record_states(encoder, lambda: encoder(x)))
        >>> ranking = rank_units(states, x.flatten() > 0, name="a positive input")
        >>> ranking.measure, abs(ranking.best.held_out - 0.5) > ranking.threshold
        ('AUC', True)
    """
    if not 0 < held_out < 1 or shifts < 1 or top < 1:
        raise InputError(f"held_out={held_out}, shifts={shifts}, top={top}: expected a share, and numbers from 1")
    targets = np.asarray(labels, dtype=np.float64)
    total = len(states.labels)
    if total < _LEAST:
        raise InputError(f"the text has {total} tokens; give at least {_LEAST}, of which some choose and some check")
    if targets.shape != (total,) or not np.isfinite(targets).all():
        got = f"an array {targets.shape}" if targets.shape != (total,) else "some that are not finite"
        raise InputError(f"labels: expected a finite number for each of {total} tokens, got {got}")
    cut = min(max(total - round(held_out * total), 2), total - 2)
    for what, part in (("first part", targets[:cut]), ("held-out part", targets[cut:])):
        if (part == part[0]).all():
            raise InputError(f"{name}: it is {part[0]:g} at every token of the {what} of the text; give another text")
    columns = _columns(states, parts)
    values = np.concatenate([table for _, table in columns], 1)  # (T, units)
    binary = len(np.unique(targets)) == 2
    chosen = _scores(_ranks(values[:cut]), targets[None, :cut], binary)[0]
    ranks = _ranks(values[cut:])
    scores = _scores(ranks, targets[None, cut:], binary)[0]
    random = np.random.default_rng(seed)
    length = total - cut
    moves = random.integers(1, length, shifts) if length > 2 else np.ones(shifts, dtype=int)
    chance = 0.5 if binary else 0.0
    best = np.concatenate(
        [
            np.abs(_scores(ranks, np.stack([np.roll(targets[cut:], move) for move in some]), binary) - chance).max(1)
            for some in np.split(moves, range(_AT_ONCE, shifts, _AT_ONCE))
        ]
    )
    order = np.argsort(-np.abs(chosen - chance), kind="stable")[:top]
    names = [(where, unit) for where, table in columns for unit in range(table.shape[1])]
    units = []
    for index in order:
        (layer, direction, part), unit = names[index]
        # On the side of chance that was chosen: a unit that turns about on the rest has not held.
        strength = (scores[index] - chance) * np.sign(chosen[index] - chance)
        as_good = (best >= strength).sum()
        p = float((1 + as_good) / (1 + shifts))
        units.append(UnitScore(layer, direction, part, unit, float(chosen[index]), float(scores[index]), p))
    measure = "AUC" if binary else "Spearman's rho"
    return UnitRanking(name, measure, tuple(units), values.shape[1], float(np.quantile(best, 0.95)))


def _columns(states: States, parts: Sequence[str] | None) -> list[tuple[tuple[int, str, str], NDArray[Any]]]:
    """Layer, direction and part, with the values ``(T, size)``."""
    return [
        ((layer.layer, layer.direction, part), layer[part].detach().double().cpu().numpy())
        for layer in states.layers
        for part in (layer.states if parts is None else parts)
    ]


def _ranks(values: NDArray[Any]) -> NDArray[Any]:
    """The rank of each value in its column, from 1; equal values share the mean of theirs."""
    from scipy.stats import rankdata

    ranks: NDArray[Any] = rankdata(values, axis=0)
    return ranks


def _scores(ranks: NDArray[Any], targets: NDArray[Any], binary: bool) -> NDArray[Any]:
    """The score of each unit for each row of ``targets (N, T)``, ``(N, units)``; chance for a unit that is constant."""
    total = ranks.shape[0]
    if binary:
        positive = targets == targets.max()
        count = positive.sum(1, keepdims=True)
        sums = positive.astype(np.float64) @ ranks
        scores: NDArray[Any] = (sums / count - (count + 1) / 2) / (total - count)
        return scores
    centred = ranks - (total + 1) / 2
    own = _ranks(targets.T).T - (total + 1) / 2
    norms = np.sqrt((own**2).sum(1, keepdims=True) * (centred**2).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations: NDArray[Any] = np.where(norms > 0, own @ centred / norms, 0.0)
    return correlations
