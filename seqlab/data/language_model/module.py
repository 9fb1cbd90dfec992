"""Language modelling over any source of text, as a LightningDataModule."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lightning import LightningDataModule

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cache import build_once, cache_folder
from seqlab.data.core.inputs import files_of
from seqlab.data.core.loading import batches_trained, device_of
from seqlab.data.core.options import check_limit, check_whole_number
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.stream import Stream, StreamLoader, device_rows, longest_run
from seqlab.data.core.summary import SplitSummary, percent
from seqlab.data.language_model.batch import LanguageModelSpec
from seqlab.data.language_model.corpus import Corpus, corpus_key, write_corpus
from seqlab.data.language_model.sources import Source
from seqlab.data.vocabulary.base import TOKENIZER_FILE, UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


@dataclass(frozen=True)
class Windows:
    """How a text is cut into rows and windows for truncated BPTT.

    Args:
        batch_size: the rows of training, over all devices.
        eval_batch_size: the rows of validation and test; None: ``batch_size``. A split with fewer targets has fewer.
        tbptt_steps: the steps of a window, over which gradients flow back; at most those of the longest row.
        eval_steps: the steps of a window in validation and test; None: ``tbptt_steps``.
        restart_documents: whether rows restart where a document begins.

    Raises:
        InputError: a number is not a whole number of at least 1.
    """

    batch_size: int = 32
    eval_batch_size: int | None = None
    tbptt_steps: int = 64
    eval_steps: int | None = None
    restart_documents: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "tbptt_steps"):
            check_whole_number(f"data.{name}", getattr(self, name), 1)
        for name in ("eval_batch_size", "eval_steps"):
            check_limit(f"data.{name}", getattr(self, name))


class LanguageModelData(LightningDataModule):
    """Three texts as contiguous streams of tokens for truncated BPTT.

    The vocabulary comes from the training split. The tokens are made on first use, under a lock, so that any process
    may ask first. With a trainer attached, each device gets its share of the rows.

    Args:
        source: gives the text (:class:`TextFiles`, :class:`Hub`, ...).
        tokens: how text is split into tokens, and which tokens the vocabulary keeps.
        windows: how text is cut into rows and windows.
        vocabulary: a saved vocabulary to use instead: ``tokenizer.json``, or the folder that holds it.
        cache_dir: the token cache; None: ``$SEQLAB_CACHE``, ``$XDG_CACHE_HOME/seqlab`` or ``~/.cache/seqlab``.

    Raises:
        InputError: an option is wrong; on first use: the text is.

    Example:
        >>> from seqlab.data import Hello
        >>> data = LanguageModelData(Hello(), windows=Windows(batch_size=1, tbptt_steps=4))
        >>> data.spec.vocab_size, data.vocabulary.tokens
        (4, ('e', 'h', 'l', 'o'))
        >>> batch = next(iter(data.train_dataloader()))
        >>> data.vocabulary.decode(batch.inputs[0]), data.vocabulary.decode(batch.targets[0])
        ('hell', 'ello')
    """

    def __init__(
        self,
        source: Source,
        tokens: TokenizerSettings = TokenizerSettings(),
        windows: Windows = Windows(),
        vocabulary: str | Path | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.source = source
        self.settings = tokens
        self.batch_size, self.tbptt_steps = windows.batch_size, windows.tbptt_steps
        self.eval_batch_size = windows.batch_size if windows.eval_batch_size is None else windows.eval_batch_size
        self.eval_steps = windows.tbptt_steps if windows.eval_steps is None else windows.eval_steps
        self.restart_documents = windows.restart_documents
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)
        self._clamped: set[str] = set()  # splits whose shorter windows a log line has reported
        self._cache_folder = cache_folder(cache_dir)

    @cached_property
    def corpus(self) -> Corpus:
        """The tokens, made if they are not in the cache."""
        file = self._saved_vocabulary
        vocabulary = None if file is None else saved_vocabulary(file, self.settings)
        if not self.source.cached:
            with tempfile.TemporaryDirectory() as folder:
                write_corpus(self.source, self.settings, vocabulary, Path(folder))
                return Corpus(Path(folder), mapped=False)
        file = file / TOKENIZER_FILE if file is not None and file.is_dir() else file
        key = corpus_key(self.source, self.settings, file)
        return Corpus(
            build_once(self._cache_folder, key, lambda into: write_corpus(self.source, self.settings, vocabulary, into))
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the text."""
        return self.corpus.vocabulary

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The vocabulary as "tokens"."""
        return {"tokens": self.vocabulary}

    @property
    def spec(self) -> LanguageModelSpec:
        """What a model and a task need to know."""
        corpus = self.corpus
        num_tokens = {split: len(corpus.tokens[split]) for split in SPLITS}
        return LanguageModelSpec(
            vocab_size=len(corpus.vocabulary),
            unit=corpus.vocabulary.unit,
            characters_per_token={split: corpus.num_characters[split] / num_tokens[split] for split in SPLITS},
            num_tokens=num_tokens,
        )

    def summaries(self) -> list[SplitSummary]:
        """How many tokens, documents and characters each split holds, and what share of the tokens is ``<unk>``."""
        corpus = self.corpus
        source_notes: Callable[[str], tuple[str, ...]] = getattr(self.source, "notes", lambda split: ())
        summaries = []
        for split in SPLITS:
            counts = {
                "tokens": len(corpus.tokens[split]),
                "documents": len(corpus.documents[split]),
                "characters": corpus.num_characters[split],
            }
            notes = []
            if unknown := corpus.num_unknown[split]:
                share = percent(unknown / counts["tokens"])
                notes.append(f"{share} of its {corpus.vocabulary.unit}s read as {UNKNOWN}")
            notes += source_notes(split)
            summaries.append(SplitSummary(split, counts, left_out_of(self.source, split), notes=tuple(notes)))
        return summaries

    def fingerprint(self) -> str:
        """A digest of all tokens as they are read, in their order."""
        return self.corpus.digest

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source, self._saved_vocabulary)

    def prepare_data(self) -> None:
        """Writes the tokens to the cache."""
        self.corpus  # noqa: B018

    def setup(self, stage: str | None = None) -> None:
        """Maps the tokens into memory."""
        self.corpus  # noqa: B018

    def _stream(self, split: str, batch_size: int, steps: int, option: str) -> Stream:
        rows = device_rows(batch_size, *device_of(self.trainer))
        boundaries = self.corpus.documents[split] if self.restart_documents else None
        tokens = self.corpus.tokens[split]
        longest = longest_run(len(tokens) - 1, batch_size, boundaries)
        if steps > longest:
            if split not in self._clamped:
                self._clamped.add(split)
                log.warning(
                    "%s: data.%s %d instead of %d, the longest row's targets: more would be padding",
                    *(split, option, longest, steps),
                )
            steps = longest
        return Stream(tokens, batch_size, steps, boundaries, rows)

    def train_dataloader(self) -> StreamLoader:
        """The training windows.

        Raises:
            InputError: the split has fewer targets than ``batch_size``, which also has to divide over the devices.
        """
        num_targets = len(self.corpus.tokens["train"]) - 1
        if num_targets < self.batch_size:
            raise InputError(
                f"the train split of {self.source} has {num_targets} targets, fewer than "
                f"data.batch_size={self.batch_size} rows: give more text or data.batch_size={num_targets} or less"
            )
        stream = self._stream("train", self.batch_size, self.tbptt_steps, "tbptt_steps")
        return StreamLoader(stream, batches_trained(self.trainer, len(stream)))

    def val_dataloader(self) -> StreamLoader:
        """The validation windows."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> StreamLoader:
        """The test windows."""
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> StreamLoader:
        world_size = device_of(self.trainer)[1]
        fill = (len(self.corpus.tokens[split]) - 1) // world_size * world_size
        if fill == 0:
            raise InputError(f"the {split} split of {self.source} is too short to be shared by {world_size} devices")
        if fill < self.eval_batch_size:
            log.warning("%s: batch size %d instead of %d, all the split can fill", split, fill, self.eval_batch_size)
        return StreamLoader(self._stream(split, min(fill, self.eval_batch_size), self.eval_steps, "eval_steps"))
