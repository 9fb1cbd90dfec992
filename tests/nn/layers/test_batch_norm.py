"""Batch normalisation over the pictures of all devices."""

import pytest
import torch
import torch.distributed as dist

from seqlab.nn.layers.batch_norm import PictureNorm


def test_a_single_value_on_all_devices_is_refused_and_spoils_no_average(monkeypatch):
    for name, value in (("is_initialized", True), ("get_world_size", 2), ("all_reduce", None)):  # the other has none
        monkeypatch.setattr(dist, name, lambda *_, value=value: value)
    norm = PictureNorm(2)
    with pytest.raises(ValueError, match="more than 1 value a channel"):
        norm(torch.ones(1, 2, 1, 1))
    assert torch.equal(norm.running_var, torch.ones(2))
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(norm(x), torch.nn.BatchNorm2d(2)(x))
