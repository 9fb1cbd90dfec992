"""Whether a tensor stands for many at once."""

import torch
from torch import Tensor


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor is one of a transform of ``torch.func``, as under ``vmap``, or of ``is_grads_batched``."""
    functorch = torch._C._functorch
    return functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor)
