"""The line of column names: found, missing, above other lines, or come again."""

from tests.data.formats.table_rows import PLAIN, ROWS, read, refusal, write


def test_a_first_line_of_names_is_told_where_there_should_be_none(tmp_path, caplog):
    read(write(tmp_path, "a.csv", PLAIN), header=False, text=0, label=1)
    assert "a.csv:1: the first line is read as a row, but looks like column names (text, label)" in caplog.text


def test_the_line_with_which_spreadsheets_name_the_separator_is_heeded(tmp_path):
    path = write(tmp_path, "a.csv", "sep=;\n" + PLAIN.replace(",", ";") + "no label;\n")
    assert "a.csv:1: " in refusal(path) and "give data.separator=semicolon" in refusal(path)
    assert f"{path}:43: expected a label" in refusal(path, separator="semicolon")
    write(tmp_path, "a.csv", "sep=;\n" + PLAIN.replace(",", ";"))
    assert read(path, separator=";") == read(path, separator=";", quoting="none") == sorted(ROWS)


def test_a_stray_quote_in_the_line_of_names_is_told(tmp_path):
    message = refusal(
        write(tmp_path, "a.csv", PLAIN.replace("text,", '"text,', 1).replace("3 was good", '3 was good"', 1))
    )
    assert "a.csv:1: " in message and "data.quoting=none" in message and len(message) < 300


def test_a_first_row_that_is_taken_for_names_is_told(tmp_path, caplog):
    read(write(tmp_path, "a.csv", PLAIN.partition("\n")[2]), text=ROWS[0][0], label="pos")
    assert "a.csv:1: the first line looks like data, for its label 'pos' is that of other rows too" in caplog.text


def test_a_second_line_of_names_is_refused_whatever_its_case_and_order(tmp_path):
    for again, words in {
        "Text , LABEL": "the line of column names comes again; leave it out",
        '"text","label"': "the line of column names comes again; leave it out",
        "label,text": "in another order (label, text)",
    }.items():
        found = refusal(write(tmp_path, "a.csv", f"{PLAIN}{again}\nx,y\n"))
        assert "a.csv:42: " in found and words in found
    table = write(tmp_path, "b.csv", PLAIN + "the label,text of it\n")
    assert ("the label", "text of it") in read(table)


def test_names_that_come_again_as_rows_are_told_without_a_header(tmp_path, caplog):
    read(write(tmp_path, "a.csv", PLAIN * 2), header=False, text=0, label=1)
    assert "a.csv:1: the first line is read as a row, but looks like column names (text, label)" in caplog.text


def test_a_first_line_of_data_that_is_asked_for_by_number_is_told(tmp_path, caplog):
    rows = PLAIN.partition("\n")[2]
    read(write(tmp_path, "a.csv", "a first text of its own,7\n" + rows), text=0, label=1)
    assert (
        "left out as column names (a first text of its own, 7): if it is a row, give data.header=false" in caplog.text
    )
    caplog.clear()
    read(write(tmp_path, "b.csv", "1,0\n" + rows), text=1, label=0)  # names that are numbers, as pandas writes them
    read(
        write(tmp_path, "c.csv", "What did you think of it?,stars\n" + rows), text="What did you think of it?", label=1
    )
    assert not caplog.text


def test_what_stands_before_the_line_of_names_is_told(tmp_path):
    for before in ("# made by hand\n", "My table\n\n", "one,two\n"):
        number = before.count("\n") + 1
        assert f"line {number} has the column names: leave out" in refusal(write(tmp_path, "a.csv", before + PLAIN))


def test_names_are_found_behind_what_nobody_sees(tmp_path):
    assert len(read(write(tmp_path, "a.csv", PLAIN.replace("text,label", "\u00a0text,\u200blabel")))) == 40
