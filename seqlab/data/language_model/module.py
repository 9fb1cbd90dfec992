"""Language modelling over any source of text, as a LightningDataModule."""

import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cache import build_once, cache_folder
from seqlab.data.core.inputs import files_of
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.stream_data import StreamData, Windows
from seqlab.data.core.summary import SplitSummary, percent
from seqlab.data.language_model.batch import LanguageModelSpec
from seqlab.data.language_model.corpus import Corpus, corpus_key, write_corpus
from seqlab.data.language_model.sources import Source
from seqlab.data.vocabulary.base import TOKENIZER_FILE, UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary
from seqlab.errors import InputError


class LanguageModelData(StreamData):
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
        super().__init__(windows)
        self.source = source
        self.settings = tokens
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)
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

        def build(into: Path) -> None:
            write_corpus(self.source, self.settings, vocabulary, into)
            if corpus_key(self.source, self.settings, file) != key:  # or other text would have this text's key
                raise InputError(f"{self.source}: written while it was read; start again once it is complete")

        return Corpus(build_once(self._cache_folder, key, build))

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

    def steps(self, split: str) -> NDArray[Any]:
        """The token ids of a split."""
        return self.corpus.tokens[split]

    def documents(self, split: str) -> NDArray[Any]:
        """The positions at which its documents begin."""
        return self.corpus.documents[split]

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
