"""A translator by configuration, its training stopped and resumed, and shown at work without being changed by it."""

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.callbacks import attention
from seqlab.callbacks.attention import draw_alignment
from seqlab.config import build
from seqlab.run import checkpoints, load
from seqlab.tasks import PronunciationTask, TranslationTask
from seqlab.tasks.translation import translate
from tests.conftest import config_of, run_here
from tests.numbers_language import of_numbers, write_numbers
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Path:
    return write_numbers(tmp_path_factory.mktemp("numbers"))


@pytest.mark.parametrize("attention", ["dot", "general", "additive", "null"])
def test_each_attention_is_one_override(numbers, attention):
    sizes = ("model.encoder.bidirectional=false",) if attention == "dot" else ()
    config = config_of(*of_numbers(numbers, f"model.attention={attention}", *sizes))
    data = build.build_data(config)
    found = build.build_model(config, data.spec).decoder.attention
    assert (None if attention == "null" else attention) == (found and found.score)


def test_the_depths_of_encoder_and_decoder_are_apart(numbers):
    config = config_of(*of_numbers(numbers, "model.encoder.num_layers=3", "model.decoder.num_layers=2"))
    model = build.build_model(config, build.build_data(config).spec)
    assert (model.encoder.num_layers, model.decoder.recurrent.num_layers) == (3, 2)
    assert model.encoder.bidirectional


def test_a_budget_is_met_with_both_vocabularies_counted(numbers):
    config = config_of(*of_numbers(numbers, "model.match_parameters=60000"))
    model = build.build_model(config, build.build_data(config).spec)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(60_000, rel=0.01)


def test_a_map_has_a_row_a_written_token_and_a_column_a_read_one():
    weights = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]])
    axes = draw_alignment(["Ein", " Haus", "$\x14"], ["a", "<eos>"], weights, PronunciationTask.sides).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("letters", "phonemes")
    assert axes.images[0].get_array().tolist() == weights.tolist()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Ein", "\u2423Haus", "\\$\ufffd"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "<eos>"]


def test_each_map_is_of_its_own_sentence(tmp_path, numbers, monkeypatch):
    drawn = []
    monkeypatch.setattr(attention, "draw_alignment", lambda *given: drawn.append(given) or draw_alignment(*given))
    run_here(tmp_path, *of_numbers(numbers, "trainer.max_epochs=1", "callbacks.attention.num_examples=3"))
    run = load.load_run(tmp_path)
    data, model = build.build_data(run.config), run.model()
    assert len(drawn) == 3
    for number, (read, written, weights, sides) in enumerate(drawn):
        batch = data.collate("validation", [number])
        found = translate(model, run.spec, batch.source, batch.source_lengths, 5, 1.0, None)
        assert read == data.vocabulary.pieces(data.rows("validation")[number].source)
        assert written == [run.vocabularies["target"].tokens[token] for token in found.best()[0]] + ["<eos>"]
        torch.testing.assert_close(weights, found.attention[0, : len(written)], rtol=0, atol=1e-5)
        assert sides == ("source", "translation")


def test_it_prints_the_tests_translations_where_it_is_asked_to(tmp_path, numbers, capsys):
    shown = ("callbacks.examples.print_test=true", "callbacks.examples.num_examples=2", "trainer.max_epochs=1")
    run_here(tmp_path, *of_numbers(numbers, *shown, "model.attention=null"))
    lines = capsys.readouterr().out.splitlines()
    sources, references = ((numbers / f"test.{ending}").read_text().splitlines()[:2] for ending in ("de", "en"))
    place = lines.index(sources[0])
    assert lines[place + 2] == f"  (reference: {references[0]})" and lines[place + 3] == sources[1]
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    assert events.Tags()["images"] == [], "there is no map without attention"


STOCHASTIC = (
    "trainer.max_epochs=2",
    "model.embedding_dropout=0.3",
    "model.output_dropout=0.3",
    "scheduler=cosine",
    "trainer.val_check_interval=0.5",
    "callbacks.checkpoint.every_n_steps=4",
    "task.bleu_every_n_validations=2",
    "data.batch_size=16",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("alone")
    carry_out(folder, of_numbers(numbers, *STOCHASTIC))
    return folder


@pytest.mark.parametrize("steps", [[5, 20]], ids=str)  # an epoch has 15 batches
def test_stopped_anywhere_and_resumed_it_ends_as_if_left_alone(tmp_path, alone, numbers, monkeypatch, steps):
    original = TranslationTask.training_step
    for number, step in enumerate(steps):

        def stopping(self, batch, batch_idx, step=step):
            if self.trainer.global_step == step:
                raise StoppedError
            return original(self, batch, batch_idx)

        monkeypatch.setattr(TranslationTask, "training_step", stopping)
        with pytest.raises(StoppedError):
            carry_out(tmp_path, of_numbers(numbers, *STOCHASTIC), resume=number > 0)
        torch.rand(5)
    monkeypatch.setattr(TranslationTask, "training_step", original)
    carry_out(tmp_path, [], resume=True)
    assert_the_same_end(alone, tmp_path)
    steps_of = []
    for folder in (alone, tmp_path):
        events = EventAccumulator(str(folder))
        events.Reload()
        steps_of.append([event.step for event in events.Scalars("val/bleu")])
    assert steps_of[0] == steps_of[1] and len(steps_of[0]) == 2, "the validations are counted on"


def test_what_is_shown_leaves_training_bit_for_bit_as_it_was(tmp_path, alone, numbers):
    off = ("callbacks.examples=null", "callbacks.attention=null", "task.bleu_every_n_validations=null")
    carry_out(tmp_path, of_numbers(numbers, *STOCHASTIC, *off))
    one, other = (
        checkpoints.load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (alone, tmp_path)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
