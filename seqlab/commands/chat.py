"""``seqlab chat``: a conversation with a language model of conversations, in a terminal or on a local page."""

import json
import re
import secrets
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Final

import torch
from torch import Tensor

from seqlab.commands.generate import read_prompt
from seqlab.data.core.options import check_seed
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.generation import Sampling, evaluation
from seqlab.nn.models.language_model import NextTokenModel
from seqlab.run.load import SavedRun

MOST_TOKENS: Final = 80
"""The most tokens of a reply; a model that has not ended its turn by then is cut."""

_MILD: Final = Sampling(temperature=0.7)
_MOST_LETTERS: Final = 2000  # of what a page sends
_TALK: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")  # a name of a talk, which stands in a header of the answer
_MOST_TALKS: Final = 50  # conversations that a page's server remembers


class Conversation:
    """A conversation with a model: it reads all turns so far, in one state that is carried on.

    It is a language model of lines and no more: it says what people who talked like this said next. It knows nothing,
    remembers nothing but this conversation, and makes things up.

    Args:
        model: the language model, trained on conversations with a turn a line.
        vocabulary: its vocabulary, which must have a token for the end of a line.
        sampling: how the next token is drawn.
        seed: of the random draws.

    Raises:
        InputError: the vocabulary has no end of a line.
    """

    def __init__(
        self,
        model: NextTokenModel,
        vocabulary: Vocabulary,
        sampling: Sampling = Sampling(temperature=0.7),
        seed: int = 0,
    ) -> None:
        self.model, self.vocabulary, self.sampling = model, vocabulary, sampling
        self.generator = torch.Generator().manual_seed(check_seed("seed", seed))
        self.end = end_of_turn(vocabulary)
        try:
            sampling.draw(torch.zeros(1, 2), torch.Generator())
        except ValueError as error:
            raise InputError(str(error)) from error
        self._state: Any = None

    def reply(self, text: str) -> Generator[str]:
        """Reads a turn and writes the next one, piece by piece; joined, the pieces are the reply.

        A reply that is closed before its end, as by nobody to read it, is a turn as far as it was written.

        Args:
            text: what is said; line breaks are spaces.

        Raises:
            InputError: nothing is said, or a character is no text (half of a surrogate pair).
        """
        line = " ".join(read_prompt(text).split())
        if not line:
            raise InputError("say something: the turn is empty")
        tokens = [token for token in self.vocabulary.encode(line).tolist() if token != self.end]
        return self._written([*tokens, self.end])

    def _written(self, read: list[int]) -> Generator[str]:
        written: list[int] = []
        shown = ""
        while True:
            logits = self._read(read).clone()  # outside of inference mode, where it may be changed
            if self.vocabulary.unknown_id is not None:  # nobody says <unk>
                logits[:, self.vocabulary.unknown_id] = -torch.inf
            if not written:  # nor nothing
                logits[:, self.end] = -torch.inf
            token = int(self.sampling.draw(logits, self.generator))
            if len(written) == MOST_TOKENS:
                token = self.end
            read = [token]
            if token == self.end:
                break
            written.append(token)
            text = self.vocabulary.decode(written)
            if text.startswith(shown) and len(text) > len(shown):
                try:
                    yield text[len(shown) :]
                except GeneratorExit:  # nobody listens any more: its turn ends here
                    self._read([token, self.end])
                    raise
                shown = text
        self._read(read)  # the end of its own turn is read too

    def _read(self, tokens: list[int]) -> Tensor:
        """Reads tokens on; returns the scores of the next one, ``(1, V)`` on the CPU."""
        with evaluation(self.model):
            inputs = torch.tensor([tokens], device=next(self.model.parameters()).device)
            features, self._state = self.model.features(inputs, self._state)
            return self.model.logits(features[:, -1]).float().cpu()


def end_of_turn(vocabulary: Vocabulary) -> int:
    """The token that ends a line.

    Raises:
        InputError: there is none.
    """
    for token in ("\n", vocabulary.settings.end_of_line):
        if token in vocabulary.index:
            return int(vocabulary.index[token])
    raise InputError(
        "this model has no token for the end of a turn: train one on lines, with data.end_of_line=<eos> for words, as "
        "experiment=chat does"
    )


def conversation_with(run: SavedRun, sampling: Sampling, seed: int) -> Conversation:
    """A conversation with a run's model.

    Raises:
        InputError: the run is no language model, or one of text without turns.
    """
    return Conversation(run.language_model(), run.vocabulary, sampling, seed)


def talk(run: SavedRun, sampling: Sampling, seed: int) -> int:
    """Talks in the terminal until an empty line, the end of the input or Ctrl-C."""
    conversation = conversation_with(run, sampling, seed)
    print("It says what people who talked like this said next, and knows nothing. An empty line ends.")
    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return 0
        except UnicodeDecodeError as error:
            raise InputError(f"what is said is not in {error.encoding}; give it in that encoding") from error
        if not text.strip():
            return 0
        try:
            for piece in conversation.reply(text):
                print(piece, end="", flush=True)
            print()
        except InputError as error:  # a word that the model lacks; the talk goes on
            print(f"({error})")


def page(run: SavedRun, sampling: Sampling, seed: int, port: int) -> ThreadingHTTPServer:
    """A server of a page on this machine alone, where one can talk; its ``server_port`` says where.

    Args:
        run: the run.
        sampling: how the next token is drawn.
        seed: of the random draws.
        port: of the server; 0 takes a free one.

    Raises:
        InputError: the port is taken.
    """
    conversation_with(run, sampling, seed)  # a run that cannot talk is refused at once
    talks: dict[str, Conversation] = {}
    lock = threading.Lock()
    html = resources.files("seqlab.templates").joinpath("chat.html").read_bytes()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/" or not self._is_local():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html)

        def do_POST(self) -> None:
            try:
                size = int(self.headers.get("Content-Length") or 0)
                said = json.loads(self.rfile.read(size)) if 0 < size <= 8 * _MOST_LETTERS else {}
                text, name = str(said["text"]), str(said.get("talk") or secrets.token_hex(8))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                text = name = ""
            # A page of another site may send here too, but cannot name this type without asking first.
            is_ours = (self.headers.get("Content-Type") or "").startswith("application/json")
            if (
                self.path != "/say"
                or not is_ours
                or not self._is_local()
                or not text.strip()
                or len(text) > _MOST_LETTERS
                or not _TALK.fullmatch(name)
            ):
                self.send_error(400)
                return
            with lock:  # one model, one state at a time
                if name not in talks and len(talks) >= _MOST_TALKS:
                    talks.pop(next(iter(talks)))
                conversation = talks.setdefault(name, conversation_with(run, sampling, seed))
                try:
                    reply = conversation.reply(text)
                except InputError as error:  # a word that the model lacks
                    self.send_error(400, explain=str(error))
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("X-Talk", name)
                self.end_headers()
                try:
                    for piece in reply:
                        self.wfile.write(piece.encode())
                        self.wfile.flush()
                except ConnectionError:  # the page was closed while it was written to
                    reply.close()

        def _is_local(self) -> bool:
            """Whether this machine's own name was asked for: another name may be a trick of another site."""
            return (self.headers.get("Host") or "").rpartition(":")[0] in ("127.0.0.1", "localhost")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Page)
    except OSError as error:
        raise InputError(f"port {port} cannot be used ({error.strerror}); give another --port") from error
