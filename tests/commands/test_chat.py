"""``seqlab chat``: what it reads, one state for all turns, the terminal and the page."""

import http.client
import io
import json
import random
import sys
import threading

import pytest
import torch

from seqlab.cli import main
from seqlab.commands import chat
from seqlab.commands.chat import Conversation, page
from seqlab.errors import InputError
from seqlab.nn.models.generation import Sampling
from seqlab.run.load import load_run
from tests.conftest import run_here

ONE = ("runtime.num_threads=1", "runtime.keep_freed_memory=false")
GREEDY = Sampling(greedy=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model of conversations in which a question about an animal has its cry as the answer."""
    folder = tmp_path_factory.mktemp("talks")
    cries = {"dog": "wow wow", "cat": "miaow", "cow": "moo moo moo"}
    talks = []
    draws = random.Random(0)
    for _ in range(90):
        names = [draws.choice(list(cries)) for _ in range(draws.randint(2, 5))]
        talks.append("\n".join(line for name in names for line in (f"what does the {name} say", cries[name])))
    (folder / "talks.txt").write_text("\n\n".join(talks) + "\n")
    overrides = ("data.split=[0.6,0.2,0.2]", f"data.cache_dir={folder}", "data.batch_size=4", "data.tbptt_steps=32")
    sizes = ("model.hidden_size=32", "model.embedding_dropout=0", "model.output_dropout=0", "trainer.max_epochs=12")
    run_here(
        folder / "run",
        *("experiment=dialogues", f"data.path={folder / 'talks.txt'}", *overrides, *sizes, "optimizer.lr=0.01", *ONE),
    )
    return load_run(folder / "run")


def said(conversation, text):
    return "".join(conversation.reply(text)).strip()


def test_it_answers_as_it_has_learned_and_reads_all_turns_in_one_state(run):
    model, vocabulary = run.language_model(), run.vocabulary
    talk = Conversation(model, vocabulary, GREEDY)
    assert said(talk, "what does the cow say") == "moo moo moo"
    assert said(talk, " What does\nthe cat say ") == "miaow"
    end = talk.end
    turns = ("what does the cow say", "moo moo moo", "what does the cat say", "miaow")
    tokens = [token for turn in turns for token in [*vocabulary.encode(turn).tolist(), end]]
    with torch.no_grad():
        _, state = model.features(torch.tensor([tokens]))
    for one, other in zip(talk._state, state, strict=True):
        for part, expected in zip(one, other, strict=True):
            torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


def test_a_reply_that_nobody_reads_to_its_end_is_a_turn_as_far_as_it_was_written(run):
    model, vocabulary = run.language_model(), run.vocabulary
    talk = Conversation(model, vocabulary, GREEDY)
    reply = talk.reply("what does the cow say")
    assert (next(reply) + next(reply)).strip() == "moo moo"
    reply.close()
    turns = ("what does the cow say", "moo moo")
    tokens = [token for turn in turns for token in [*vocabulary.encode(turn).tolist(), talk.end]]
    with torch.no_grad():
        _, state = model.features(torch.tensor([tokens]))
    torch.testing.assert_close(talk._state, state, rtol=1e-4, atol=1e-5)
    assert said(talk, "what does the cat say") == "miaow"


def test_it_never_says_unk_nor_nothing_and_a_turn_ends(run, monkeypatch):
    monkeypatch.setattr(chat, "MOST_TOKENS", 7)
    hot = Conversation(run.language_model(), run.vocabulary, Sampling(temperature=50.0), seed=1)
    for _ in range(20):
        reply = said(hot, "what does the dog say")
        assert reply and "<unk>" not in reply and len(reply.split()) <= 7
    with pytest.raises(InputError, match="zebra"):
        hot.reply("what does the zebra say")
    with pytest.raises(InputError, match="say something"):
        hot.reply(" \n ")
    with pytest.raises(InputError, match="temperature"):
        Conversation(run.language_model(), run.vocabulary, Sampling(temperature=0.0))
    with pytest.raises(InputError, match="seed=-1 must be a whole number, 0 or more"):
        Conversation(run.language_model(), run.vocabulary, seed=-1)


def test_the_terminal_talks_until_an_empty_line(run, monkeypatch, capsys):
    lines = iter(["what does the zebra say", "what does the dog say", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert main(["chat", str(run.run_dir), "--temperature", "0.05"]) == 0
    assert "wow wow" in capsys.readouterr().out


def test_what_is_no_text_is_refused_in_the_terminal_in_one_line(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"what does \xff say\n"), encoding="utf-8"))
    assert main(["chat", str(run.run_dir)]) == 2
    assert "what is said is not in utf-8" in capsys.readouterr().err
    with pytest.raises(InputError, match="not UTF-8"):
        Conversation(run.language_model(), run.vocabulary).reply("what does \udcff say")


def test_a_model_without_turns_is_refused(tmp_path, capsys):
    run_here(tmp_path / "hello", "experiment=hello", "trainer.max_epochs=1", *ONE)
    assert main(["chat", str(tmp_path / "hello")]) == 2
    assert "no token for the end of a turn" in capsys.readouterr().err


def test_the_page_talks_with_its_own_machine_alone(run):
    server = page(run, GREEDY, 0, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        port = server.server_port
        assert server.server_address[0] == "127.0.0.1"

        def asked(method, path, body=None, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

        status, _, html = asked("GET", "/")
        assert status == 200 and "<form>" in html
        json_type = {"Content-Type": "application/json"}
        status, headers, text = asked("POST", "/say", json.dumps({"text": "what does the cat say"}), **json_type)
        assert status == 200 and text.strip() == "miaow"
        name = headers["X-Talk"]
        _, again, text = asked("POST", "/say", json.dumps({"text": "what does the cow say", "talk": name}), **json_type)
        assert again["X-Talk"] == name and text.strip() == "moo moo moo"
        for body, extra in (
            ("no json", json_type),
            (json.dumps({"text": "  "}), json_type),
            (json.dumps({"text": "what does the zebra say"}), json_type),
            (json.dumps({"text": "x" * 3000}), json_type),
            ('{"text": "\\ud800"}', json_type),
            ("[" * 10_000, json_type),
            (json.dumps({"text": "what does the cow say"}), json_type | {"Content-Length": "abc"}),
            (json.dumps({"text": "what does the cow say", "talk": "a\r\nX-Other: 1"}), json_type),
            (json.dumps({"text": "what does the cow say", "talk": "\u4e00"}), json_type),
            (json.dumps({"text": "hello"}), {"Content-Type": "text/plain"}),
            (json.dumps({"text": "hello"}), json_type | {"Host": "example.org"}),
        ):
            assert asked("POST", "/say", body, **extra)[0] == 400
        assert asked("GET", "/", Host="example.org:80")[0] == 404 and asked("GET", "/etc")[0] == 404
        with pytest.raises(InputError, match="cannot be used"):
            page(run, GREEDY, 0, port)
    finally:
        server.shutdown()
        server.server_close()


def test_a_page_that_is_closed_while_it_is_written_to_ends_the_turn_and_nothing_else(run, monkeypatch):
    closed, errors = threading.Event(), []

    def endless(self, text):
        try:
            while True:
                yield "moo " * 10_000
        finally:
            closed.set()

    monkeypatch.setattr(Conversation, "reply", endless)
    server = page(run, GREEDY, 0, 0)
    server.handle_error = lambda *_: errors.append(sys.exc_info()[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        connection.request("POST", "/say", json.dumps({"text": "moo"}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read(10)
        answer.close()
        assert closed.wait(20)
    finally:
        server.shutdown()
        server.server_close()
    assert not errors
