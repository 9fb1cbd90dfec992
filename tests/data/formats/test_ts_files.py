"""The .ts files of the archives: what is read, and what is refused with its line."""

import gzip

import numpy as np
import pytest

from seqlab.data.formats.ts_files import read_ts
from seqlab.errors import InputError

HEADER = """#A comment
@problemName Two
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true walk run
@data
"""


def written(tmp_path, text, name="two.ts"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_dimensions_missing_values_labels_and_unequal_lengths_are_read(tmp_path):
    path = written(tmp_path, HEADER + "1.5,?,3e1 : 4,5,NaN : walk\n\n# between\n7:8:run\n")
    walk, run = read_ts(path)
    np.testing.assert_array_equal(walk.series.values, [[1.5, 4], [np.nan, 5], [30, np.nan]])
    np.testing.assert_array_equal(run.series.values, [[7, 8]])
    assert (walk.label, run.label, run.series.name) == ("walk", "run", "case 2")
    assert run.place.endswith("two.ts:13") and run.series.places == [run.place]


def test_one_dimension_no_labels_gzip_and_tags_in_any_case(tmp_path):
    path = tmp_path / "one.ts.gz"
    path.write_bytes(gzip.compress(b"@Univariate TRUE\n@CLASSLABEL false\n@Data\n1,2,3\n4,5\n"))
    one, two = read_ts(path)
    assert one.label is None and one.series.values[:, 0].tolist() == [1, 2, 3] and len(two.series) == 2


def test_a_header_that_promises_other_lengths_or_has_an_unknown_tag_is_told_of(tmp_path, caplog):
    text = "@equalLength true\n@seriesLength 3\n@licence free\n@classLabel true a b\n@data\n1,2:a\n3,4:b\n"
    assert len(read_ts(written(tmp_path, text))) == 2
    assert "two.ts:3: the tag @licence is not known" in caplog.text
    assert "says that all series have 3 steps, and they have 2 to 2" in caplog.text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", r"ts:1: expected a line @data"),
        ("@classLabel true a\n", r"ts:1: expected a line @data before the cases"),
        ("1,2:a\n", r"ts:1: expected a tag such as @classLabel"),
        ("@data\n1,2:a\n", r"ts:1: expected a line @classLabel true LABELS"),
        ("@classLabel\n@data\n", r"ts:1: expected @classLabel true and the labels"),
        ("@classLabel true\n@data\n", r"ts:1: expected @classLabel true and the labels"),
        (
            "@univariate maybe\n@classLabel true a\n@data\n1:a\n",
            r"ts:1: @univariate is 'maybe'; expected true or false",
        ),
        ("@dimensions two\n@classLabel true a\n@data\n1:a\n", r"ts:1: @dimensions is 'two'; expected a whole number"),
        ("@timeStamps true\n@classLabel true a\n@data\n", r"ts:1: values with time stamps .* data.id= and data.time="),
        ("@targetLabel true\n@data\n1:0.5\n", r"ts:1: the file has numbers as targets .* regression"),
        (HEADER, r"has no case after @data"),
        (HEADER + "1,2:3,4:swim\n", r"ts:10: the label 'swim' is none of those of @classLabel: walk, run"),
        (HEADER + "walk\n", r"ts:10: the case has a label and no values"),
        (HEADER + "1,2:walk\n", r"ts:10: expected 2 dimensions, with a colon after each, got 1"),
        (HEADER + "1,2:3:walk\n", r"ts:10: the dimensions of a case have different lengths \(2, 1\).*fill"),
        (HEADER + "1,2:3,x:walk\n", r"ts:10: a value of dimension 2 is 'x', no number"),
        (HEADER + "1,2:3,1_0:walk\n", r"ts:10: a value of dimension 2 is '1_0', no number"),
        (HEADER + "1,2:3,inf:walk\n", r"ts:10: a value of dimension 2 is infinite"),
        (HEADER + "1,2::walk\n", r"ts:10: dimension 2 is empty"),
        (HEADER + "1,2:3,:walk\n", r"ts:10: dimension 2 has an empty value; write \?"),
    ],
)
def test_what_cannot_be_read_right_is_refused_with_its_line(tmp_path, text, error):
    with pytest.raises(InputError, match=error):
        read_ts(written(tmp_path, text))
