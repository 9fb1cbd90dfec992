"""How a model makes the parts that it is handed as factories."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

Part = TypeVar("Part", bound=nn.Module)


def make_part(name: str, factory: Callable[..., Any], kind: type[Part], **sizes: Any) -> Part:
    """The part that ``factory(**sizes)`` makes: a model knows those sizes, its caller all other options.

    Args:
        name: The argument that holds the factory, for errors.
        factory: Such as ``functools.partial(TokenHead, vocab_size=50)``.
        kind: The class that the part must be of.
        sizes: What the model knows.

    Raises:
        TypeError: ``factory`` is no factory, or makes something else.

    Example:
        >>> make_part("output", lambda in_features: nn.Linear(in_features, 3), nn.Linear, in_features=2)
        Linear(in_features=2, out_features=3, bias=True)
    """
    expected = f"a factory, such as functools.partial({kind.__name__}, ...)"
    if isinstance(factory, nn.Module) or not callable(factory):
        raise TypeError(f"{name}: expected {expected}, got {factory!r}")
    part = factory(**sizes)
    if not isinstance(part, kind):
        raise TypeError(f"{name}: expected {expected}, but it made {type(part).__name__}")
    return part
