"""Sequences of DNA with a class each, as a LightningDataModule and its spec."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from seqlab.data.classification.batch import ClassificationSpec
from seqlab.data.classification.module import ClassificationData
from seqlab.data.classification.sources import LabelledSource
from seqlab.data.core.examples import Batching
from seqlab.data.core.summary import SplitSummary, equal_rows
from seqlab.data.formats.bases import BaseReading, count_letters, reverse_complement, strand_key
from seqlab.data.formats.fasta import FastaRecord, read_fasta
from seqlab.data.formats.tables import LabelledText
from seqlab.data.vocabulary.base import TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.errors import InputError


@dataclass(frozen=True)
class DnaSpec(ClassificationSpec):
    """What a classifier needs to know of sequences of DNA, and what it takes to read further ones.

    Attributes:
        complement: for each token, the token of the complement.
        reading: which letters are read and as what, by the fields of ``BaseReading``.
        encoding: of the files.
        unseen: the letters of the vocabulary that training lacks.
        bayes_accuracy: for each split, the share of sequences that the Bayes decision gets right, where the sequences
            are drawn from a grammar; None: not known.
    """

    kind: ClassVar[str] = "dna"
    reads_files: ClassVar[bool] = True
    complement: tuple[int, ...] = ()
    reading: dict[str, Any] | None = None
    unseen: str = ""
    bayes_accuracy: dict[str, float] | None = None
    encoding: str = "utf-8"

    def read_by(self) -> dict[str, Any]:
        return {**super().read_by(), **(self.reading or {})}

    def output_names(self) -> dict[str, Any]:
        return {**super().output_names(), **({"bases": dict(self.reading)} if self.reading else {})}

    def read_inputs(self, file: Path) -> list[FastaRecord]:
        reading = BaseReading(**(self.reading or {}))
        records = []
        for record in read_fasta(file, reading, self.encoding):
            if not record.sequence:
                raise InputError(f"{record.place}: {record.name} has no base; leave the record out")
            records.append(record._replace(sequence=reading.read(record.sequence, record.place)))
        return records


class DnaData(ClassificationData):
    """Sequences of DNA with a class each, in padded batches; a token is a base.

    The vocabulary is that of the bases, whatever occurs in training. Labels and batches are those of
    :class:`ClassificationData`.

    Args:
        source: gives the sequences and their classes (:class:`FastaFiles`, :class:`SpliceGrammar`, ...). One that knows
            the Bayes decision has ``decide(sequences)``, which gives labels.
        reading: what becomes of letters other than A, C, G and T.
        batching: how sequences are put into batches.
        max_length: the most bases of a sequence; longer ones are cut to their first bases. None: no limit.
        vocabulary: a saved vocabulary to use instead, of the same letters.
        labels: the classes in the order of their numbers; None: those of the training split, sorted.

    Raises:
        InputError: an option is wrong; on first use: a letter is refused, a sequence is empty, or what
            :class:`ClassificationData` refuses.

    Example:
        >>> from seqlab.data import SpliceGrammar
        >>> data = DnaData(SpliceGrammar(sizes=(20, 5, 5)), batching=Batching(batch_size=4))
        >>> data.spec.labels, data.vocabulary.tokens
        (('EI', 'IE', 'N'), ('A', 'C', 'G', 'N', 'T'))
        >>> next(iter(data.test_dataloader())).inputs.shape
        torch.Size([4, 60])
    """

    def __init__(
        self,
        source: LabelledSource,
        reading: BaseReading = BaseReading(),
        batching: Batching = Batching(),
        max_length: int | None = None,
        vocabulary: str | Path | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(source, TokenizerSettings("character"), batching, max_length, vocabulary, labels)
        self.reading = reading
        self._letters: dict[str, Counter[str]] = {}  # of each split, as they stand in the data

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the bases, in the order of the alphabet."""
        tokens = tuple(sorted(self.reading.letters))
        if self._saved_vocabulary is None:
            return CharacterVocabulary(tokens)
        saved = super().vocabulary
        if saved.tokens != tokens:
            raise InputError(
                f"data.vocabulary={self._saved_vocabulary} has the letters {''.join(saved.tokens)}, but data.ambiguous="
                f"{self.reading.ambiguous} data.soft_masked={self.reading.soft_masked} makes {''.join(tokens)}: give "
                "these options as they were"
            )
        return saved

    @cached_property
    def _rows(self) -> dict[str, Sequence[LabelledText]]:
        read: dict[str, Sequence[LabelledText]] = {}
        for split, rows in super()._rows.items():
            self._letters[split] = count_letters([row.text for row in rows])
            read[split] = [self._read(row) for row in rows]
        return read

    def _read(self, row: LabelledText) -> LabelledText:
        if not row.text:
            raise InputError(f"{row.place}: the sequence is empty; give it bases, or leave it out")
        return row._replace(text=self.reading.read(row.text, row.place))

    @cached_property
    def spec(self) -> DnaSpec:
        """What a model and a task need to know."""
        plain = super().spec
        tokens = self.vocabulary.tokens
        return DnaSpec(
            **{each.name: getattr(plain, each.name) for each in fields(plain)},
            complement=tuple(tokens.index(reverse_complement(token)) for token in tokens),
            reading=self.reading.as_values(),
            unseen=self._unseen,
            bayes_accuracy=self._bayes_accuracy(),
            encoding=getattr(self.source, "encoding", "utf-8"),
        )

    @property
    def _unseen(self) -> str:
        letters = set().union(*(row.text for row in self._rows["train"]))
        return "".join(sorted(set(self.reading.letters) - letters))

    def _bayes_accuracy(self) -> dict[str, float] | None:
        """The accuracy of the Bayes decision over validation and test, where the source knows it."""
        decide = getattr(self.source, "decide", None)
        if decide is None:
            return None
        accuracies = {}
        for split in ("validation", "test"):
            rows = self._rows[split]
            decided = decide([row.text for row in rows])
            right = sum(label == row.label for label, row in zip(decided, rows, strict=True))
            accuracies[split] = right / len(rows)
        return accuracies

    def _shared_rows(self) -> dict[str, str]:
        """The same, where a sequence and its reverse complement are one."""
        keys = {split: [strand_key(self._as_read(row.text)) for row in rows] for split, rows in self._rows.items()}
        return {split: f"{note}, reverse complements counted" for split, note in equal_rows(keys).items()}

    def summaries(self) -> list[SplitSummary]:
        """The same as of any labelled texts, and what became of letters other than A, C, G and T."""
        return [
            replace(summary, notes=(*self.reading.told(self._letters[summary.split]), *summary.notes))
            for summary in super().summaries()
        ]
