"""Carries a history out on one subject and notes all that can be seen of it: values, gradients, side effects, draws."""

import contextlib
import copy
import hashlib
import io
import pickle
import random
import sys
import threading
import types
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

from seqlab.nn.engine.scan import build, readiness
from tests.nn.engine.campaign.family import Family
from tests.nn.engine.campaign.subjects import ByHand, layer_of, load, recurrent_layers

Seen = dict[str, Any]


class RefusedError(Exception):
    """An engine that was named says that it can't serve the cell."""


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
        seen["random"] = _random_state()
        seen |= self._attributes()
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

    def _attributes(self) -> Seen:
        """What a step may have left in Python: attributes, buffers, tables of the module, the order of parameters."""
        seen: Seen = {}
        for path, module in self.layer.named_modules():
            if type(module).__module__ in ("seqlab.nn.layers.recurrent", "seqlab.nn.layers.encoder", ByHand.__module__):
                continue
            for name, value in vars(module).items():
                if isinstance(value, int | float | str | bool | list | dict | tuple | Tensor) and not name.startswith(
                    "_"
                ):
                    _flatten(f"attribute {path}.{name}", value, seen)
                elif not name.startswith("_") or name.startswith("_seqlab"):
                    seen[f"attribute {path}.{name}"] = "there"
        for name, value in vars(self.module).items():
            if name.isupper() or name[:4] in ("COUN", "TABL", "GAIN"):
                _flatten(f"global {name}", value, seen)
        for name, value in self.layer.named_buffers():
            seen[f"buffer {name}"] = value.detach().clone()
        seen["names of parameters"] = [name for name, _ in self.layer.named_parameters()]
        seen["requires_grad"] = [p.requires_grad for p in self.layer.parameters()]
        return seen

    # What a step does
    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.layer.parameters() if p.is_floating_point()), torch.float32)

    def _tensor(self, draw: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
        """Numbers of the cell's own dtype, whatever they are carried in."""
        dtype = torch.float64 if self.cell.dtype == "float64" else torch.float32
        made = torch.randn(shape, generator=draw, dtype=dtype) * scale
        if self.jitter:
            noise = torch.Generator().manual_seed(made.numel() + 997 * self.built["jitter"])
            made = made * (1 + self.jitter * torch.randn(shape, dtype=torch.float64, generator=noise))
        return made.to(self._dtype())

    def _inputs(self, step: dict[str, Any], draw: torch.Generator) -> tuple[Tensor, Any, Tensor | None]:
        rows, times, size, scale = step["rows"], step["steps"], self.cell.input_size, step["scale"]
        match step["layout"]:
            case "transposed":
                x = self._tensor(draw, times, rows, size, scale=scale).transpose(0, 1)
            case "expanded":
                x = self._tensor(draw, rows, 1, size, scale=scale).expand(rows, times, size)
            case "strided":
                x = self._tensor(draw, rows, times, 2 * size, scale=scale)[..., ::2]
            case _:
                x = self._tensor(draw, rows, times, size, scale=scale)
        state = None
        if step["state"]:
            state = _mapped(lambda part: self._tensor(draw, *part.shape), self.layer.initial_state(rows, like=x))
        lengths = None if step["lengths"] is None else torch.tensor(step["lengths"])
        return x, state, lengths

    def _run(self, step: dict[str, Any], seen: Seen) -> None:
        draw = torch.Generator().manual_seed(step["seed"])
        x, state, lengths = self._inputs(step, draw)
        if step["mode"] != "train":
            context = torch.no_grad() if step["mode"] == "no_grad" else torch.inference_mode()
            with context, _autocast(step["autocast"]):
                output, final = self.layer(x, state, lengths)
            self._note(seen, output, final)
            return
        leaves = {}
        if step["x_grad"]:
            x = leaves["x"] = x.detach().requires_grad_()
        if state is not None:
            state = _mapped(lambda part: part.requires_grad_(), state)
            leaves |= {f"initial {k}": part for k, part in enumerate(_flat(state))}
        with _autocast(step["autocast"]):
            output, final = self.layer(x, state, lengths)
        self._note(seen, output, final)
        loss = _loss(step["loss"], output, _flat(final), draw)
        self._note(seen, output, final, "after the loss: ")
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
        self._note_gradients(seen, leaves, gradients)

    def _note(self, seen: Seen, output: Tensor, final: Any, lead: str = "") -> None:
        parts = {"output": output} | {f"final {k}": part for k, part in enumerate(_flat(final))}
        for name, part in parts.items():
            seen[lead + name] = part.detach().clone()
            seen[f"{lead}{name} requires_grad"] = part.requires_grad

    def _note_gradients(self, seen: Seen, leaves: dict[str, Tensor], gradients: Any) -> None:
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
            seen[f"gradient {name}"] = torch.zeros_like(leaf) if gradient is None else gradient.detach().clone()

    def _threads(self, step: dict[str, Any], seen: Seen) -> None:
        draw = torch.Generator().manual_seed(step["seed"])
        jobs = [self._inputs(step, draw)[:2] for _ in range(step["threads"])]
        layers = [copy.deepcopy(self.layer) if step["own"] else self.layer for _ in jobs]
        results: list[Seen] = [{} for _ in jobs]

        # A hook of the user's that writes is no one's to run in several threads at once.
        writes = any(module._forward_pre_hooks for module in self.layer.modules()) and not step["own"]
        at_once = not (writes or self.subject.startswith("hand"))
        barrier = threading.Barrier(len(jobs) if at_once else 1)

        def call(k: int) -> None:
            try:
                barrier.wait(60)
                x, state = jobs[k]
                x.requires_grad_()
                leaves = {"x": x} | {n: p for n, p in layers[k].named_parameters() if p.requires_grad}
                output, final = layers[k](x, state)
                self._note(results[k], output, final)
                loss = output.square().sum() + sum(part.sum() for part in _flat(final))
                self._note_gradients(
                    results[k], leaves, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
                )
            except Exception as error:
                results[k]["raised"] = type(error).__name__
                results[k]["message"] = str(error)[:200]

        if not at_once:
            for k in range(len(jobs)):
                call(k)
        else:
            interval = sys.getswitchinterval()
            sys.setswitchinterval(1e-5)
            try:
                threads = [threading.Thread(target=call, args=(k,)) for k in range(len(jobs))]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            finally:
                sys.setswitchinterval(interval)
        for k, result in enumerate(results):
            if str(result.get("message", "")).startswith("backend:") and self.subject not in ("auto", "loop"):
                raise RefusedError(result["message"])
            seen |= {f"thread {k}: {name}": value for name, value in result.items()}

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
                self._note(seen, output, final)
        else:
            self.layer = made

    def _learn(self, step: dict[str, Any], seen: Seen) -> None:
        draw = torch.Generator().manual_seed(step["seed"])
        learned = [p for p in self.layer.parameters() if p.requires_grad]
        if not learned:
            return
        optimizer: torch.optim.Optimizer = torch.optim.SGD(learned, lr=0.05)
        if step["how"] == "adam":
            optimizer = torch.optim.Adam(learned, lr=0.01, eps=1e-2)
        for _ in range(2):
            optimizer.zero_grad()
            output, final = self.layer(self._tensor(draw, 3, 4, self.cell.input_size))
            loss = output.square().mean() + sum(part.mean() for part in _flat(final))
            if not loss.requires_grad:
                return
            loss.backward()
            optimizer.step()
        seen |= {f"learned {name}": p.detach().clone() for name, p in self.layer.named_parameters()}

    def _other(self, step: dict[str, Any], seen: Seen) -> None:
        """Another layer of the same class, of other sizes or not, runs in between."""
        written = self.cell.kind in ("gated", "linear", "plain", "stepping")  # their sizes stand in their source
        cell = self.cell if written else Family(**{**vars(self.cell), "hidden_size": step["hidden"]})
        other = self._moved(layer_of(cell, {**self.built, "structure": "recurrent"}, self.module, self.subject))
        other = other.to(self._dtype())
        x = self._tensor(torch.Generator().manual_seed(step["seed"]), 2, 3, self.cell.input_size)
        output, final = other(x)
        self._note(seen, output, final)
        if not output.requires_grad:
            seen["loss"] = "without gradient"
            return
        weights = torch.linspace(0.5, 1.5, output.numel()).view_as(output).to(output)  # a norm's plain sum is constant
        loss = (output * weights).sum()
        seen["loss"] = loss.detach().double()
        leaves = {f"weight {n}": p for n, p in other.named_parameters() if p.requires_grad}
        self._note_gradients(seen, leaves, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True))

    def _derivative(self, step: dict[str, Any], seen: Seen) -> None:
        draw = torch.Generator().manual_seed(step["seed"])
        layer, kind = self.layer, step["kind"]
        x = self._tensor(draw, step["rows"], step["steps"], self.cell.input_size)
        v = self._tensor(draw, step["rows"], step["steps"], self.cell.input_size)
        learned = {n: p for n, p in layer.named_parameters() if p.requires_grad}
        leaves = {"x": x.requires_grad_(), **{f"weight {n}": p for n, p in learned.items()}}

        def value(x: Tensor) -> Tensor:
            output, final = layer(x)
            return output.square().sum() + sum(part.sin().sum() for part in _flat(final))

        def gradients(loss: Tensor) -> None:
            self._note_gradients(seen, leaves, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True))

        def called(params: dict[str, Tensor], x: Tensor) -> Tensor:
            output, final = torch.func.functional_call(layer, params, (x,))
            return output.square().sum() + _flat(final)[0].sum()

        fixed = {n: p.detach() for n, p in layer.named_parameters()}
        match kind:
            case "penalty":
                (dx,) = torch.autograd.grad(value(x), x, create_graph=True)
                seen["first"] = dx.detach().clone()
                gradients(dx.square().sum())
            case "parameters_twice":
                first = torch.autograd.grad(value(x), list(leaves.values()), create_graph=True, allow_unused=True)
                gradients(sum(each.square().sum() for each in first if each is not None))
            case "final_twice":
                output, final = layer(x)
                (dx,) = torch.autograd.grad(_flat(final)[-1].pow(3).sum(), x, create_graph=True)
                gradients((dx * v).sum())
            case "hvp":
                seen["hvp"] = torch.autograd.functional.hvp(value, x.detach(), v)[1]
            case "hessian":
                seen["hessian"] = torch.autograd.functional.hessian(value, x.detach()[:1, :2])
            case "func_grad":
                for n, g in torch.func.grad(called)(fixed, x.detach()).items():
                    seen[f"gradient {n}"] = g.detach().clone()
            case "jvp":
                out, tangent = torch.func.jvp(lambda x: layer(x)[0], (x.detach(),), (v,))
                seen["output"], seen["tangent"] = out.detach().clone(), tangent.detach().clone()
            case "jacrev":
                seen["jacobian"] = torch.func.jacrev(lambda x: layer(x)[0].sum(0)[-1])(x.detach()).detach().clone()
            case "vmap":
                seen["output"] = torch.func.vmap(lambda x: layer(x)[0])(torch.stack((x.detach(), v))).detach().clone()
            case "vmap_grad":
                found = torch.func.vmap(torch.func.grad(called), (None, 0))(fixed, torch.stack((x.detach(), v)))
                seen |= {f"gradient {n}": g.detach().clone() for n, g in found.items()}
            case "forward_ad":
                with torch.autograd.forward_ad.dual_level():
                    out = layer(torch.autograd.forward_ad.make_dual(x.detach(), v))[0]
                    tangent = torch.autograd.forward_ad.unpack_dual(out).tangent
                    seen["tangent"] = torch.zeros_like(out) if tangent is None else tangent.detach().clone()
            case "anomaly":
                with torch.autograd.detect_anomaly(check_nan=False):
                    gradients(value(x))
            case "save_on_cpu":
                with torch.autograd.graph.save_on_cpu():
                    loss = value(x)
                gradients(loss)
            case "checkpoint":
                output, final = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=step["backward"])
                if step["backward"]:  # a re-entrant checkpoint is made for `backward` alone
                    output.square().sum().backward()
                    self._note_gradients(seen, leaves, [leaf.grad for leaf in leaves.values()])
                else:
                    gradients(output.square().sum() + _flat(final)[0].sum())
            case "twice_retained":
                loss = value(x)
                torch.autograd.grad(loss, x, retain_graph=True)
                gradients(loss)
            case "windows":
                first, state = layer(x)
                second, final = layer(v, state)
                gradients((first * second).sum() + _flat(final)[-1].sum())
            case "default_device":
                with torch.device("meta"):
                    output, final = layer(x, layer.initial_state(x.size(0), like=x))
                self._note(seen, output, final)
                gradients(output.sum())
            case "default_dtype":
                kept = torch.get_default_dtype()
                torch.set_default_dtype(torch.float64)
                try:
                    output, final = layer(x)
                finally:
                    torch.set_default_dtype(kept)
                self._note(seen, output, final)
                gradients(output.square().sum())
            case "subset":
                name, leaf = list(leaves.items())[step["seed"] % len(leaves)]
                (gradient,) = torch.autograd.grad(value(x), leaf, allow_unused=True)
                seen[f"gradient {name}"] = torch.zeros_like(leaf) if gradient is None else gradient
            case "saved_later":  # the weights change between forward and backward
                loss = value(x)
                with torch.no_grad():
                    for parameter in layer.parameters():
                        parameter.mul_(0.5)
                try:
                    gradients(loss)
                except RuntimeError as error:
                    seen["changed weights"] = "in-place" if "inplace" in str(error) else str(error)[:80]
            case "compile_disabled":
                gradients(torch.compiler.disable(value)(x))


_ABSENT = object()
_TOUCHED: set[tuple[int, str]] = set()  # modules whose own values a life has changed


def _touches_module(step: dict[str, Any]) -> bool:
    return step["do"] == "change" and ("module." in step["code"] or "type(cell)" in step["code"])


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _random_state() -> str:
    numbers = np.random.get_state()
    text = repr((torch.get_rng_state().tolist(), random.getstate(), numbers[1].tolist(), numbers[2]))
    return hashlib.sha1(text.encode()).hexdigest()[:12]


def _autocast(on: bool) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if on else contextlib.nullcontext()


def _flat(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [part for each in state for part in _flat(each)]


def _mapped(function: Any, state: Any) -> Any:
    return function(state) if isinstance(state, Tensor) else tuple(_mapped(function, each) for each in state)


def _flatten(name: str, value: Any, seen: Seen) -> None:
    if isinstance(value, FakeTensor):
        seen[name] = "a tensor without values"
    elif isinstance(value, Tensor):
        try:
            seen[name] = value.detach().clone()
        except RuntimeError:  # kept from within a transform of torch.func, which has ended
            seen[name] = "a tensor that has escaped"
    elif isinstance(value, list | tuple):
        seen[f"{name} length"] = len(value)
        for k, each in enumerate(value):
            _flatten(f"{name}[{k}]", each, seen)
    elif isinstance(value, dict):
        for key, each in value.items():
            _flatten(f"{name}[{key!r}]", each, seen)
    elif isinstance(value, int | float | str | bool):
        seen[name] = value


def _loss(name: str, output: Tensor, final: list[Tensor], draw: torch.Generator) -> Any:
    def weights(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).to(output.dtype)

    last, every = final[-1], [output, *final]
    weighted = [(part * weights(*part.shape)).sum() for part in every]
    match name:
        case "weighted":
            return sum(weighted)
        case "square":
            return sum(part.square().sum() for part in every)
        case "final_transposed":
            return (last.t() * weights(*last.t().shape)).sum()
        case "final_last":
            return last.sum()
        case "first_part":
            return (final[0] * final[0]).sum()
        case "second_only":
            return final[len(final) // 2].sin().sum()
        case "output_sum":
            return output.sum()
        case "mean":
            return output.mean() + last.mean()
        case "one_step":
            return output[:, output.size(1) // 2].square().sum()
        case "strided":
            return (output[:, ::2] * 0.5).sum() + last[:, ::2].square().sum() + output[..., 1:].sin().sum()
        case "permuted":
            return (output.permute(2, 0, 1) * weights(*output.permute(2, 0, 1).shape)).sum()
        case "log_softmax_batch":
            return F.log_softmax(final[0].t(), 1)[:, 0].sum() + F.log_softmax(output, 0)[0].sum()
        case "convolution":
            return F.conv1d(last.t()[None], weights(2, last.size(1), 1)).square().sum()
        case "huge":
            return sum(weighted) * 1e4
        case "tiny":
            return sum(weighted) * 1e-6
        case "zero":
            return sum(weighted) * 0.0
        case "in_place":
            output.mul_(2.0)
            output[:, 0] = 0.0
            return output.square().sum() + last.sum()
        case "in_place_final":
            last.add_(1.0)
            return last.square().sum() + output.sum()
        case "product":
            return (output.flatten(0, 1) @ weights(output.size(2), 3)).tanh().sum()
        case "maximum":
            return output.amax((0, 1)).sum() + weighted[1]
        case "joined":
            return torch.cat((output[:, -1].double(), last.double()), 1).square().sum()
        case "unbound":
            return (
                sum((part * k).sum() for k, part in enumerate(output.unbind(1)))
                + torch.stack([part.double().sum() for part in final]).norm()
            )
        case "flipped":
            return (output.flip(1) * weights(*output.shape)).sum() + (final[0].flip(0) * weights(*final[0].shape)).sum()
        case "norm":
            return output.norm() + last.norm()
        case "detached":
            return (output * output.detach()).sum() + (last.detach() * last).sum()
        case "masked":
            return output[torch.rand(output.shape, generator=draw) > 0.5].sum()
        case "einsum":
            return torch.einsum("bti,btj->ij", output, output).sum()
        case "broadcast":
            return (output.unsqueeze(0) * weights(3, 1, 1, 1)).sum() + last.expand(2, *last.shape).sum()
        case "output_view":
            return output.reshape(-1)[1:].square().sum() + output.transpose(0, 2).contiguous().sin().sum()
    raise AssertionError(name)
