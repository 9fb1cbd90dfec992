"""What a run's data is: a hash of all that training reads, and whether it is the same now."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.config.paths import Kind, moved_paths, path_values
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
    """A hash of what training reads: vocabularies, the facts of the splits, pretrained vectors and ``fingerprint``,
    which stands for the content of the splits, its order and its labels. None without one: then nobody knows."""
    if fingerprint is None:
        return None
    vectors = Digest()  # pretrained ones, which are kept nowhere
    if (pretrained := spec.word_vectors()) is not None:
        vectors.add(pretrained)
    parts = (_hash_of_facts(vocabularies, spec), vectors.hexdigest(), fingerprint)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:12]


def fingerprint_of(data: Any) -> str | None:
    """The fingerprint of a data module; None, with a log line, where it has none to give."""
    if hasattr(data, "fingerprint"):
        return str(data.fingerprint())
    log.warning(
        "%s has no fingerprint(): whether its data has changed can't be told when the run is resumed or compared",
        type(data).__name__,
    )
    return None


def input_files(data: Any, config: Mapping[str, Any]) -> list[str] | None:
    """The files that a data module reads, or those that its configuration declares; None where neither says."""
    said: list[str] | None = data.input_files() if hasattr(data, "input_files") else None
    if said is not None:
        return said
    named = [match for value in path_values(config) if value.kind is not Kind.PLACE for match in matches(value.path)]
    files = [file for match in named for file in (files_below(match) if match.is_dir() else [match])]
    return [os.path.abspath(file) for file in files] or None


def check_same_data(run_dir: Path, recorded: str | None, data: Any, now: str | None) -> None:
    """Compares the data of a run that goes on with that which it began with; writes nothing.

    Args:
        run_dir: the run's folder, with the vocabularies and facts that it began with.
        recorded: the hash of the data that the run began with; None: it is not known.
        data: the data module, prepared.
        now: the hash of its data; None: it is not known.

    Raises:
        ChangedError: it is other data.
    """
    if recorded is not None and now is not None:
        same, known = recorded == now, f"its hash was {recorded} and is {now}"
    else:  # the content is not known, but other ids mean other letters, whatever the content
        before, after = _hash_of_saved_facts(run_dir, data.spec), _hash_of_facts(data.vocabularies, data.spec)
        same, known = before in (None, after), "its vocabulary or its sizes differ"
    if not same:
        raise ChangedError(
            f"{run_dir}: this is not the data that the run began with ({known}): give that data, "
            "or begin a new run with seqlab train"
        )


def changed_data_files(run: SavedRun) -> list[str]:
    """Which of the files that a run was trained on are other now, in words; none where it is given other files."""
    trained_on, _ = moved_paths(run.record["config"], run.record.get("places"), run.run_dir)
    if path_values(run.config) != path_values(trained_on):
        return []
    return data_differences(run.record, FileHashes(), run.config)


def is_other_data(run: SavedRun, data: Any, overrides: Sequence[str]) -> bool:
    """Whether the data, read with a run's own vocabulary, is surely not what it was trained on, though it is to be.

    Args:
        run: the run.
        data: the data module, prepared.
        overrides: with one of the ``data`` group it may be other data.
    """
    chosen = any(text.startswith("data.") for text in overrides)
    if chosen or run.record["data_hash"] is None or RunFolder(run.run_dir).is_old():
        return False
    if run.config["data"].get("vectors") is not None:  # which are not read again: the model has them
        return False
    fingerprint = fingerprint_of(data)
    return fingerprint is not None and data_hash(data.vocabularies, data.spec, fingerprint) != run.record["data_hash"]


def _hash_of_facts(vocabularies: Mapping[str, Vocabulary], spec: Spec) -> str | None:
    """The hash of what :func:`save_data` would write."""
    with tempfile.TemporaryDirectory() as folder:
        save_data(Path(folder), vocabularies, spec)
        return _hash_of_saved_facts(Path(folder), spec)


def _hash_of_saved_facts(run_dir: Path, spec: Spec) -> str | None:
    """A hash of what :func:`save_data` wrote; None where it is not there."""
    folders = vocabulary_folders(run_dir, spec).values()
    try:
        contents = [file.read_bytes() for file in (run_dir / SPEC_NAME, *(at / TOKENIZER_FILE for at in folders))]
    except OSError:
        return None
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()
