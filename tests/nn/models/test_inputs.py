"""Inputs: what a model reads, of tokens or of the data's own vectors."""

from functools import partial

import pytest
import torch

from seqlab.nn import (
    ClassHead,
    Classifier,
    Encoder,
    GRUCell,
    Input,
    LanguageModel,
    PlacedInput,
    Tagger,
    TagHead,
    TokenHead,
    TokenInput,
)


class Features(Input):
    """What the data has as vectors already."""

    def forward(self, x):
        return x


ENCODER = partial(Encoder, GRUCell, hidden_size=4)


@pytest.mark.parametrize("steps", [None, 3])
def test_a_model_reads_the_vectors_of_any_input(steps):
    model = Classifier(
        partial(Features, 5), ENCODER, partial(ClassHead, num_classes=2, pooling="mean"), tbptt_steps=steps
    )
    x, lengths = torch.randn(3, 7, 5), torch.tensor([7, 2, 4])
    logits = model(x, lengths)
    assert logits.shape == (3, 2)
    torch.testing.assert_close(logits[1:2], model(x[1:2, :2]))
    logits.sum().backward()
    tagger = Tagger(partial(Features, 5), ENCODER, partial(TagHead, tags=["O", "X"]))
    assert tagger(x, lengths=lengths).shape == (3, 7, 2)


def test_places_are_added_to_tokens_and_steps_beyond_the_last_share_its_vector():
    places = PlacedInput(9, 4, num_places=3)
    tokens = torch.tensor([[1, 1, 2, 5, 1], [7, 0, 0, 0, 0]])
    expected = places.embedding.weight[tokens] + places.places.weight[torch.tensor([0, 1, 2, 2, 2])]
    assert torch.equal(places(tokens), expected)
    assert places(tokens[:, :0]).shape == (2, 0, 4)
    with pytest.raises(ValueError, match="num_places"):
        PlacedInput(9, 4, num_places=0)


def test_what_reads_whole_rows_is_refused_in_windows():
    places = partial(PlacedInput, 9, 4, num_places=3)
    with pytest.raises(ValueError, match=r"PlacedInput reads whole rows, and a language model reads windows"):
        LanguageModel(places, ENCODER, partial(TokenHead, vocab_size=9))
    with pytest.raises(ValueError, match=r"tbptt_steps: expected None with PlacedInput"):
        Classifier(places, ENCODER, partial(ClassHead, num_classes=2), tbptt_steps=2)
    Classifier(places, ENCODER, partial(ClassHead, num_classes=2))


def test_weights_are_tied_to_an_embedding_alone():
    with pytest.raises(ValueError, match="tie_weights: expected an input with an embedding"):
        LanguageModel(partial(Features, 4), ENCODER, partial(TokenHead, vocab_size=9, tie_weights=True))
    with pytest.raises(ValueError, match=r"tie_weights: expected as many tokens .* got 8 and 9"):
        LanguageModel(partial(TokenInput, 8, 4), ENCODER, partial(TokenHead, vocab_size=9, tie_weights=True))
    with pytest.raises(ValueError, match="vectors: expected an input with an embedding, got Features"):
        Features(4).load_vectors(torch.zeros(9, 4))


def test_each_token_keeps_its_vector_where_a_row_is_nan():
    tokens = TokenInput(9, 3)
    before, vectors = tokens.embedding.weight.detach().clone(), torch.arange(27.0).view(9, 3)
    vectors[4] = torch.nan
    tokens.load_vectors(vectors)
    assert torch.equal(tokens.embedding.weight[4], before[4])
    assert torch.equal(tokens.embedding.weight[5], vectors[5])


@pytest.mark.parametrize("part", ["input", "head"])
@pytest.mark.parametrize(
    "wrong", [TokenInput(9, 4), 7, lambda **sizes: torch.nn.Linear(4, 9)], ids=["made", "7", "other"]
)
def test_what_makes_no_fitting_part_is_refused(part, wrong):
    parts = {"input": partial(TokenInput, 9, 4), "head": partial(TokenHead, vocab_size=9), part: wrong}
    with pytest.raises(TypeError, match=rf"{part}: expected a factory, such as functools.partial\((Input|TokenHead)"):
        LanguageModel(parts["input"], ENCODER, parts["head"])
