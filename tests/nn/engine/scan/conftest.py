"""What tests of compiled steps share."""

import pytest


@pytest.fixture(params=["compiled", "uncompiled"])
def either(request):
    """Each test with and without a compiled step."""
    request.getfixturevalue({"compiled": "compiled_quickly"}.get(request.param, request.param))
    return request.param
