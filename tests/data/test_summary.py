"""What a split holds, as the line before training says it and as run.json keeps it."""

from seqlab.data.summary import SplitSummary


def test_the_record_keeps_all_classes_where_the_line_names_ten_and_no_count_of_nothing():
    classes = {f"class {i}": i for i in range(30)}
    summary = SplitSummary("train", {"rows": 435}, {"empty rows": 0, "hidden rows": 2}, classes, notes=("a note",))
    facts = summary.facts()
    assert facts["classes"] == {name: count for name, count in classes.items() if count}
    assert facts["left_out"] == {"hidden rows": 2} and facts["notes"] == ["a note"]
    line = summary.line()
    assert "(20 more)" in line and "class 29 29" in line and "class 3 3" not in line
    assert "left out: 2 hidden rows;" in line and "empty rows" not in line and line.endswith("; a note")
