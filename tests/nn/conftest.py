"""What tests of engines share."""

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def unmeasured():
    """Leaves out what torch's compiler measures for its debug log alone: at each step, 20 ms to empty the caches first.

    The guards that it measures are evaluated all the same.
    """
    import torch._dynamo.guards as guards  # a second, which no test outside this folder needs

    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guards, "profile_guard_manager", lambda root, scope, _: float(root.check(scope)))
        yield
