"""Stories with questions and their answers, as a LightningDataModule."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seqlab.data.answers.batch import AnswerBatch, AnswerSpec, EncodedStories, cut_story
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import Labels
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.summary import SplitSummary, agree, alike_names, counted, equal_rows, percent
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import saved_vocabulary, vocabulary_of
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


class AnswerSource(Protocol):
    """Three splits of questions with their stories."""

    def __str__(self) -> str:
        """What the source is, for messages."""

    def read(self, split: str) -> Sequence[StoryQuestion]:
        """The questions of "train", "validation" or "test"."""


class AnswerData(ExampleData):
    """Questions to stories in padded batches, each answer one class.

    The vocabulary, of stories and questions alike, and the answers come from the training split. The vocabulary has an
    ``<unk>`` whatever the stories, for new ones may hold any word.

    An answer of validation or test that training never saw can't be given: the question counts as answered wrongly and
    a log line says how many there are. It is no error, for published test sets have some, and leaving them out would
    flatter the accuracy.

    Args:
        source: gives the questions (``BabiFiles``, ``World``, ...).
        tokens: how stories and questions are split into words, and which of these are kept; answers keep their case.
        batching: how questions are put into batches; a pool is of stories with about as many sentences.
        max_sentences: longer stories are cut to their last sentences, counted; None: none is.
        vocabulary: a saved vocabulary to use instead (``tokenizer.json``, or the folder that holds it).
        answers: the answers in the order of their numbers; None: those of the training split, sorted.

    Raises:
        InputError: an option is wrong; on first use: a split is empty, a story, a sentence or a question is, training
            has one answer alone, or no answer of a split occurs in training.

    Example:
        >>> from seqlab.data.answers.world import World
        >>> data = AnswerData(World(stories=(20, 2, 2)), batching=Batching(batch_size=3))
        >>> data.spec.answers[:4], data.spec.num_examples
        (('Hugo', 'Lena', 'Nora', 'Omar'), {'train': 80, 'validation': 8, 'test': 8})
        >>> batch = next(iter(data.test_dataloader()))
        >>> data.vocabulary.decode(batch.question[0, : batch.question_lengths[0]])
        'who has the violin?'
    """

    def __init__(
        self,
        source: AnswerSource,
        tokens: TokenizerSettings = TokenizerSettings("word", lowercase=True, punctuation=True),
        batching: Batching = Batching(),
        max_sentences: int | None = None,
        vocabulary: str | Path | None = None,
        answers: Sequence[str] | None = None,
    ) -> None:
        super().__init__(batching)
        if tokens.unit != "word":
            raise InputError(f"data.unit={tokens.unit}: stories are read word by word: give data.unit=word")
        self.source = source
        self.settings = tokens
        self.max_sentences = None
        if max_sentences is not None:
            self.max_sentences = check_whole_number("data.max_sentences", max_sentences, 1)
        self._vocabulary_file = vocabulary
        self._fixed_answers = None if answers is None else Labels.of_option(answers, "answer", "data.answers")
        self._rows: dict[str, list[StoryQuestion]] = {}
        self._num_cut: dict[str, int] = {}  # stories of each split

    def rows(self, split: str) -> list[StoryQuestion]:
        """The questions of a split, their stories cut to ``max_sentences``."""
        if split not in self._rows:
            rows = list(self.source.read(split))
            if not rows:
                raise InputError(f"the {split} split of {self.source} has no question")
            if (most := self.max_sentences) is not None:
                self._num_cut[split] = sum(len(row.story) > most for row in rows)
                rows = [cut_story(row, most) for row in rows]
            self._rows[split] = rows
        return self._rows[split]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Maps ids to text and back."""
        if self._vocabulary_file is not None:
            return saved_vocabulary(self._vocabulary_file, self.settings)
        rows = self.rows("train")
        stories = {row.group: row.story for row in rows}  # a later question's story holds an earlier one's
        texts = [text for story in stories.values() for text in story] + [row.question for row in rows]
        return vocabulary_of(texts, self.settings)

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers in the order of their numbers."""
        return self._answers.names

    @cached_property
    def _answers(self) -> Labels:
        return self._fixed_answers or Labels.of_training(
            (row.answer for row in self.rows("train")), "answer", self.source
        )

    @cached_property
    def spec(self) -> AnswerSpec:
        """What a model and a task need to know."""
        commonest = Counter(self._targets["train"].tolist()).most_common(1)[0][0]
        return AnswerSpec(
            vocab_size=len(self.vocabulary),
            answers=self.answers,
            max_sentences=self.max_sentences,
            num_examples={split: len(self._encoded[split].lengths) for split in SPLITS},
            majority={split: float((targets == commonest).mean()) for split, targets in self._targets.items()},
        )

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The sentences of each story."""
        return self._encoded[split].lengths

    def collate(self, split: str, numbers: list[int]) -> AnswerBatch:
        """The batch of the questions with these numbers."""
        return self._encoded[split].batch(numbers, self._targets[split][numbers])

    def input_files(self) -> list[str] | None:
        """The files that are read; None where a source of the user's own does not say."""
        return files_of(self.source, self._vocabulary_file)

    def summaries(self) -> list[SplitSummary]:
        """How many stories, questions and tokens each split holds, its answers, and what stands in two splits."""
        left_out: Callable[[str], Mapping[str, int]] = getattr(self.source, "left_out", lambda split: {})
        shared = equal_rows(
            {split: ((row.story, row.question, row.answer) for row in self.rows(split)) for split in SPLITS},
            "questions",
        )
        classes = set(self.answers)
        summaries = []
        for split in SPLITS:
            rows = self.rows(split)
            answers = Counter(row.answer for row in rows)
            notes = [shared[split]] if split in shared else []
            if unseen := sum(count for answer, count in answers.items() if answer not in classes):
                notes.append(
                    f"{counted(unseen, 'questions')} {agree(unseen, 'has', 'have')} an answer that training never saw"
                )
            if share := self._encoded[split].unknown:
                notes.append(f"{percent(share)} of the words of its sentences read as {UNKNOWN}")
            if split == "train" and (alike := alike_names(self.answers)):
                notes.append(f"answers that differ little: {', '.join(alike[:10])}")
            if self.max_sentences is not None and (cut := self._num_cut[split]):
                verb = agree(cut, "is cut to its", "are cut to their")
                notes.append(f"{counted(cut, 'stories')} {verb} last {counted(self.max_sentences, 'sentences')}")
            counts = {"questions": len(rows), "stories": len({row.group for row in rows})}
            order = [*self.answers, *sorted(answers.keys() - classes)]
            ordered = {answer: answers[answer] for answer in order if answer in answers}
            summaries.append(SplitSummary(split, counts, left_out(split), ordered, "answers", tuple(notes)))
        return summaries

    def fingerprint(self) -> str:
        """A digest of all questions with their stories and answers, and of their order."""
        digest = Digest()
        for split in SPLITS:
            rows = self.rows(split)
            digest.add(split, [[*row.story, row.question] for row in rows], self._targets[split])
        return digest.hexdigest()

    @cached_property
    def _targets(self) -> dict[str, NDArray[np.int64]]:
        return {split: self._numbers_of(split) for split in SPLITS}

    def _numbers_of(self, split: str) -> NDArray[np.int64]:
        rows = self.rows(split)
        return self._answers.numbers([row.answer for row in rows], split, "questions", lambda at: rows[at].place)

    @cached_property
    def _encoded(self) -> dict[str, EncodedStories]:
        found = {}
        for split in SPLITS:
            encoded = EncodedStories(self.rows(split), self.vocabulary, f"the {split} split of {self.source}")
            found[split] = encoded
        return found
