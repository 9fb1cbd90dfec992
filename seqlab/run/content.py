"""The content of a run's data: a hash of all that training reads, and whether it is the same now."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.config.paths import PathKind, moved_paths, path_values
from seqlab.data import Spec
from seqlab.data.core.fingerprint import Digest
from seqlab.data.vocabulary.base import TOKENIZER_FILE, Vocabulary
from seqlab.errors import ChangedError
from seqlab.files import files_below, matches
from seqlab.run.folder import RunFolder
from seqlab.run.inputs import FileHashes, data_differences
from seqlab.run.load import SPEC_NAME, SavedRun, save_data, vocabulary_folders

log = logging.getLogger("seqlab")


def data_hash(vocabularies: Mapping[str, Vocabulary], spec: Spec, fingerprint: str | None) -> str | None:
    """A hash of all that training reads.

    Args:
        vocabularies: the vocabularies by name.
        spec: the sizes and classes of the data; its pretrained vectors count, too.
        fingerprint: identifies the content of the splits, its order and its labels; None: unknown, and so is the hash.
    """
    if fingerprint is None:
        return None
    vectors = Digest()  # pretrained ones, which are kept nowhere
    if (pretrained := spec.word_vectors()) is not None:
        vectors.add(pretrained)
    parts = (_hash_of_facts(vocabularies, spec), vectors.hexdigest(), fingerprint)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:12]


def fingerprint_of(data: Any) -> str | None:
    """The fingerprint of a data module; None, with a log line, if it has none."""
    if hasattr(data, "fingerprint"):
        return str(data.fingerprint())
    log.warning(
        "%s has no fingerprint(): whether its data has changed can't be told when the run is resumed or compared",
        type(data).__name__,
    )
    return None


def input_files(data: Any, config: Mapping[str, Any]) -> list[str] | None:
    """The files that a data module reads, or else those that its configuration declares; None if neither says."""
    declared: list[str] | None = data.input_files() if hasattr(data, "input_files") else None
    if declared is not None:
        return declared
    paths = [
        match for value in path_values(config) if value.kind is not PathKind.PLACE for match in matches(value.path)
    ]
    files = [file for match in paths for file in (files_below(match) if match.is_dir() else [match])]
    return [os.path.abspath(file) for file in files] or None


def check_same_data(run_dir: Path, recorded: str | None, data: Any, now: str | None) -> None:
    """Compares the data of a run that continues with the data that it began with; writes nothing.

    Args:
        run_dir: the run's folder, with the vocabularies and sizes that it began with.
        recorded: the hash of the data that the run began with; None: unknown.
        data: the data module, prepared.
        now: the hash of its data; None: unknown.

    Raises:
        ChangedError: the data has changed.
    """
    if recorded is not None and now is not None:
        is_same, difference = recorded == now, f"its hash was {recorded} and is {now}"
    else:  # whatever the content: with another vocabulary, the same ids mean other tokens
        before, after = _hash_of_saved_facts(run_dir, data.spec), _hash_of_facts(data.vocabularies, data.spec)
        is_same, difference = before in (None, after), "its vocabulary or its sizes differ"
    if not is_same:
        raise ChangedError(
            f"{run_dir}: this is not the data that the run began with ({difference}): give that data, "
            "or begin a new run with seqlab train"
        )


def changed_data_files(run: SavedRun) -> list[str]:
    """The files that have changed since a run was trained on them, in words; none if it is given other files."""
    trained_on, _ = moved_paths(run.record["config"], run.record.get("places"), run.run_dir)
    if path_values(run.config) != path_values(trained_on):
        return []
    return data_differences(run.record, FileHashes(), run.config)


def is_other_data(run: SavedRun, data: Any, overrides: Sequence[str]) -> bool:
    """Whether data that should be the run's training data certainly is not.

    Args:
        run: the run.
        data: the data module, prepared with the run's own vocabulary.
        overrides: the overrides; one of the group ``data`` may ask for other data.
    """
    is_chosen = any(text.startswith("data.") for text in overrides)
    if is_chosen or run.record["data_hash"] is None or RunFolder(run.run_dir).is_old():
        return False
    if run.config["data"].get("vectors") is not None:  # vectors are not read again: the model has them
        return False
    fingerprint = fingerprint_of(data)
    return fingerprint is not None and data_hash(data.vocabularies, data.spec, fingerprint) != run.record["data_hash"]


def _hash_of_facts(vocabularies: Mapping[str, Vocabulary], spec: Spec) -> str | None:
    """The hash of the files that :func:`save_data` would write."""
    with tempfile.TemporaryDirectory() as folder:
        save_data(Path(folder), vocabularies, spec)
        return _hash_of_saved_facts(Path(folder), spec)


def _hash_of_saved_facts(run_dir: Path, spec: Spec) -> str | None:
    """A hash of the files that :func:`save_data` wrote; None if they are missing."""
    folders = vocabulary_folders(run_dir, spec).values()
    try:
        contents = [file.read_bytes() for file in (run_dir / SPEC_NAME, *(at / TOKENIZER_FILE for at in folders))]
    except OSError:
        return None
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()
