"""Weights of eight bits, for CPUs: the same programs, smaller, with products of integers."""

from pathlib import Path

from seqlab.export.formats import quiet


def quantize(path: Path, target: Path) -> None:
    """Writes an ONNX file anew with 8-bit weights (onnxruntime's dynamic quantisation).

    Matrices and embeddings have a byte a weight; what they are multiplied with is quantised as it comes. Of the byte,
    seven bits are used: with eight, products overflow in silence on CPUs without VNNI, and the numbers would depend on
    the machine.

    Args:
        path: the file.
        target: the new file.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(
            str(path),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            extra_options={"EnableSubgraph": True},  # the steps are a graph within the graph
        )
