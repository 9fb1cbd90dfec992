"""What a history asks of a layer beside a plain run: derivatives of every kind, several threads at once, steps of
an optimizer."""

import copy
import sys
import threading
from typing import Any

import torch
from torch import Tensor

from tests.nn.engine.campaign.seen import RefusedError, Seen, flat


def derivative(player: Any, step: dict[str, Any], seen: Seen) -> None:
    draw = torch.Generator().manual_seed(step["seed"])
    layer, kind = player.layer, step["kind"]
    x = player.tensor(draw, step["rows"], step["steps"], player.cell.input_size)
    v = player.tensor(draw, step["rows"], step["steps"], player.cell.input_size)
    learned = {n: p for n, p in layer.named_parameters() if p.requires_grad}
    leaves = {"x": x.requires_grad_(), **{f"weight {n}": p for n, p in learned.items()}}

    def value(x: Tensor) -> Tensor:
        output, final = layer(x)
        return output.square().sum() + sum(part.sin().sum() for part in flat(final))

    def gradients(loss: Tensor) -> None:
        player.note_gradients(seen, leaves, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True))

    def called(params: dict[str, Tensor], x: Tensor) -> Tensor:
        output, final = torch.func.functional_call(layer, params, (x,))
        return output.square().sum() + flat(final)[0].sum()

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
            (dx,) = torch.autograd.grad(flat(final)[-1].pow(3).sum(), x, create_graph=True)
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
                player.note_gradients(seen, leaves, [leaf.grad for leaf in leaves.values()])
            else:
                gradients(output.square().sum() + flat(final)[0].sum())
        case "twice_retained":
            loss = value(x)
            torch.autograd.grad(loss, x, retain_graph=True)
            gradients(loss)
        case "windows":
            first, state = layer(x)
            second, final = layer(v, state)
            gradients((first * second).sum() + flat(final)[-1].sum())
        case "default_device":
            with torch.device("meta"):
                output, final = layer(x, layer.initial_state(x.size(0), like=x))
            player.note(seen, output, final)
            gradients(output.sum())
        case "default_dtype":
            kept = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
            try:
                output, final = layer(x)
            finally:
                torch.set_default_dtype(kept)
            player.note(seen, output, final)
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


def threads(player: Any, step: dict[str, Any], seen: Seen) -> None:
    draw = torch.Generator().manual_seed(step["seed"])
    jobs = [player.inputs(step, draw)[:2] for _ in range(step["threads"])]
    layers = [copy.deepcopy(player.layer) if step["own"] else player.layer for _ in jobs]
    results: list[Seen] = [{} for _ in jobs]

    # A hook of the user's that writes is no one's to run in several threads at once.
    writes = any(module._forward_pre_hooks for module in player.layer.modules()) and not step["own"]
    at_once = not (writes or player.subject.startswith("hand"))
    barrier = threading.Barrier(len(jobs) if at_once else 1)

    def call(k: int) -> None:
        try:
            barrier.wait(60)
            x, state = jobs[k]
            x.requires_grad_()
            leaves = {"x": x} | {n: p for n, p in layers[k].named_parameters() if p.requires_grad}
            output, final = layers[k](x, state)
            player.note(results[k], output, final)
            loss = output.square().sum() + sum(part.sum() for part in flat(final))
            player.note_gradients(
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
        if str(result.get("message", "")).startswith("backend:") and player.subject not in ("auto", "loop"):
            raise RefusedError(result["message"])
        seen |= {f"thread {k}: {name}": value for name, value in result.items()}


def learn(player: Any, step: dict[str, Any], seen: Seen) -> None:
    draw = torch.Generator().manual_seed(step["seed"])
    learned = [p for p in player.layer.parameters() if p.requires_grad]
    if not learned:
        return
    optimizer: torch.optim.Optimizer = torch.optim.SGD(learned, lr=0.05)
    if step["how"] == "adam":
        optimizer = torch.optim.Adam(learned, lr=0.01, eps=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        output, final = player.layer(player.tensor(draw, 3, 4, player.cell.input_size))
        loss = output.square().mean() + sum(part.mean() for part in flat(final))
        if not loss.requires_grad:
            return
        loss.backward()
        optimizer.step()
    seen |= {f"learned {name}": p.detach().clone() for name, p in player.layer.named_parameters()}
