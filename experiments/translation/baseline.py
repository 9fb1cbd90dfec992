"""The baseline of translation: the source itself, untouched, scored as a translation.

    python experiments/translation/baseline.py experiment=multi30k_gru

takes the overrides of ``seqlab train``, reads the same data and leaves a record in ``runs/<name>/copy``, so that
``seqlab report runs/<name> --by model._target_,model.attention`` has it in its table.
"""

import argparse
import sys
from pathlib import Path

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import TranslationData
from seqlab.errors import InputError
from seqlab.tasks.scores import score

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tables import is_measured, leave_record


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="of seqlab train")
    args = parser.parse_args(argv)
    measured, signatures = {}, {}
    try:
        config = compose_config(args.overrides)
        run_dir = Path("runs") / str(config["name"]) / "copy"
        if is_measured(run_dir, config["data"]):
            print(f"{run_dir} is there already; remove it to measure it again")
            return 0
        data = build.build_data(config)
        assert isinstance(data, TranslationData)
        for name, split in (("val", "validation"), ("test", "test")):
            pairs = data.source.read(split)
            scores, signatures = score(
                [pair.source for pair in pairs], [pair.target for pair in pairs], config["task"]["lowercase_scores"]
            )
            measured.update({f"{name}/{key}": value for key, value in scores.items()})
    except InputError as error:
        print(f"baseline: {error}", file=sys.stderr)
        return 2
    config["model"] = {"_target_": "copy", "attention": None}
    leave_record(run_dir, config, args.overrides, measured)
    print("  ".join(f"{name} {value:.2f}" for name, value in measured.items()), *signatures.values(), sep="\n")
    print(run_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
