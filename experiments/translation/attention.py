"""Draws what a trained translator looks at while it writes.

python experiments/translation/attention.py RUN_DIR "And God said, Let there be light." attention.png
"""

import argparse
import sys
from pathlib import Path

from seqlab.callbacks.attention import draw_alignment
from seqlab.data import TranslationSpec
from seqlab.data.core.batch import pad
from seqlab.errors import InputError
from seqlab.nn import Translator
from seqlab.run.load import load_run
from seqlab.tasks.translation import decode, translate


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("text")
    parser.add_argument("output", type=Path)
    args = parser.parse_args(argv)
    try:
        run = load_run(args.run_dir)
        model, spec = run.model(), run.spec
        if not (isinstance(model, Translator) and isinstance(spec, TranslationSpec) and model.decoder.attention):
            raise InputError(f"{args.run_dir} holds no translator with attention")
        source, target = (run.vocabularies[side] for side in spec.vocabularies)
        read = source.encode(args.text, "the text")
        if not len(read):
            raise InputError("the text is empty")
    except InputError as error:
        print(f"attention: {error}", file=sys.stderr)
        return 2
    found = translate(model, spec, *pad([read]), beam_size=5, length_penalty=1.0, max_length=None)
    (written,) = found.best()
    assert found.attention is not None
    names = [*(target.decode([token]) for token in written), "<eos>"]
    figure = draw_alignment(
        [source.decode([token]) for token in read.tolist()], names, found.attention[0, : len(names)]
    )
    figure.savefig(args.output, dpi=110)
    print(decode(spec, target, written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
