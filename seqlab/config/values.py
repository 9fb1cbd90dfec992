"""The values that the keys of the shipped configuration take. Torch is not needed.

They are checked before anything is built. A class would see a wrong value late, and could misread it:
``data.lowercase=no`` is the text "no", which is true.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from seqlab.config.kinds import Either, Flag, Kind, Null, Number, Parent, Several, Text, Whole, or_null
from seqlab.config.parts import is_late
from seqlab.errors import InputError

LAYERS, COUNT, FROM_ZERO, FLAG, TEXT = Whole(1, 10_000), Whole(1), Whole(0), Flag(), Text()
SEED, POSITIVE, NOT_NEGATIVE = Whole(0, 2**32 - 1), Number(above=True), Number()
SHARE, BELOW_ONE = Number(most=1), Number(most=1, below=True)
CONNECTED = Text(("none", "residual", "highway", "dense"))  # as seqlab.nn.layers.connections has them
SHARE_OR_COUNT = Either((Number(most=1), FROM_ZERO))

VALUES: Final[Mapping[str, Kind]] = {
    "name": TEXT,
    "seed": SEED,
    "dry_run": FLAG,
    "fail_fast": FLAG,
    "overwrite": FLAG,
    "rerun_changed": FLAG,
    "keep_changed": FLAG,
    "init_from": Either((TEXT, Parent(), Null())),
    "launcher.job_timeout": or_null(POSITIVE),
    "runtime.num_threads": or_null(Whole(1, 4096)),
    "runtime.tf32": FLAG,
    "runtime.keep_freed_memory": FLAG,
    "runtime.deterministic": FLAG,
    "runtime.gpu_per_job": FLAG,
    "trainer.accelerator": TEXT,
    "trainer.strategy": TEXT,
    "trainer.devices": Either((COUNT, TEXT, Several(FROM_ZERO))),
    "trainer.num_nodes": COUNT,
    "trainer.precision": Either((TEXT, Whole(16, 64))),
    "trainer.max_epochs": or_null(Whole(-1)),
    "trainer.max_steps": Whole(-1),
    "trainer.gradient_clip_val": or_null(NOT_NEGATIVE),
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.val_check_interval": or_null(Either((Number(most=1, above=True), COUNT))),
    "trainer.check_val_every_n_epoch": or_null(COUNT),
    "trainer.limit_train_batches": or_null(Either((Number(most=1, above=True), COUNT))),
    "trainer.limit_val_batches": or_null(SHARE_OR_COUNT),
    "trainer.limit_test_batches": or_null(SHARE_OR_COUNT),
    "trainer.log_every_n_steps": COUNT,
    "trainer.enable_progress_bar": FLAG,
    "trainer.enable_model_summary": FLAG,
    "optimizer.lr": NOT_NEGATIVE,
    "optimizer.betas": Several(BELOW_ONE, 2),
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.momentum": NOT_NEGATIVE,
    "scheduler.warmup_steps": FROM_ZERO,
    "scheduler.final_ratio": NOT_NEGATIVE,
    "scheduler.decay_from": SHARE,
    "scheduler.factor": POSITIVE,
    "scheduler.patience": FROM_ZERO,
    "scheduler.threshold": NOT_NEGATIVE,
    "scheduler.min_lr": NOT_NEGATIVE,
    "scheduler.epochs": FROM_ZERO,
    "task.label_smoothing": BELOW_ONE,
    "task.reverse_complement": Text(("none", "train", "predict", "both")),
    "task.reduction": Text(("mean", "time_sum")),
    "task.beam_size": COUNT,
    "task.length_penalty": NOT_NEGATIVE,
    "task.max_length": or_null(COUNT),
    "task.lowercase_scores": FLAG,
    "task.bleu_every_n_validations": or_null(COUNT),
    "callbacks.answers.num_examples": COUNT,
    "task.wer_every_n_validations": or_null(COUNT),
    "callbacks.attention.num_examples": COUNT,
    "callbacks.examples.num_examples": COUNT,
    "callbacks.descriptions.num_examples": COUNT,
    "callbacks.forecasts.num_examples": COUNT,
    "callbacks.piano_rolls.num_examples": COUNT,
    "callbacks.piano_rolls.num_frames": COUNT,
    "callbacks.piano_rolls.prompt_frames": COUNT,
    "callbacks.examples.print_test": FLAG,
    "callbacks.checkpoint.every_n_steps": or_null(COUNT),
    "callbacks.checkpoint.every_n_minutes": or_null(POSITIVE),
    "callbacks.progress.every_n_minutes": POSITIVE,
    "callbacks.examples.prompt": or_null(TEXT),
    "callbacks.examples.num_frames": COUNT,
    "callbacks.examples.num_tokens": or_null(Whole(1, 1_000_000)),
    "callbacks.examples.temperature": or_null(POSITIVE),
    "callbacks.early_stopping.patience": FROM_ZERO,
    "callbacks.early_stopping.min_delta": NOT_NEGATIVE,
    "callbacks.early_stopping.stopping_threshold": or_null(Number(least=-math.inf)),
    "callbacks.early_stopping.check_on_train_epoch_end": FLAG,
    "callbacks.state_figure.text": TEXT,
    "callbacks.gradients.num_rows": COUNT,
    "callbacks.gradients.positions": COUNT,
    "logger.default_hp_metric": FLAG,
    "logger.hparams": Several(TEXT),
    "logger.project": TEXT,
    "logger.offline": FLAG,
    "logger.experiment_name": TEXT,
    "logger.tracking_uri": or_null(TEXT),
    "data.split_seed": SEED,
    "data.grammar_seed": SEED,
    "data.world_seed": SEED,
    "data.seed": SEED,
    "data.batch_size": COUNT,
    "data.eval_batch_size": or_null(COUNT),
    "data.bucket_batches": COUNT,
    "data.tbptt_steps": COUNT,
    "data.eval_steps": or_null(COUNT),
    "data.max_vocab_size": or_null(COUNT),
    "data.min_frequency": or_null(COUNT),
    "data.lowercase": FLAG,
    "data.punctuation": FLAG,
    "data.split_unique": or_null(FLAG),
    "data.folds": or_null(Whole(2)),
    "data.fold": or_null(FROM_ZERO),
    "data.held_out": Whole(0, 5),
    "data.ambiguous": Text(("refuse", "n", "keep")),
    "data.soft_masked": Text(("read", "n", "refuse")),
    "data.label_pattern": or_null(TEXT),
    "data.label_table": or_null(TEXT),
    "data.skip_unlabelled": FLAG,
    "data.stress": FLAG,
    "data.max_words": or_null(COUNT),
    "data.characters": FLAG,
    "data.entities": FLAG,
    "data.restart_documents": FLAG,
    "data.joint_vocabulary": FLAG,
    "data.skip_empty": FLAG,
    "data.header": or_null(FLAG),
    "data.max_sentences": or_null(COUNT),
    "data.max_length": or_null(COUNT),
    "data.max_word_length": or_null(COUNT),
    "data.validation_share": or_null(Number(most=1, above=True, below=True)),
    "data.split": Several(SHARE, 3),
    "data.unseen": SHARE,
    "data.sizes": Several(COUNT, 3),
    "data.stories": Several(COUNT, 3),
    "data.questions": COUNT,
    "data.unit": Text(("character", "word", "subword")),
    "data.layer": Text(("pos", "entities")),
    "data.encoding": TEXT,
    "data.end_of_line": or_null(TEXT),
    "data.cache_dir": or_null(TEXT),
    "data.vocabulary": or_null(TEXT),
    "data.vectors": or_null(TEXT),
    "data.vectors_size": or_null(COUNT),
    "data.root": or_null(TEXT),
    "data.transpose": FROM_ZERO,
    "data.steps_per_quarter": COUNT,
    "data.frames": Whole(2),
    "data.delay": COUNT,
    "data.num_mels": COUNT,
    "data.window": POSITIVE,
    "data.hop": POSITIVE,
    "data.subtract_mean": FLAG,
    "data.warp": BELOW_ONE,
    "data.stretch": BELOW_ONE,
    "data.mask_bands": FROM_ZERO,
    "data.mask_steps": FROM_ZERO,
    "data.stack": COUNT,
    "data.rate": COUNT,
    "data.digits": COUNT,
    "data.strings": COUNT,
    "data.string_seed": SEED,
    "data.picture_size": Several(COUNT),
    "data.horizon": COUNT,
    "data.context": COUNT,
    "data.test_steps": or_null(COUNT),
    "data.validation_steps": or_null(COUNT),
    "data.stride": COUNT,
    "data.eval_stride": COUNT,
    "data.season": COUNT,
    "data.missing": Text(("refuse", "forward", "mask")),
    "data.time": or_null(TEXT),
    "data.time_format": or_null(TEXT),
    "data.id": or_null(TEXT),
    "data.time_gaps": FLAG,
    "data.decimal": Text((".", ",")),
    "data.frame_size": or_null(Several(COUNT, 2)),
    "data.images": Text(("digits", "mnist")),
    "data.permuted": FLAG,
    "data.permutation_seed": SEED,
    "data.steps": COUNT,
    "data.period": POSITIVE,
    "data.noise": NOT_NEGATIVE,
    "data.gaps": Number(most=1, below=True),
    "data.generator_seed": SEED,
    "data.length": COUNT,
    "data.test_length": or_null(Either((COUNT, Several(COUNT)))),
    "data.fresh": FLAG,
    "data.modulus": Whole(2, 10_000),
    "data.degree": Whole(2, 6),
    "data.kinds": Whole(1, 4),
    "data.max_depth": COUNT,
    "data.symbols": COUNT,
    "data.alphabet": Whole(1, 26),
    "data.ask_blanks": FLAG,
    "data.cues": Whole(1, 26),
    "data.distractors": Whole(1, 26),
    "data.pairs": COUNT,
    "data.keys": COUNT,
    "data.values": COUNT,
    "data.power": POSITIVE,
    "model.num_layers": LAYERS,
    "model.hidden_size": Either((COUNT, Several(COUNT))),
    "model.embedding_size": or_null(COUNT),
    "model.character_embedding_size": COUNT,
    "model.character_hidden_size": COUNT,
    "model.feature_size": COUNT,
    "model.attention_size": or_null(COUNT),
    "model.channels": Several(COUNT),
    "model.place_size": COUNT,
    "model.window_size": COUNT,
    "model.observed": FLAG,
    "model.normalize": Text(("none", "window", "last")),
    "model.quantiles": Several(Number(most=1, above=True, below=True)),
    "model.order": Whole(1, 100),
    "model.hops": COUNT,
    "model.tbptt_steps": or_null(COUNT),
    "model.match_parameters": or_null(COUNT),
    "model.match_tolerance": BELOW_ONE,
    "model.bidirectional": FLAG,
    "model.shared": FLAG,
    "model.match": FLAG,
    "model.recompute": FLAG,
    "model.num_heads": COUNT,
    "model.feedforward_size": or_null(COUNT),
    "model.context": COUNT,
    "model.tie_weights": FLAG,
    "model.input_feeding": FLAG,
    "model.direct": FLAG,
    "model.modified": FLAG,
    "model.constrained": FLAG,
    "model.connect": CONNECTED,
    "model.norm": Text(("none", "pre", "post")),
    "model.dropout": BELOW_ONE,
    "model.embedding_dropout": BELOW_ONE,
    "model.input_dropout": BELOW_ONE,
    "model.projection_size": or_null(COUNT),
    "model.output_dropout": BELOW_ONE,
    "model.word_dropout": BELOW_ONE,
    "model.num_places": COUNT,
    "model.init.uniform": or_null(POSITIVE),
    "model.init.orthogonal": FLAG,
    "model.init.forget_bias": or_null(Number(least=-math.inf)),
    "model.cell.bias": FLAG,
    "model.cell.module.bias": FLAG,
    "model.cell.returns_output": FLAG,
    "model.cell.scale": POSITIVE,
    "model.cell.input_std": POSITIVE,
    "model.cell.memory": or_null(Whole(2)),
    "model.cell.eps": POSITIVE,
}
"""The kind of value of each shipped key that takes a number, a flag or a text. Other keys are checked where they are
used; the keys of a user's own class are not checked."""

_ENCODER_KEY: Final = re.compile(r"^model\.\w*(encoder|decoder)\.(?=\w+$)")  # such a key takes what the model's takes
_SHIPPED: Final = ("seqlab.", "torch.", "lightning.")
GROUPS: Final = {
    "runtime": "runtime.num_threads=1",
    "data": "data=text",
    "model": "model=language_model",
    "task": "task=language_model",
    "optimizer": "optimizer=adam",
    "scheduler": "scheduler=constant",
    "callbacks": "callbacks=default",
    "trainer": "trainer=auto",
    "logger": "logger=none",
}
"""The groups of keys at the top, each with an example of how to choose it."""

TOP: Final = frozenset(
    {*GROUPS, "init_from", "name", "seed", "optimize", "launcher"}
    | {"dry_run", "fail_fast", "overwrite", "rerun_changed", "keep_changed"}
)
"""The keys at the top."""


def check_values(config: Mapping[str, Any], skipped: Collection[str] = ()) -> None:
    """Refuses values that the keys of the shipped configuration don't take.

    Args:
        config: a resolved configuration.
        skipped: groups that are not checked.

    Raises:
        InputError: names the key, its value, and what was expected.

    Example:
        >>> check_values({"seed": "abc"})
        Traceback (most recent call last):
        ...
        seqlab.errors.InputError: seed=abc: expected a whole number, from 0 to 4294967295
    """
    _check_targets(config, skipped)
    for key, value in _shipped_leaves(config):
        general = _OF_LAYER.sub("cell.", key)
        kind = VALUES.get(general) or VALUES.get(_OF_PART.sub(r"\1.", general))
        if kind is None or key.partition(".")[0] in skipped or is_late(value):
            continue
        if not kind.accepts(value):
            raise InputError(f"{key}={_written(value)}: expected {kind.words}{_suggestion(kind, value)}")


def _check_targets(config: Mapping[str, Any], skipped: Collection[str]) -> None:
    """Refuses groups and callbacks that name no class; a logger, an optimizer and a callback may be null."""
    callbacks = config.get("callbacks")
    nodes = {
        **{group: config[group] for group in GROUPS if group in config and group not in ("runtime", "callbacks")},
        **{f"callbacks.{name}": node for name, node in (callbacks if isinstance(callbacks, Mapping) else {}).items()},
    }
    for key, node in nodes.items():
        if key.partition(".")[0] in skipped or (node is None and key.startswith("callbacks.")):
            continue
        if not isinstance(node, Mapping):
            raise InputError(f"{key}={_written(node)}: expected keys, its class in {key}._target_, or null for none")
        target = node.get("_target_", "")
        if not (TEXT.accepts(target) or (target is None and key in ("logger", "optimizer"))):
            raise InputError(
                f"{key}._target_={_written(target)}: expected the name of a class, such as torch.optim.Adam"
            )
        if not isinstance(node.get("_partial_", False), bool):
            raise InputError(f"{key}._partial_={_written(node['_partial_'])}: expected true or false")


def _shipped_leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of keys whose class ships, by their dotted keys; a key of `VALUES` may have a mapping as its value."""
    if "_target_" in node and not str(node["_target_"]).startswith(_SHIPPED):
        return
    for name, value in node.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key not in VALUES:
            yield from _shipped_leaves(value, f"{key}.")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):  # a cell for each layer
            for place, each in enumerate(value):
                yield from _shipped_leaves(each, f"{key}.{place}.") if isinstance(each, Mapping) else ()
        else:
            yield key, value


_OF_LAYER: Final = re.compile(r"(?<=^model\.)(?:\w+\.)?cell\.\d+\.")  # a cell of a list takes what any takes
_OF_PART: Final = re.compile(r"^(model|task)\.(?!cell\.|init\.)\w+\.(?=\w+$)")  # whose keys take what the group's take


def _written(value: Any) -> str:
    if isinstance(value, (bool, type(None))):
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if not isinstance(value, str) or re.fullmatch(r"\S+", value) else repr(value)


def _suggestion(kind: Kind, value: Any) -> str:
    """What the user may have meant, for the end of an error."""
    if isinstance(value, str) and isinstance(kind, Flag):
        flags = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
        return f"; did you mean {flags[value.lower()]}?" if value.lower() in flags else ""
    if isinstance(value, float) and value.is_integer() and kind.accepts(int(value)):
        return f"; did you mean {int(value)}?"
    if isinstance(value, float) and math.isfinite(value) and kind.accepts([value]):
        return "; did you mean a list of it?"
    return ""
