"""The cells of ``seqlab bench engine`` by name, and the ``torch.nn`` layer that each is compared with."""

import difflib
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import Tensor, nn

from seqlab.bench.engine.own_cells import own_cell, own_names
from seqlab.errors import InputError
from seqlab.nn import GatedCell, RecurrentCell
from seqlab.nn.state import State


class UserLSTMCell(GatedCell):
    """The LSTM as a user would write it. It is a class of its own, so kernels for the stock cell do not serve it."""

    num_gates, state_names = 4, ("h", "c")

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        i, f, g, o = (gi + gh).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class UserGRUCell(GatedCell):
    """The GRU as a user would write it."""

    num_gates, state_names = 3, ("h",)

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        (ri, zi, ni), (rh, zh, nh) = gi.chunk(3, -1), gh.chunk(3, -1)
        r, z = (ri + rh).sigmoid(), (zi + zh).sigmoid()
        return ((1 - z) * (ni + r * nh).tanh() + z * state[0],)


CellFactory = Callable[[int, int], RecurrentCell]
_USERS: dict[str, CellFactory] = {"user_lstm": UserLSTMCell, "user_gru": UserGRUCell}


@dataclass(frozen=True)
class Stock:
    """The ``torch.nn`` counterpart of a cell.

    Attributes:
        name: of the layer.
        layer: the class of the layer.
        cell: the class of its cell, for one step.
        same: whether they compute the same function as the cell.
    """

    name: str
    layer: Callable[..., nn.RNNBase]
    cell: Callable[[int, int], nn.RNNCellBase]
    same: bool

    @property
    def loop_name(self) -> str:
        return f"{self.name}Cell loop"


def all_cells() -> dict[str, CellFactory]:
    """Every cell by name: the two of this module, then those of ``conf/model/cell``, each by the name of its file.

    Example:
        >>> [name for name in all_cells() if name in ("lstm", "user_lstm", "module")]
        ['user_lstm', 'lstm']
    """
    return _USERS | _configured()


@functools.cache
def _configured() -> dict[str, CellFactory]:
    """The classes that the files of ``conf/model/cell`` name, but for adapters, which need more than two sizes."""
    folder = files("seqlab.conf").joinpath("model/cell")
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(".yaml") and path.name[0] != "_")
    texts = {name.removesuffix(".yaml"): folder.joinpath(name).read_text() for name in names}
    kinds = {name: get_class(OmegaConf.select(OmegaConf.create(text), "_target_")) for name, text in texts.items()}
    return {name: kind for name, kind in kinds.items() if _is_made_from_sizes(kind)}


def find_cells(names: Sequence[str] | None, config_dir: str | None = None) -> dict[str, CellFactory]:
    """The cells of these names, in their order; None: all cells that ship.

    Args:
        names: names of :func:`all_cells`, or of a user's own cells: see :mod:`seqlab.bench.engine.own_cells`.
        config_dir: the user's configuration folder; None: there is none.

    Raises:
        InputError: there is no cell of a name, or a user's own is refused.
    """
    cells = all_cells()
    for name in names or ():
        if name in cells:
            continue
        if "." not in name and name not in own_names(config_dir):
            known = [*cells, *own_names(config_dir)]
            close = difflib.get_close_matches(name, known, 1)
            mend = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise InputError(
                f"--cells: there is no cell {name!r}; {mend} A class of your own is named with its module, as "
                "my_cells.MyCell"
            )
        cells[name] = own_cell(name, config_dir)
    return cells if names is None else {name: cells[name] for name in names}


def stock_of(name: str) -> Stock:
    """The ``torch.nn`` counterpart of a cell; for a cell without one ``nn.LSTM``, another function."""
    counterparts = {
        "rnn": Stock("nn.RNN", nn.RNN, nn.RNNCell, True),
        "gru": Stock("nn.GRU", nn.GRU, nn.GRUCell, True),
        "lstm": Stock("nn.LSTM", nn.LSTM, nn.LSTMCell, True),
    }
    return counterparts.get(name.removeprefix("user_"), Stock("nn.LSTM", nn.LSTM, nn.LSTMCell, False))


def _is_made_from_sizes(cell: type) -> bool:
    """Whether ``cell(input_size, hidden_size)`` makes a cell: an adapter needs more."""
    required = [
        name
        for name, parameter in inspect.signature(cell).parameters.items()
        if parameter.default is parameter.empty and not parameter.kind.name.startswith("VAR_")
    ]
    return required == ["input_size", "hidden_size"]
