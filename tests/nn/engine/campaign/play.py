"""Carries a history out on one subject and notes all that can be seen of it: values, gradients, side effects, draws."""

import contextlib
import copy
import io
import pickle
import random
import types
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

from seqlab.nn.engine.scan import build, readiness
from tests.nn.engine.campaign.calls import derivative, learn, threads
from tests.nn.engine.campaign.family import Family
from tests.nn.engine.campaign.losses import loss_of
from tests.nn.engine.campaign.seen import RefusedError, Seen, attributes, flat, mapped, random_state
from tests.nn.engine.campaign.subjects import layer_of, load, recurrent_layers


class Player:
    """One subject's life, of several cases. ``double`` makes all numbers float64; ``jitter`` moves each by that share
    of itself."""

    def __init__(
        self, cell: Family, built: dict[str, Any], subject: str, folder: Path, double: bool = False, jitter: float = 0.0
    ) -> None:
        self.cell, self.built, self.subject, self.double, self.jitter = cell, built, subject, double, jitter
        self.key, self.folder = subject + ("_double" if double else ""), folder
        self.engines: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.seen: list[Seen] = []
        self.compilations = 0
        self.undo: list[tuple[Any, str, Any]] = []
        self.layer: Any = None
        self.module = load(cell, self.key, folder, bool(cell.effects) or (cell.number, self.key) in _TOUCHED)
        _TOUCHED.discard((cell.number, self.key))

    def play(self, steps: list[dict[str, Any]]) -> list[Seen]:
        """What is seen at each of the steps; raises :class:`RefusedError` where a named engine refuses.

        What was replaced on a class that all subjects share is put back at the end.
        """
        text = io.StringIO()
        before = build.compilations
        self.seen, self.engines, self.reasons = [], Counter(), Counter()
        if any(_touches_module(step) for step in steps):
            _TOUCHED.add((self.cell.number, self.key))
        with warnings.catch_warnings(), contextlib.redirect_stdout(text), self._grid():
            warnings.simplefilter("ignore")
            try:
                if self.layer is None:
                    _seed(self.built["seed"])
                    made = self._refusing(lambda: layer_of(self.cell, self.built, self.module, self.subject))
                    self.layer = self._moved(made)
                for number, step in enumerate(steps):
                    self.seen.append(self._step(step, number))
                    self.seen[-1]["printed"] = text.getvalue()
                    text.seek(0)
                    text.truncate()
                    if "raised" in self.seen[-1]:
                        break
            finally:
                self.compilations = build.compilations - before
                while self.undo:
                    owner, name, value = self.undo.pop()
                    setattr(owner, name, value) if value is not _ABSENT else delattr(owner, name)
        return self.seen

    def _refusing(self, call: Any) -> Any:
        try:
            return call()
        except ValueError as error:
            if self.subject not in ("auto", "loop") and str(error).startswith("backend:"):
                raise RefusedError(str(error)) from error
            raise

    def _moved(self, layer: nn.Module) -> nn.Module:
        layer.to(torch.float64 if self.double or self.cell.dtype == "float64" else torch.float32)
        if self.jitter:
            draw = torch.Generator().manual_seed(self.built["seed"] ^ self.built["jitter"])
            with torch.no_grad():
                for tensor in [*layer.parameters(), *layer.buffers()]:
                    if tensor.is_floating_point():  # a zero is moved as a one would be
                        noise = torch.randn(tensor.shape, generator=draw, dtype=torch.float64).to(tensor)
                        tensor.add_(self.jitter * noise * torch.where(tensor == 0, 1.0, tensor))
        return layer

    @contextlib.contextmanager
    def _grid(self) -> Any:
        """Lets threads share rows and units in a way of the history's."""
        if self.built["grid"] is None:
            yield
            return
        choose, grid = readiness.grid, tuple(self.built["grid"])
        readiness.grid = lambda *_: grid
        try:
            yield
        finally:
            readiness.grid = choose

    @property
    def first(self) -> Any:
        return recurrent_layers(self.layer)[0]

    def _step(self, step: dict[str, Any], number: int) -> Seen:
        _seed(step.get("seed", number))
        seen: Seen = {}
        try:
            self._refusing(lambda: getattr(self, f"_{step['do']}")(step, seen))
        except RefusedError:
            raise
        except Exception as error:
            seen["raised"] = type(error).__name__
            seen["message"] = str(error).splitlines()[0][:200] if str(error) else ""
        seen["random"] = random_state()
        seen |= attributes(self.layer, self.module)
        if step["do"] in ("run", "threads", "derivative", "other"):
            self._note_engines()
        return seen

    def _note_engines(self) -> None:
        for each in recurrent_layers(self.layer):
            last = getattr(each, "last_run", None)
            if last is None:
                last = (getattr(each, "engine", "by hand"), None)
            self.engines[last[0]] += 1
            if last[1]:
                self.reasons[last[1]] += 1

    # What a step does
    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.layer.parameters() if p.is_floating_point()), torch.float32)

    def tensor(self, draw: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
        """Numbers of the cell's own dtype, whatever they are carried in."""
        dtype = torch.float64 if self.cell.dtype == "float64" else torch.float32
        made = torch.randn(shape, generator=draw, dtype=dtype) * scale
        if self.jitter:
            noise = torch.Generator().manual_seed(made.numel() + 997 * self.built["jitter"])
            made = made * (1 + self.jitter * torch.randn(shape, dtype=torch.float64, generator=noise))
        return made.to(self._dtype())

    def inputs(self, step: dict[str, Any], draw: torch.Generator) -> tuple[Tensor, Any, Tensor | None]:
        rows, times, size, scale = step["rows"], step["steps"], self.cell.input_size, step["scale"]
        match step["layout"]:
            case "transposed":
                x = self.tensor(draw, times, rows, size, scale=scale).transpose(0, 1)
            case "expanded":
                x = self.tensor(draw, rows, 1, size, scale=scale).expand(rows, times, size)
            case "strided":
                x = self.tensor(draw, rows, times, 2 * size, scale=scale)[..., ::2]
            case _:
                x = self.tensor(draw, rows, times, size, scale=scale)
        state = None
        if step["state"]:
            state = mapped(lambda part: self.tensor(draw, *part.shape), self.layer.initial_state(rows, like=x))
        lengths = None if step["lengths"] is None else torch.tensor(step["lengths"])
        return x, state, lengths

    def _run(self, step: dict[str, Any], seen: Seen) -> None:
        draw = torch.Generator().manual_seed(step["seed"])
        x, state, lengths = self.inputs(step, draw)
        if step["mode"] != "train":
            context = torch.no_grad() if step["mode"] == "no_grad" else torch.inference_mode()
            with context, _autocast(step["autocast"]):
                output, final = self.layer(x, state, lengths)
            self.note(seen, output, final)
            return
        leaves = {}
        if step["x_grad"]:
            x = leaves["x"] = x.detach().requires_grad_()
        if state is not None:
            state = mapped(lambda part: part.requires_grad_(), state)
            leaves |= {f"initial {k}": part for k, part in enumerate(flat(state))}
        with _autocast(step["autocast"]):
            output, final = self.layer(x, state, lengths)
        self.note(seen, output, final)
        loss = loss_of(step["loss"], output, flat(final), draw)
        self.note(seen, output, final, "after the loss: ")
        if not (isinstance(loss, Tensor) and loss.requires_grad):
            seen["loss"] = "without gradient"
            return
        seen["loss"] = loss.detach().double()
        leaves |= {f"weight {name}": p for name, p in self.layer.named_parameters() if p.requires_grad}
        if step["backward"]:
            self.layer.zero_grad()  # what came before would look like a gradient of this loss
            loss.backward()
            gradients: Any = [leaf.grad for leaf in leaves.values()]
        else:
            gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True) if leaves else ()
        self.note_gradients(seen, leaves, gradients)

    def note(self, seen: Seen, output: Tensor, final: Any, lead: str = "") -> None:
        parts = {"output": output} | {f"final {k}": part for k, part in enumerate(flat(final))}
        for name, part in parts.items():
            seen[lead + name] = part.detach().clone()
            seen[f"{lead}{name} requires_grad"] = part.requires_grad

    def note_gradients(self, seen: Seen, leaves: dict[str, Tensor], gradients: Any) -> None:
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
            seen[f"gradient {name}"] = torch.zeros_like(leaf) if gradient is None else gradient.detach().clone()

    def _derivative(self, step: dict[str, Any], seen: Seen) -> None:
        derivative(self, step, seen)

    def _threads(self, step: dict[str, Any], seen: Seen) -> None:
        threads(self, step, seen)

    def _learn(self, step: dict[str, Any], seen: Seen) -> None:
        learn(self, step, seen)

    def _change(self, step: dict[str, Any], seen: Seen) -> None:
        def replace(owner: Any, name: str, value: Any) -> None:
            if owner.__module__.startswith("seqlab"):  # shared by all
                self.undo.append((owner, name, vars(owner).get(name, _ABSENT)))
            setattr(owner, name, value)

        def load_scaled(cell: nn.Module, factor: float) -> None:
            cell.load_state_dict({k: v * factor if v.is_floating_point() else v for k, v in cell.state_dict().items()})

        layer, cell = self.layer, self.first.cell
        names = {
            "layer": self.first if "layer.cell" in step["code"] else layer, "cell": cell, "module": self.module,
            "torch": torch, "nn": nn, "F": F, "types": types, "prune": prune, "parametrize": parametrize,
            "parametrizations": parametrizations, "replace": replace, "load": load_scaled,
            "dtype_of": lambda cell: self._dtype(),
        }  # fmt: skip
        code = step["code"]
        if self.double:
            code = code.replace("layer.float()", "layer.double()")
        exec(code, names)

    def _copy(self, step: dict[str, Any], seen: Seen) -> None:
        made = pickle.loads(pickle.dumps(self.layer)) if step["how"] == "pickle" else copy.deepcopy(self.layer)
        if step["how"] == "deepcopy and back":
            x = torch.ones(2, 3, self.cell.input_size, dtype=self._dtype())
            with torch.no_grad():
                output, final = made(x)
                self.note(seen, output, final)
        else:
            self.layer = made

    def _other(self, step: dict[str, Any], seen: Seen) -> None:
        """Another layer of the same class, of other sizes or not, runs in between."""
        written = self.cell.kind in ("gated", "linear", "plain", "stepping")  # their sizes stand in their source
        cell = self.cell if written else Family(**{**vars(self.cell), "hidden_size": step["hidden"]})
        other = self._moved(layer_of(cell, {**self.built, "structure": "recurrent"}, self.module, self.subject))
        other = other.to(self._dtype())
        x = self.tensor(torch.Generator().manual_seed(step["seed"]), 2, 3, self.cell.input_size)
        output, final = other(x)
        self.note(seen, output, final)
        if not output.requires_grad:
            seen["loss"] = "without gradient"
            return
        weights = torch.linspace(0.5, 1.5, output.numel()).view_as(output).to(output)  # a norm's plain sum is constant
        loss = (output * weights).sum()
        seen["loss"] = loss.detach().double()
        leaves = {f"weight {n}": p for n, p in other.named_parameters() if p.requires_grad}
        self.note_gradients(seen, leaves, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True))


_ABSENT = object()
_TOUCHED: set[tuple[int, str]] = set()  # modules whose own values a life has changed


def _touches_module(step: dict[str, Any]) -> bool:
    return step["do"] == "change" and ("module." in step["code"] or "type(cell)" in step["code"])


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _autocast(on: bool) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if on else contextlib.nullcontext()
