"""What values the keys of the shipped configuration take. Torch is not needed.

A class is told a wrong value only when it is built, and may take it for something else: ``data.lowercase=no`` is the
text "no", which is true.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from seqlab.config.parts import is_late
from seqlab.errors import InputError


class Kind(Protocol):
    """What a key takes: said in words, and asked of a value."""

    @property
    def words(self) -> str: ...

    def takes(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Whole:
    """A whole number within limits."""

    least: int = 1
    most: int | None = None

    @property
    def words(self) -> str:
        limits = f"{self.least} or more" if self.most is None else f"from {self.least} to {self.most}"
        return f"a whole number, {limits}"

    def takes(self, value: Any) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.least <= value <= (math.inf if self.most is None else self.most)


@dataclass(frozen=True)
class Number:
    """A finite number within limits, of which the one below (above) is excluded where ``above`` (``below``) is set."""

    least: float = 0.0
    most: float | None = None
    above: bool = False
    below: bool = False

    @property
    def words(self) -> str:
        lower = f"above {self.least:g}" if self.above else f"{self.least:g} or more"
        upper = "" if self.most is None else f", {'below' if self.below else 'at most'} {self.most:g}"
        return f"a number, {lower}{upper}"

    def takes(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        within = value > self.least if self.above else value >= self.least
        return within and (self.most is None or (value < self.most if self.below else value <= self.most))


@dataclass(frozen=True)
class Flag:
    """true or false."""

    words: str = "true or false"

    def takes(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Text:
    """A text, of some or of any."""

    choices: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return _either(self.choices) or "a text"

    def takes(self, value: Any) -> bool:
        return isinstance(value, str) and (value in self.choices if self.choices else value != "")


@dataclass(frozen=True)
class Several:
    """A list of so many of one kind; of any number where ``count`` is None."""

    kind: Kind
    count: int | None = None

    @property
    def words(self) -> str:
        return f"a list{'' if self.count is None else f' of {self.count}'}, each {self.kind.words}"

    def takes(self, value: Any) -> bool:
        fits = isinstance(value, list) and bool(value) and self.count in (None, len(value))
        return fits and all(map(self.kind.takes, value))


@dataclass(frozen=True)
class Either:
    """Any of some kinds."""

    kinds: tuple[Kind, ...]

    @property
    def words(self) -> str:
        return _either(tuple(kind.words for kind in self.kinds))

    def takes(self, value: Any) -> bool:
        return any(kind.takes(value) for kind in self.kinds)


@dataclass(frozen=True)
class Null:
    """null."""

    words: str = "null"

    def takes(self, value: Any) -> bool:
        return value is None


@dataclass(frozen=True)
class Parent:
    """What a run keeps of the run whose weights it begins with."""

    words: str = "a run's folder"

    def takes(self, value: Any) -> bool:
        return isinstance(value, Mapping) and set(value) == {"run", "checkpoint"}


def _or_null(kind: Kind) -> Either:
    return Either((kind, Null()))


def _either(words: tuple[str, ...]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


LAYERS, COUNT, FROM_ZERO, FLAG, TEXT = Whole(1, 10_000), Whole(1), Whole(0), Flag(), Text()
SEED, POSITIVE, NOT_NEGATIVE = Whole(0, 2**32 - 1), Number(above=True), Number()
SHARE, DROPPED = Number(most=1), Number(most=1, below=True)
CONNECTED = Text(("none", "residual", "dense"))
PART = Either((Number(most=1), FROM_ZERO))

VALUES: Final[Mapping[str, Kind]] = {
    "name": TEXT,
    "seed": SEED,
    "dry_run": FLAG,
    "fail_fast": FLAG,
    "overwrite": FLAG,
    "rerun_changed": FLAG,
    "keep_changed": FLAG,
    "init_from": Either((TEXT, Parent(), Null())),
    "launcher.job_timeout": _or_null(POSITIVE),
    "runtime.num_threads": _or_null(Whole(1, 4096)),
    "runtime.tf32": FLAG,
    "runtime.keep_freed_memory": FLAG,
    "runtime.deterministic": FLAG,
    "runtime.gpu_per_job": FLAG,
    "trainer.accelerator": TEXT,
    "trainer.strategy": TEXT,
    "trainer.devices": Either((COUNT, TEXT, Several(FROM_ZERO))),
    "trainer.num_nodes": COUNT,
    "trainer.precision": Either((TEXT, Whole(16, 64))),
    "trainer.max_epochs": _or_null(Whole(-1)),
    "trainer.max_steps": Whole(-1),
    "trainer.gradient_clip_val": _or_null(NOT_NEGATIVE),
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.val_check_interval": _or_null(Either((Number(most=1, above=True), COUNT))),
    "trainer.check_val_every_n_epoch": _or_null(COUNT),
    "trainer.limit_train_batches": _or_null(Either((Number(most=1, above=True), COUNT))),
    "trainer.limit_val_batches": _or_null(PART),
    "trainer.limit_test_batches": _or_null(PART),
    "trainer.log_every_n_steps": COUNT,
    "trainer.enable_progress_bar": FLAG,
    "trainer.enable_model_summary": FLAG,
    "optimizer.lr": NOT_NEGATIVE,
    "optimizer.betas": Several(DROPPED, 2),
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.momentum": NOT_NEGATIVE,
    "scheduler.warmup_steps": FROM_ZERO,
    "scheduler.final_ratio": NOT_NEGATIVE,
    "scheduler.factor": POSITIVE,
    "scheduler.patience": FROM_ZERO,
    "scheduler.threshold": NOT_NEGATIVE,
    "scheduler.min_lr": NOT_NEGATIVE,
    "scheduler.epochs": FROM_ZERO,
    "task.label_smoothing": DROPPED,
    "task.reduction": Text(("mean", "time_sum")),
    "task.beam_size": COUNT,
    "task.length_penalty": NOT_NEGATIVE,
    "task.max_length": _or_null(COUNT),
    "task.lowercase_scores": FLAG,
    "task.bleu_every_n_validations": _or_null(COUNT),
    "callbacks.attention.num_examples": COUNT,
    "callbacks.examples.num_examples": COUNT,
    "callbacks.examples.print_test": FLAG,
    "callbacks.checkpoint.every_n_steps": _or_null(COUNT),
    "callbacks.checkpoint.every_n_minutes": _or_null(POSITIVE),
    "callbacks.progress.every_n_minutes": POSITIVE,
    "callbacks.examples.prompt": _or_null(TEXT),
    "callbacks.examples.num_tokens": Whole(1, 1_000_000),
    "callbacks.examples.temperature": POSITIVE,
    "callbacks.early_stopping.patience": FROM_ZERO,
    "callbacks.early_stopping.min_delta": NOT_NEGATIVE,
    "callbacks.early_stopping.check_on_train_epoch_end": FLAG,
    "callbacks.state_figure.text": TEXT,
    "logger.default_hp_metric": FLAG,
    "logger.hparams": Several(TEXT),
    "data.split_seed": SEED,
    "data.grammar_seed": SEED,
    "data.world_seed": SEED,
    "data.seed": SEED,
    "data.batch_size": COUNT,
    "data.eval_batch_size": _or_null(COUNT),
    "data.bucket_batches": COUNT,
    "data.tbptt_steps": COUNT,
    "data.eval_steps": _or_null(COUNT),
    "data.max_vocab_size": _or_null(COUNT),
    "data.min_frequency": _or_null(COUNT),
    "data.lowercase": FLAG,
    "data.punctuation": FLAG,
    "data.split_unique": FLAG,
    "data.characters": FLAG,
    "data.entities": FLAG,
    "data.restart_documents": FLAG,
    "data.joint_vocabulary": FLAG,
    "data.skip_empty": FLAG,
    "data.header": _or_null(FLAG),
    "data.max_sentences": _or_null(COUNT),
    "data.max_length": _or_null(COUNT),
    "data.max_word_length": _or_null(COUNT),
    "data.validation_share": Number(most=1, above=True, below=True),
    "data.split": Several(SHARE, 3),
    "data.unseen": SHARE,
    "data.sizes": Several(COUNT, 3),
    "data.stories": Several(COUNT, 3),
    "data.questions": COUNT,
    "data.unit": Text(("character", "word", "subword")),
    "data.layer": Text(("pos", "entities")),
    "data.encoding": TEXT,
    "data.end_of_line": _or_null(TEXT),
    "data.cache_dir": _or_null(TEXT),
    "data.vocabulary": _or_null(TEXT),
    "data.vectors": _or_null(TEXT),
    "data.vectors_size": _or_null(COUNT),
    "data.root": _or_null(TEXT),
    "model.num_layers": LAYERS,
    "model.hidden_size": COUNT,
    "model.embedding_size": _or_null(COUNT),
    "model.character_embedding_size": COUNT,
    "model.character_hidden_size": COUNT,
    "model.feature_size": COUNT,
    "model.attention_size": _or_null(COUNT),
    "model.window_size": COUNT,
    "model.order": Whole(1, 100),
    "model.hops": COUNT,
    "model.tbptt_steps": _or_null(COUNT),
    "model.match_parameters": _or_null(COUNT),
    "model.bidirectional": FLAG,
    "model.shared": FLAG,
    "model.match": FLAG,
    "model.recompute": FLAG,
    "model.tie_weights": FLAG,
    "model.input_feeding": FLAG,
    "model.direct": FLAG,
    "model.modified": FLAG,
    "model.constrained": FLAG,
    "model.connect": CONNECTED,
    "model.dropout": DROPPED,
    "model.embedding_dropout": DROPPED,
    "model.output_dropout": DROPPED,
    "model.word_dropout": DROPPED,
    "model.init.uniform": _or_null(POSITIVE),
    "model.init.orthogonal": FLAG,
    "model.init.forget_bias": _or_null(Number(least=-math.inf)),
    "model.cell.bias": FLAG,
    "model.cell.module.bias": FLAG,
    "model.cell.returns_output": FLAG,
    "model.cell.scale": Number(least=-math.inf),
    "model.cell.input_std": NOT_NEGATIVE,
    "model.cell.eps": POSITIVE,
}
"""What each shipped key takes whose value is a number, a flag or a text of any kind; the others are checked where they
are used. A key of a class of the user's own is the user's."""

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
"""The top-level keys that hold others, each with a way to give it."""


def check_values(config: Mapping[str, Any], skipped: Collection[str] = ()) -> None:
    """Refuses values that the keys of the shipped configuration don't take, but for those of ``skipped`` groups.

    Raises:
        InputError: naming the key, what was expected and what came.

    Example:
        >>> check_values({"seed": "abc"})
        Traceback (most recent call last):
        ...
        seqlab.errors.InputError: seed=abc: expected a whole number, from 0 to 4294967295
    """
    _check_targets(config, skipped)
    for key, value in _shipped_leaves(config):
        kind = VALUES.get(key) or VALUES.get(_OF_PART.sub(r"\1.", key))
        if kind is None or key.partition(".")[0] in skipped or is_late(value):
            continue
        if not kind.takes(value):
            raise InputError(f"{key}={_shown(value)}: expected {kind.words}{_meant(kind, value)}")


def _check_targets(config: Mapping[str, Any], skipped: Collection[str]) -> None:
    """Refuses groups and callbacks that name no class; a logger, an optimizer and a callback may be none."""
    callbacks = config.get("callbacks")
    named = {
        **{group: config[group] for group in GROUPS if group in config and group not in ("runtime", "callbacks")},
        **{f"callbacks.{name}": node for name, node in (callbacks if isinstance(callbacks, Mapping) else {}).items()},
    }
    for key, node in named.items():
        if key.partition(".")[0] in skipped or (node is None and key.startswith("callbacks.")):
            continue
        if not isinstance(node, Mapping):
            raise InputError(f"{key}={_shown(node)}: expected keys, its class in {key}._target_, or null for none")
        target = node.get("_target_", "")
        if not (TEXT.takes(target) or (target is None and key in ("logger", "optimizer"))):
            raise InputError(f"{key}._target_={_shown(target)}: expected the name of a class, such as torch.optim.Adam")
        if not isinstance(node.get("_partial_", False), bool):
            raise InputError(f"{key}._partial_={_shown(node['_partial_'])}: expected true or false")


def _shipped_leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves below keys whose class ships, with their dotted keys; a mapping that stands for one is one, too."""
    if "_target_" in node and not str(node["_target_"]).startswith(_SHIPPED):
        return
    for name, value in node.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key not in VALUES:
            yield from _shipped_leaves(value, f"{key}.")
        else:
            yield key, value


_OF_PART: Final = re.compile(r"^(model|task)\.(?!cell\.|init\.)\w+\.(?=\w+$)")  # whose keys take what the group's take


def _shown(value: Any) -> str:
    if isinstance(value, (bool, type(None))):
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if not isinstance(value, str) or re.fullmatch(r"\S+", value) else repr(value)


def _meant(kind: Kind, value: Any) -> str:
    """What was probably meant."""
    if isinstance(value, str) and isinstance(kind, Flag):
        meant = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
        return f"; did you mean {meant[value.lower()]}?" if value.lower() in meant else ""
    if isinstance(value, float) and value.is_integer() and kind.takes(int(value)):
        return f"; did you mean {int(value)}?"
    if isinstance(value, float) and math.isfinite(value) and kind.takes([value]):
        return "; did you mean a list of it?"
    return ""
