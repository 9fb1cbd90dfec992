"""A test of its own beside one set of files, for each preset of a user's own files that cuts one."""

import pytest

from seqlab.config.build import build_data
from seqlab.data.core.examples import ExampleData
from seqlab.data.core.fingerprint import Digest
from seqlab.errors import InputError
from tests.config.preset_data import OWN_FILES
from tests.conftest import config_of

CUT_BY_TIME = ("forecasting",)
ALWAYS_APART = ("answers",)


@pytest.mark.parametrize("preset", sorted({*OWN_FILES} - {*CUT_BY_TIME, *ALWAYS_APART}))
def test_it_is_the_whole_test_and_leaves_training_and_validation_as_they_are(tmp_path, preset):
    for name in ("set", "test"):
        (tmp_path / name).mkdir()
    own = [f"experiment={preset}", *OWN_FILES[preset](tmp_path / "set")]
    test = [text for text in OWN_FILES[preset](tmp_path / "test") if text.startswith("data.path")]
    alone, beside = (read(*own, *more) for more in ([], [each.replace("data.path", "data.test") for each in test]))
    counts = [{each.split: next(iter(each.counts.values())) for each in data.summaries()} for data in (alone, beside)]
    assert counts[1] == {**counts[0], "test": pytest.approx(sum(counts[0].values()), abs=3)}  # <eos> of a cut text
    lines = {each.split: each.line() for each in beside.summaries()}
    assert "left out" in lines["test"] and "the test share of data.path" in lines["test"].replace("of the", "the")
    assert not any("data.path" in lines[split] for split in ("train", "validation"))
    if isinstance(alone, ExampleData):
        assert [digest(alone, split) == digest(beside, split) for split in counts[0]] == [True, True, False]


def read(*overrides: str):
    data = build_data(config_of(*overrides))
    data.prepare_data()
    data.setup("fit")
    return data


def digest(data: ExampleData, split: str) -> str:
    of = Digest()
    of.add(data.collate(split, list(range(len(data.lengths(split))))))
    return of.hexdigest()


def test_the_same_file_cannot_be_both(tmp_path):
    (path,) = OWN_FILES["classification"](tmp_path)
    with pytest.raises(InputError, match=r"a\.csv of data\.test is of data\.path; no file may be in two splits"):
        read("experiment=classification", path, path.replace("data.path", "data.test"))


def test_folds_have_no_test_beside_them(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.fa").write_text(
            "".join(f">n{n} label={n % 2}\n{'ACGT'[n % 4] * (n + 1)}\n" for n in range(9))
        )
    options = [f"data.path={tmp_path}/a.fa", f"data.test={tmp_path}/b.fa", "data.label_pattern='label=(.)'"]
    with pytest.raises(InputError, match=r"data\.folds=3 is for rows that are cut"):
        read("experiment=dna", "data=fasta", *options, "data.folds=3", "data.fold=0")
