"""Cells and sizes that differ from layer to layer, and keys of a model that its encoder does not read.

``model.cell=[lstm,gru]`` names a file of ``model/cell`` for each layer. Torch is not needed.
"""

import copy
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import OmegaConf

from seqlab.config.parts import is_late, references, resolved
from seqlab.errors import InputError

UNREAD: Final = "_unread_"
"""The key of a part that names keys of the model which it does not read, with the values that ask for nothing."""
Sources = tuple[tuple[str, str], ...]
SHIPPED: Final[Sources] = (("hydra", "pkg://hydra.conf"), ("main", "pkg://seqlab.conf"), ("schema", "structured://"))
"""Where Hydra looks for files: a provider and a place each."""
_LISTS: Final = ("cell", "hidden_size")  # of an encoder: keys that may have a value for each layer


def list_overrides(overrides: Sequence[str]) -> list[str]:
    """Overrides in which a list of cells takes the place of the group ``model/cell``, as Hydra wants it said.

    Hydra merges a value into what the group gave, and a list can't be merged into the keys of a cell.

    Raises:
        InputError: a list is given to the group, or a list and a cell for all layers are given together.

    Example:
        >>> list_overrides(["seed=1", "model.cell=[lstm,gru]"])
        ['~model/cell', 'seed=1', '+model.cell=[lstm,gru]']
        >>> list_overrides(["model/cell=gru"])
        ['model/cell=gru']
    """
    parsed = [_parsed(text) for text in overrides]
    for override in parsed:
        if override is not None and override.key_or_group.endswith("/cell") and _has_list(override):
            text = str(override.input_line)
            raise InputError(f"{text}: expected one cell; one for each layer: {text.replace('/cell', '.cell', 1)}")
    lists = [o is not None and o.key_or_group == "model.cell" and not o.is_delete() and _has_list(o) for o in parsed]
    if not any(lists):
        return list(overrides)
    for override in parsed:
        key = "" if override is None or override.is_delete() else str(override.key_or_group)
        if override is not None and (key == "model/cell" or key.startswith("model.cell.")):
            one = overrides[lists.index(True)]
            raise InputError(f"{override.input_line} beside {one}: expected one of them; leave the other out")
    changed = [
        f"+{text}" if is_list and text[0] != "+" else text for text, is_list in zip(overrides, lists, strict=True)
    ]
    return changed if "~model/cell" in changed else ["~model/cell", *changed]


def _parsed(text: str) -> Override | None:
    """An override; None for an option, or for one that Hydra is to refuse."""
    if not text.lstrip("+~").startswith("model"):
        return None
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def _has_list(override: Override) -> bool:
    """Whether the value of an override, or one of those that it sweeps over, is a list."""
    value = override.value()
    values = value.list if override.is_choice_sweep() else [value]  # type: ignore[union-attr]
    return any(isinstance(each, list) for each in values)


def complete_model(
    model: Mapping[str, Any], sources: Sources = SHIPPED, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """A composed ``model`` group with the cells that its lists name, without the keys that no part is to read.

    A key that a part names in `UNREAD` is left out where it has the value given there. Where that is null, it is left
    out whatever its value, unless an override sets it: then it came with a preset. What another part reads stays.

    A cell of a list is a name of ``model/cell``, a name with keys of its own (``{rnn: {nonlinearity: relu}}``), or the
    keys of a cell with its ``_target_``. A name that no file has stays, for :func:`check_layers` to refuse.

    Example:
        >>> model = {"cell": ["gru", {"lstm": {"bias": False}}], "num_layers": 2}
        >>> [cell["_target_"] for cell in complete_model(model)["cell"]]
        ['seqlab.nn.GRUCell', 'seqlab.nn.LSTMCell']
    """
    completed: dict[str, Any] = {}
    unread: dict[str, Any] = {}
    for name, value in model.items():
        if isinstance(value, Mapping):
            own = value.get(UNREAD) or {}
            unread.update(own)
            value = {key: each for key, each in value.items() if key != UNREAD and (key not in own or each != own[key])}
            if isinstance(value.get("cell"), list):
                value["cell"] = [_cell(each, sources) for each in value["cell"]]
        elif name == "cell" and isinstance(value, list):
            value = [_cell(each, sources) for each in value]
        completed[name] = value
    read = references(completed)
    typed = {tuple(re.split(r"[./@=]", text.lstrip("+~"))[:2]) for text in overrides}
    for name, value in unread.items():
        is_of_preset = value is None and ("model", name) not in typed
        if name in completed and name not in read and (completed[name] == value or is_of_preset):
            del completed[name]
    return completed


def _cell(value: Any, sources: Sources) -> Any:
    if isinstance(value, str):
        return copy.deepcopy(_file(value, sources)) or value
    if isinstance(value, Mapping) and len(value) == 1 and "_target_" not in value:
        ((name, options),) = value.items()
        if isinstance(options, Mapping) and (keys := _file(str(name), sources)):
            return {**copy.deepcopy(keys), **options}
    return value


@functools.cache
def _file(name: str, sources: Sources) -> dict[str, Any] | None:
    """The keys of a file of ``model/cell``; None if there is none of that name."""
    path = ConfigSearchPathImpl()
    for provider, place in sources:
        path.append(provider, place)
    try:
        config = ConfigLoaderImpl(path).load_configuration(f"model/cell/{name}", [], RunMode.RUN)
    except MissingConfigException:
        return None
    keys = OmegaConf.to_container(config, resolve=False).get("model", {}).get("cell")  # type: ignore[union-attr]
    return keys if isinstance(keys, dict) else None


def check_layers(model: Mapping[str, Any]) -> None:
    """Refuses cells that are none, and lists that have not one value for each layer, before anything is built.

    Raises:
        InputError: names the key, and what was expected.

    Example:
        >>> encoder = {"_target_": "seqlab.nn.Encoder", "hidden_size": "${..hidden_size}", "num_layers": 3}
        >>> check_layers({"hidden_size": [8, 4], "encoder": encoder})
        Traceback (most recent call last):
        ...
        seqlab.errors.InputError: model.hidden_size=[8,4] has 2 values, and model.encoder.num_layers is 3: give one \
for each layer, or one for all
    """
    for key, cell in _cells(model):
        if not isinstance(cell, Mapping) or "_target_" not in cell:
            names = sorted(
                file.name.removesuffix(".yaml") for file in files("seqlab.conf").joinpath("model/cell").iterdir()
            )
            raise InputError(f"{key}={_text(cell)}: expected a name of model/cell, such as {', '.join(names)}")
    if isinstance(sizes := model.get("hidden_size"), list) and model.get("match_parameters") is not None:
        raise InputError(
            f"model.hidden_size={_text(sizes)} beside model.match_parameters={model['match_parameters']}: expected one "
            "size, which that number decides; give model.match_parameters=null, or no list"
        )
    for part, options in model.items():
        if not isinstance(options, Mapping) or "num_layers" not in options:
            continue
        keys = resolved(model, part)
        for name in _LISTS:
            if isinstance(values := keys.get(name), list) and len(values) != keys["num_layers"]:
                own = f"model.{part}.{name}"
                key = f"model.{name}" if is_late(options[name]) else own
                mend = "one for each layer, or one for all"
                if key != own and part != "encoder":
                    mend = f"one for each layer, or {own} a value of its own"
                number = f"{'model' if is_late(options['num_layers']) else f'model.{part}'}.num_layers"
                words = f"has {len(values)} value{'s' if len(values) > 1 else ''}"
                shown = f"={_text(values)}" if name != "cell" else ""
                raise InputError(f"{key}{shown} {words}, and {number} is {keys['num_layers']}: give {mend}")


def _cells(model: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The cells of all lists, with their keys."""
    nodes = [("model", model), *((f"model.{name}", part) for name, part in model.items() if isinstance(part, Mapping))]
    for key, node in nodes:
        if isinstance(cells := node.get("cell"), list):
            yield from ((f"{key}.cell.{place}", cell) for place, cell in enumerate(cells))


def _text(value: Any) -> str:
    return f"[{','.join(map(_text, value))}]" if isinstance(value, list) else str(value)
