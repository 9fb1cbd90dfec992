"""What a layer keeps in memory, measured."""

import torch


def kept_bytes(layer, x, state=None):
    """How much a forward pass saves for the backward pass, beside its inputs and parameters."""
    sizes, own = {}, {each.untyped_storage().data_ptr() for each in (x, *layer.parameters())}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = layer(x, state)  # alive, so that no address is used twice
    assert kept[0].requires_grad
    return sum(sizes.values())
