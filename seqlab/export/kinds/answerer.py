"""Answerers: ``forward`` reads stories with their questions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.export.kinds.kind import Kind
from seqlab.export.kinds.ports import (
    INT,
    Call,
    answer_with_forward,
    real_dtype,
    separate,
)
from seqlab.export.layers import scanned
from seqlab.export.programs import Arguments, Export, Port, Program, Sizes
from seqlab.nn import Answerer


def plan(model: Answerer, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of an answerer."""
    copied = scanned(model)
    num_words, num_answers, real = int(sizes["vocab_size"]), int(sizes["num_answers"]), real_dtype(model)

    class Forward(Call):
        def forward(
            self,
            story: Tensor,
            sentence_lengths: Tensor,
            story_lengths: Tensor,
            question: Tensor,
            question_lengths: Tensor,
        ) -> tuple[Tensor, ...]:
            return separate(self.model(story, sentence_lengths, story_lengths, question, question_lengths))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        rows, sentences, words, asked = (lengths[name] for name in ("batch", "sentences", "words", "question"))

        def upto(most: int, *shape: int) -> Tensor:
            return torch.randint(1, most + 1, shape, generator=generator)

        story = torch.randint(num_words, (rows, sentences, words), generator=generator)
        question = torch.randint(num_words, (rows, asked), generator=generator)
        return story, upto(words, rows, sentences), upto(sentences, rows), question, upto(asked, rows)

    forward = Program(
        "forward",
        "reads stories and questions: the logits of the answers",
        Forward(model),
        Forward(copied),
        (
            Port("story", INT, ("batch", "sentences", "words"), "word numbers by sentence, padding on the right"),
            Port("sentence_lengths", INT, ("batch", "sentences"), "how many words each sentence has"),
            Port("story_lengths", INT, ("batch",), "how many sentences each story has"),
            Port("question", INT, ("batch", "question"), "word numbers, padding on the right"),
            Port("question_lengths", INT, ("batch",), "how many words each question has"),
        ),
        (Port("logits", real, ("batch", num_answers), "scores of the answers; softmax makes them P"),),
        sample,
        cases=[
            {"batch": rows, "sentences": sentences, "words": words, "question": asked}
            for rows, sentences, words, asked in ((1, 1, 1, 1), (3, 1, 5, 2), (1, 6, 1, 4), (2, 4, 7, 5))
        ],
    )
    return Export("answer", [forward], {"step": "a story is read whole, in the light of the question"})


KIND = Kind(Answerer, plan, answer_with_forward)
