"""What a split holds, as the line before training says it and as run.json keeps it."""

from seqlab.data.core.summary import SplitSummary, counted, equal_rows


def test_the_record_keeps_all_classes_where_the_line_names_ten_and_no_count_of_nothing():
    classes = {f"class {i}": i for i in range(30)}
    summary = SplitSummary("train", {"rows": 435}, {"empty rows": 0, "hidden rows": 2}, classes, notes=("a note",))
    facts = summary.facts()
    assert facts["classes"] == {name: count for name, count in classes.items() if count}
    assert facts["left_out"] == {"hidden rows": 2} and facts["notes"] == ["a note"]
    line = summary.line()
    assert "(20 more)" in line and "class 29 29" in line and "class 3 3" not in line
    assert "left out: 2 hidden rows;" in line and "empty rows" not in line and line.endswith("; a note")


def test_one_thing_is_one():
    summary = SplitSummary("train", {"stories": 1}, {"lines of comments": 1}, {"a": 1}, "types of entities")
    assert summary.line() == "train: 1 story; left out: 1 line of comments; 1 type of entities: a 1"
    assert counted(1, "rows with a hidden label (-1)") == "1 row with a hidden label (-1)"
    assert counted(1, "entities") == "1 entity" and counted(2_000, "classes") == "2,000 classes"
    assert equal_rows({"train": "a", "test": "a"})["test"] == "1 of 1 row stands in train too"


def test_what_nobody_sees_is_spelled_in_the_line():
    assert SplitSummary("test", {"rows": 2}, classes={"a\u200b": 1, "b\0": 1}).line().endswith(": a\\u200b 1, b\\x00 1")
