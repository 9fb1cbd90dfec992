"""Tags and entities are scored as the field scores them, over the whole split, whatever the batches."""

import random

import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from seqlab.tasks.tag_metrics import EntityMetrics, TagMetrics

TAGS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def scored(predicted: list[str], true: list[str]) -> tuple[int, int, int]:
    """Correct, predicted and true entities of sentences with spaces between their tags."""
    metrics = EntityMetrics(TAGS)
    metrics.update(*([[TAGS.index(tag) for tag in row.split()] for row in rows] for rows in (predicted, true)))
    return tuple(metrics.counts.sum(0).tolist())


@pytest.mark.parametrize(
    ("true", "predicted", "counts"),
    [
        ("O B-PER I-PER O", "O B-PER I-PER O", (1, 1, 1)),
        ("O I-PER I-PER O", "O B-PER I-PER O", (1, 1, 1)),  # an I-X without B-X begins an entity
        ("B-PER I-PER", "I-PER I-PER", (1, 1, 1)),
        ("B-LOC I-PER", "B-LOC B-PER", (2, 2, 2)),  # another type begins an entity, also with I-
        ("B-PER B-PER", "B-PER B-PER", (2, 2, 2)),  # adjacent entities of one type
        ("B-PER B-PER", "B-PER I-PER", (0, 1, 2)),
        ("B-PER I-PER", "B-PER B-PER", (0, 2, 1)),
        ("B-PER I-PER B-LOC I-LOC", "B-PER I-PER I-LOC I-LOC", (2, 2, 2)),
        ("B-PER I-PER O", "O O O", (0, 0, 1)),  # an empty prediction
        ("O O O", "O O O", (0, 0, 0)),
        ("O O O", "O B-LOC O", (0, 1, 0)),
        ("B-PER I-PER I-PER", "B-PER I-PER O", (0, 1, 1)),  # a wrong end
        ("B-PER I-PER I-PER", "O B-PER I-PER", (0, 1, 1)),  # a wrong beginning
        ("B-PER I-PER", "B-LOC I-LOC", (0, 1, 1)),  # a wrong type
        ("B-PER O B-LOC", "B-PER O B-PER", (1, 2, 2)),
        ("B-PER I-LOC I-LOC", "B-PER B-LOC I-LOC", (2, 2, 2)),
        ("B-PER I-PER I-PER I-PER", "B-PER I-PER B-PER I-PER", (0, 2, 1)),
    ],
)
def test_entities_are_counted_as_conlleval_does_worked_out_by_hand(true, predicted, counts):
    assert scored([predicted], [true]) == counts


def test_an_entity_ends_with_its_sentence():
    assert scored(["O B-PER", "I-PER O"], ["O B-PER", "I-PER O"]) == (2, 2, 2)
    assert scored(["O B-PER", "I-PER O"], ["O B-PER", "O O"]) == (1, 2, 1)


def test_precision_recall_and_f1_are_over_the_counts_of_all_batches_and_of_each_type():
    metrics = EntityMetrics(TAGS)
    number = {tag: place for place, tag in enumerate(TAGS)}
    for true, predicted in (
        ("B-PER O B-LOC", "B-PER O O"),
        ("B-PER B-PER B-PER", "B-PER O O"),
        ("O O", "B-PER O"),
    ):
        rows = ([[number[tag] for tag in text.split()]] for text in (predicted, true))
        metrics.update(*rows)
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found["entity_precision"] == pytest.approx(2 / 3) and found["entity_recall"] == pytest.approx(2 / 5)
    assert found["entity_f1"] == pytest.approx(2 * 2 / (3 + 5))
    assert found["entity_f1_PER"] == pytest.approx(2 * 2 / (3 + 4)) and found["entity_f1_LOC"] == 0.0


def test_nothing_predicted_and_nothing_true_score_zero_without_dividing_by_it():
    metrics = EntityMetrics(TAGS)
    metrics.update([[4, 4]], [[4, 4]])
    found = metrics.compute()
    assert found.keys() == {"entity_precision", "entity_recall", "entity_f1"}
    assert {float(value) for value in found.values()} == {0.0}


def test_a_greedy_taggers_any_tags_agree_with_the_definition():
    """Entities as the sets of their first and last words and types, which is the definition."""

    def spans(tags):
        found, start = set(), None
        for place, tag in enumerate([*tags, "O"]):
            before = tags[place - 1] if place else "O"
            if start is not None and (tag[0] in "OB" or tag[2:] != before[2:]):
                found.add((start, place - 1, before[2:]))
                start = None
            if tag != "O" and start is None:
                start = place
        return found

    draw = random.Random(0)
    for _ in range(300):
        true = [draw.choice([*TAGS, "O"]) for _ in range(draw.randint(1, 12))]
        predicted = [tag if draw.random() < 0.6 else draw.choice(TAGS) for tag in true]
        counts = len(spans(true) & spans(predicted)), len(spans(predicted)), len(spans(true))
        assert scored([" ".join(predicted)], [" ".join(true)]) == counts


def test_tag_metrics_are_those_of_torchmetrics_over_the_whole_split():
    draw = torch.Generator().manual_seed(0)
    true, predicted = (torch.randint(0, 4, (60,), generator=draw) for _ in range(2))
    true[true == 3] = 0  # a tag that is predicted and never true
    unseen = torch.rand(60, generator=draw) < 0.3
    metrics = TagMetrics(("A", "B", "C", "D", "E"))
    for part in (slice(0, 7), slice(7, 8), slice(8, 60)):
        nll = torch.tensor(0.25 * (part.stop - part.start))
        metrics.update(nll, predicted[part], true[part], unseen[part])
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found["loss"] == pytest.approx(0.25)
    assert found["accuracy"] == pytest.approx(float((predicted == true).double().mean()))
    assert found["unseen_accuracy"] == pytest.approx(float((predicted == true)[unseen].double().mean()))
    each = multiclass_accuracy(predicted, true, 5, average="none")
    assert [found[f"accuracy_{tag}"] for tag in "ABC"] == pytest.approx(each[:3].tolist(), abs=1e-6)
    assert "accuracy_D" not in found and "accuracy_E" not in found
    assert int(metrics.confusion[0, 1]) == int(((true == 0) & (predicted == 1)).sum())


def test_without_unseen_words_there_is_no_figure_for_them():
    metrics = TagMetrics(("A", "B"))
    metrics.update(torch.tensor(1.0), torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([False, False]))
    assert metrics.compute().keys() == {"loss", "accuracy", "accuracy_A", "accuracy_B"}


@pytest.mark.parametrize("kind", [TagMetrics, EntityMetrics])
def test_devices_add_up_their_sums_and_counts(kind):
    """Every state is a plain sum, so that two devices' states added are those of one that saw all."""
    metrics = kind(TAGS)
    assert {function.__name__ for function in metrics._reductions.values()} == {"dim_zero_sum"}
