"""Stories with questions and their answers, as a LightningDataModule."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqlab.data.answers.batch import AnswerBatch, AnswerSpec, EncodedStories, cut_story
from seqlab.data.answers.sources import AnswerSource
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import Labels, majority_shares, shortened
from seqlab.data.core.options import check_limit
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.summary import SplitSummary, agree, alike_names, counted, equal_rows, percent
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.vocabulary.base import UNKNOWN, TokenizerSettings, Vocabulary
from seqlab.data.vocabulary.choice import reading_of, saved_vocabulary, vocabulary_of
from seqlab.errors import InputError


class AnswerData(ExampleData):
    """Questions about stories in padded batches; each answer is a class.

    The answers come from the training split, and so does the vocabulary, one for stories and questions. The vocabulary
    always has an ``<unk>``, because new stories may hold any word.

    A question of validation or test whose answer training never saw counts as wrong. A log line gives their number.
    It is no error, because published test sets have some; without them the accuracy would be too high.

    Args:
        source: gives the questions (:class:`BabiFiles`, :class:`World`, ...).
        tokens: how stories and questions are split into words, and which words the vocabulary keeps. Answers keep their
            case.
        batching: how questions are put into batches; the length of a question is the number of its story's sentences.
        max_sentences: the most sentences of a story; longer ones are cut to their last sentences. None: no limit.
        vocabulary: a saved vocabulary to use instead: ``tokenizer.json``, or the folder that holds it.
        answers: the answers in the order of their numbers; None: those of the training split, sorted.

    Raises:
        InputError: an option is wrong; on first use: a split, a story, a sentence or a question is empty, there are
            fewer than two answers, or no answer of a split occurs in training; before a training: ``answers`` lacks an
            answer of the training split. The message names the place.

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
        self.max_sentences = check_limit("data.max_sentences", max_sentences)
        self._saved_vocabulary = None if vocabulary is None else Path(vocabulary)
        self._whole_lengths: dict[str, list[int]] = {}  # the sentences of each story before it was cut
        self._num_cut: dict[str, int] = {}  # questions of each split whose story was cut to max_sentences
        self._fixed_answers = None if answers is None else Labels.of_option(answers, "answer", "data.answers")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of stories and questions."""
        if self._saved_vocabulary is not None:
            return saved_vocabulary(self._saved_vocabulary, self.settings)
        rows = self._rows["train"]
        # The sentences that some question's story keeps, once each.
        stories: dict[int, dict[tuple[int, str], None]] = {}
        for row, length in zip(rows, self._whole_lengths["train"], strict=True):
            start = length - len(row.story)
            stories.setdefault(row.group, {}).update(dict.fromkeys(enumerate(row.story, start)))
        texts = [text for story in stories.values() for _, text in story] + [row.question for row in rows]
        return vocabulary_of(texts, self.settings)

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers in the order of their numbers."""
        return self._answers.names

    @cached_property
    def _answers(self) -> Labels:
        return self._fixed_answers or Labels.of_training(
            (row.answer for row in self._rows["train"]), "answer", self.source
        )

    @cached_property
    def _rows(self) -> dict[str, list[StoryQuestion]]:
        return {split: self._read(split) for split in SPLITS}

    def _read(self, split: str) -> list[StoryQuestion]:
        rows = list(self.source.read(split))
        if not rows:
            raise InputError(f"the {split} split of {self.source} has no question")
        self._whole_lengths[split] = [len(row.story) for row in rows]
        if (most := self.max_sentences) is None:
            return rows
        self._num_cut[split] = sum(len(row.story) > most for row in rows)
        return [cut_story(row, most) for row in rows]

    @cached_property
    def spec(self) -> AnswerSpec:
        """What a model and a task need to know."""
        return AnswerSpec(
            vocab_size=len(self.vocabulary),
            answers=self.answers,
            max_sentences=self.max_sentences,
            num_examples={split: len(stories.lengths) for split, stories in self._stories.items()},
            majority=majority_shares(self._targets),
        )

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source, self._saved_vocabulary)

    def summaries(self) -> list[SplitSummary]:
        """How many questions and stories each split holds, how often each answer occurs, and notes."""
        read = reading_of(self.settings)
        shared = equal_rows(
            {
                split: ((tuple(map(read, row.story)), read(row.question), row.answer) for row in rows)
                for split, rows in self._rows.items()
            },
            "questions",
        )
        classes = set(self.answers)
        summaries = []
        for split, rows in self._rows.items():
            answers = Counter(row.answer for row in rows)
            notes = [shared[split]] if split in shared else []
            if unseen := sum(count for answer, count in answers.items() if answer not in classes):
                notes.append(
                    f"{counted(unseen, 'questions')} {agree(unseen, 'has', 'have')} an answer that training never saw"
                )
            if share := self._stories[split].unknown:
                notes.append(f"{percent(share)} of the words of its sentences read as {UNKNOWN}")
            if split == "train":
                notes += self._answers.without_rows(answers)
            if split == "train" and (alike := alike_names(self.answers)):
                notes.append(f"answers that differ little: {shortened(alike)}")
            if self.max_sentences is not None and (cut := self._num_cut[split]):
                verb = agree(cut, "is cut to its", "are cut to their")
                notes.append(f"{counted(cut, 'stories')} {verb} last {counted(self.max_sentences, 'sentences')}")
            counts = {"questions": len(rows), "stories": len({row.group for row in rows})}
            order = [*self.answers, *sorted(answers.keys() - classes)]
            ordered = {answer: answers[answer] for answer in order if answer in answers}
            left_out = left_out_of(self.source, split)
            summaries.append(SplitSummary(split, counts, left_out, ordered, "answers", tuple(notes)))
        return summaries

    def fingerprint(self) -> str:
        """A digest of all questions with their stories and answers, in the data's order."""
        digest = Digest()
        for split, rows in self._rows.items():
            digest.add(split, [[*row.story, row.question] for row in rows], self._targets[split])
        return digest.hexdigest()

    def check_training(self) -> None:
        rows = self._rows["train"]
        self._answers.check_training([row.answer for row in rows], lambda at: rows[at].place, "leave the question out")

    def rows(self, split: str) -> Sequence[StoryQuestion]:
        """The questions of a split, their stories cut to ``max_sentences``, in the order of their numbers."""
        return self._rows[split]

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of sentences of each story, ``(N,)``."""
        return self._stories[split].lengths

    def collate(self, split: str, numbers: list[int]) -> AnswerBatch:
        """The batch of the questions with these numbers."""
        return self._stories[split].batch(numbers, self._targets[split][numbers])

    @cached_property
    def _targets(self) -> dict[str, NDArray[np.int64]]:
        return {split: self._numbers(split, rows) for split, rows in self._rows.items()}

    def _numbers(self, split: str, rows: Sequence[StoryQuestion]) -> NDArray[np.int64]:
        return self._answers.numbers([row.answer for row in rows], split, "questions", lambda at: rows[at].place)

    @cached_property
    def _stories(self) -> dict[str, EncodedStories]:
        return {
            split: EncodedStories(rows, self.vocabulary, f"the {split} split of {self.source}")
            for split, rows in self._rows.items()
        }
