"""A trained model as files that run without seqlab: ONNX, or PyTorch's own exported programs.

:mod:`~seqlab.export.programs` says what a file holds, ``kinds`` what of each kind of model becomes one. ``layers``
brings recurrent layers into a form that can be exported, ``formats`` writes and runs the files, ``check`` compares them
with the model, ``int8`` quantises, and ``folder`` writes all of it. It sees ``nn`` and what ``data`` gives to models;
only the commands see it.
"""
