"""Stories with questions of a Hugging Face data set."""

from collections.abc import Iterator, Sequence
from typing import Any

from seqlab.data.answers.batch import split_sentences
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import LABELLED_SPLIT
from seqlab.data.core.labels import short_repr, strip_label
from seqlab.data.core.reading import Reading, RowSource
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.hub_rows import HubRows, HubSource, select_columns
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.errors import InputError


class AnswerHub(HubSource, RowSource[StoryQuestion]):
    """Stories with questions of a Hugging Face data set, in three columns.

    A story is a text, which is split into sentences, or a list of sentences. A split that the data set lacks is cut
    from the end of its training split, by row, so that neighbours, often of one story, stay together.

    Args:
        data_set: the data set, or its name.
        story: the column of stories.
        question: the column of questions.
        answer: the column of answers.
        split: the shares of train, validation and test, for the splits that are cut.

    Raises:
        InputError: an option is wrong; on first use: the data set or a split is missing or cannot be read, there is no
            such column, or a row lacks its story, question or answer.
    """

    def __init__(
        self,
        data_set: HubDataset | str = HubDataset(),
        story: str = "story",
        question: str = "question",
        answer: str = "answer",
        split: Sequence[float] = LABELLED_SPLIT,
    ) -> None:
        self._columns = {"story": story, "question": question, "answer": answer}
        files = "as data.train=FILE data.test=FILE in place of data.hub"
        self._hub = HubRows(data_set, self._choose, files=files, split=split)

    def _read_splits(self) -> dict[str, Reading[StoryQuestion]]:
        return {split: Reading(list(self._rows(split))) for split in SPLITS}

    def _rows(self, split: str) -> Iterator[StoryQuestion]:
        columns = self._columns
        for number, (story, question, answer) in enumerate(self._hub.read(split, *columns.values())):
            place = self._hub.place(split, number)
            for option, value in (("question", question), ("answer", answer)):
                if not isinstance(value, str) or is_blank(value):
                    raise InputError(f"{place}: expected text in {columns[option]!r}, got {short_repr(value)}")
            sentences = split_sentences(story) if isinstance(story, str) else story
            if not isinstance(sentences, (list, tuple)) or not all(isinstance(text, str) for text in sentences):
                expected = f"a text or a list of sentences in {columns['story']!r}"
                raise InputError(f"{place}: expected {expected}, got {str(story)[:60]!r}")
            yield StoryQuestion(tuple(sentences), question.strip(), strip_label(answer), (), number, place)

    def _choose(self, rows: Any) -> Any:
        return select_columns(rows, {f"data.{option}": column for option, column in self._columns.items()}, self)
