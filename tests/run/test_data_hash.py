"""The hash of a run's data: of what training reads, its order and labels, and not of its place."""

from pathlib import Path

from seqlab.data import labelled_data
from tests.conftest import run_here

LINES = [f"line {i} of a text with words" for i in range(200)]


def text_hash(folder: Path, name: str, lines: list[str]) -> str:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    options = ["data.batch_size=4", "data.tbptt_steps=8", "model.hidden_size=4", "trainer.max_steps=1", "logger=none"]
    return run_here(folder / f"run_{name}", "data=text", f"data.path={folder / name}", *options).fields["data_hash"]


def test_a_text_of_other_order_has_another_hash_and_a_moved_one_the_same(tmp_path):
    one = text_hash(tmp_path, "a.txt", LINES)
    assert text_hash(tmp_path, "b.txt", LINES) == one
    swapped = [LINES[1], LINES[0], *LINES[2:]]
    assert text_hash(tmp_path, "c.txt", swapped) != one


def test_examples_of_any_kind_have_a_fingerprint_of_content_labels_and_order(tmp_path):
    def fingerprint(rows: list[tuple[str, str]]) -> str:
        (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
        return labelled_data(tmp_path / "a.csv").fingerprint()

    rows = [(line, "ab"[i % 2]) for i, line in enumerate(LINES)]
    one = fingerprint(rows)
    turned = [(text, "ab"[label == "a"]) for text, label in rows]
    assert fingerprint(rows) == one
    assert len({one, fingerprint(turned), fingerprint(rows[::-1]), fingerprint([*rows[1:], rows[0]])}) == 4
