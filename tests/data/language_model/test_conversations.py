"""Conversations: a turn a line, each whole in one split, and what is none."""

import gzip
import json

import pytest

from seqlab.config import build
from seqlab.data import Chitchat, Dialogues, Files
from seqlab.errors import InputError
from tests.conftest import config_of

TALKS = [(f"hello {number}", f"hi {number}", "bye") for number in range(40)]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "talks.txt"
    content = "\n\n\n".join("\n".join(turns) for turns in TALKS) + "\n"
    path.write_text(content)
    (tmp_path / "talks.txt.gz").write_bytes(gzip.compress(content.encode()))
    return path


def test_each_conversation_is_a_document_whole_in_one_split_wherever_it_stands(text, tmp_path, caplog):
    lines = [tmp_path / name for name in ("talks.jsonl", "talks.NDJSON", "talks.ndjson.gz")]
    content = "".join(json.dumps({"turns": turns}) + "\n" for turns in reversed(TALKS)).encode()
    for path in lines:
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    sources = [Dialogues(path, (0.6, 0.2, 0.2)) for path in (text, *lines)]
    splits = [{split: set(source.read(split)) for split in ("train", "validation", "test")} for source in sources]
    assert splits == splits[:1] * 4 and not caplog.text
    assert sum(map(len, splits[0].values())) == 40 and all(splits[0].values())
    assert ("hello 7\nhi 7\nbye\n", True) in set.union(*splits[0].values())
    assert Dialogues(text).fingerprint() != Dialogues(text, (0.6, 0.2, 0.2)).fingerprint()


def test_turns_that_look_like_json_are_told(tmp_path, caplog):
    (tmp_path / "talks.txt").write_text("\n\n".join(f'{{"a": {i}}}\n{{"b": 2}}' for i in range(80)))
    assert Dialogues(tmp_path / "talks.txt").fingerprint()
    assert "talks.txt is JSON: its text is read as it stands" in caplog.text and "ends in .jsonl" in caplog.text


def test_files_of_splits_keep_their_order_and_rows_restart_at_conversations(text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("a\nb\n\nc\nd\ne\n")
    source = Dialogues(Files(train=other, validation=text, test=tmp_path / "talks.txt.gz"))
    assert [piece for piece, _ in source.read("train")] == ["a\nb\n", "c\nd\ne\n"]
    options = (f"data.path={text}", "data.split=[0.6,0.2,0.2]", f"data.cache_dir={tmp_path}")
    data = build.build_data(config_of("data=dialogues", *options))
    assert len(data.documents("train")) == len(list(data.source.read("train")))
    assert next(iter(data.train_dataloader())).lengths is not None


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.txt", "one\n\ntwo\nthree\n", r"a.txt:1: a conversation of 1 turns"),
        ("a.jsonl", '{"turns": ["a", "b"]}\n{"turn": []}\n', r'a.jsonl:2: expected an object with "turns"'),
        ("a.jsonl", '{"turns": ["a", ""]}\n', r'a.jsonl:1: "turns" must be a list of texts'),
        ("a.jsonl", '{"turns": ["a", "b"], "turns": ["c", "d"]}\n', r'a.jsonl:1: two values of "turns"'),
        ("a.jsonl", "[" * 100_000, r'a.jsonl:1: expected an object with "turns"'),
        ("a.jsonl", "hello\n", r'a.jsonl:1: expected an object with "turns"'),
        ("a.txt", "a\nb\n", r"too few conversations to cut \(1\)"),
        ("a.csv", "a,b\nc,d\n\ne,f\ng,h\n", "conversations are not read from .csv files; give a jsonl"),
        ("a.json", '[{"turns": ["a", "b"]}]\n', "conversations are not read from .json files; give a jsonl"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_line(tmp_path, name, content, error):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=error):
        Dialogues(tmp_path / name).fingerprint()


def test_messages_of_one_sender_are_one_turn_and_a_conversation_is_in_one_split(monkeypatch):
    package = pytest.importorskip("chitchat_dataset", reason="the extra `chat` is not installed")
    talk = [[{"text": "Hello"}, {"text": "how\nare you?"}], [{"text": "fine"}], [{"text": " "}], [{"text": "good"}]]
    alone = [[{"text": "anybody?"}]]
    content = {f"id{number}": {"messages": alone if number == 3 else talk} for number in range(60)}
    monkeypatch.setattr(package, "Dataset", lambda: content)
    source = Chitchat((0.5, 0.25, 0.25))
    texts = {split: list(source.read(split)) for split in ("train", "validation", "test")}
    assert sum(map(len, texts.values())) == 59 and all(texts.values())
    assert texts["train"][0] == ("Hello how are you?\nfine\ngood\n", True)
    assert build.build_data(config_of("data=chitchat")).source.fingerprint()


def test_conversations_that_stand_in_two_splits_are_told_of(text, tmp_path):
    part = tmp_path / "part.txt"
    part.write_text("\n\n".join("\n".join(turns) for turns in [*TALKS[:2], ("new", "one")]))
    source = Dialogues(Files(train=text, validation=part, test=tmp_path / "talks.txt.gz"))
    assert source.notes("train") == () and source.notes("validation") == ("2 of 3 conversations stand in train too",)
    assert source.notes("test") == ("40 of 40 conversations stand in train too, 2 in validation",)
