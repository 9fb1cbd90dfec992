"""Hugging Face data sets: which one is read, and how it is loaded."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.data.core.batch import SPLITS
from seqlab.data.formats.paths import check_readable
from seqlab.errors import InputError
from seqlab.files import files_below


@dataclass(frozen=True)
class HubDataset:
    """A data set that ``datasets.load_dataset`` loads: from the Hub, its cache, or local files.

    Args:
        path: the data set's name or folder, or a format ("text", "csv", "json", "parquet") of ``data_files``. A folder
            that ``save_to_disk`` wrote is a data set too.
        name: the configuration of a data set that has several.
        revision: a branch, tag or commit of the data set.
        data_files: files to read, as in ``datasets.load_dataset``.
        train: the name of the training split; None: "train".
        validation: the name of the validation split; None: "validation", or cut where there is none; "cut": cut.
        test: the name of the test split; None: "test", or cut where there is none; "cut": cut.
    """

    path: str = ""
    name: str | None = None
    revision: str | None = None
    data_files: str | Sequence[str] | Mapping[str, Any] | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None

    @classmethod
    def of(cls, data_set: "HubDataset | str") -> "HubDataset":
        """The data set itself, or the one with this name."""
        return data_set if isinstance(data_set, HubDataset) else cls(data_set)

    def __str__(self) -> str:
        return self.path if self.name is None else f"{self.path} ({self.name})"

    @property
    def splits(self) -> dict[str, str | None]:
        """The names of the three splits in the data set; None where none is given."""
        return {split: getattr(self, split) for split in SPLITS}

    def files(self, loaded: "LoadedSet") -> list[str]:
        """The files of the loaded data set: local ones by their paths, others by their addresses with the revision."""
        folder = Path(self.path).expanduser()
        if folder.is_dir() and not any("://" in file for file in loaded.files):
            return [str(file) for file in files_below(folder)]  # with those that describe the data set
        return loaded.files


class LoadedSet(NamedTuple):
    """A loaded data set.

    Attributes:
        splits: a ``datasets.Dataset`` for each split, by the split's name in the data set.
        files: the files that it was read from; empty for a folder that ``save_to_disk`` wrote.
        separator: the separator of csv files; None for other files.
    """

    splits: Mapping[str, Any]
    files: list[str]
    separator: str | None


def load_set(data_set: HubDataset, option: str, local: str, as_text: Sequence[str] = ()) -> LoadedSet:
    """Loads a data set.

    Args:
        data_set: the data set.
        option: the prefix of the options that describe it, for messages.
        local: how local files are given instead, for messages.
        as_text: columns that are read as text from csv files, which have no types.

    Raises:
        InputError: the data set is missing, cannot be reached, is broken, or needs a loading script; a file of its
            folder cannot be read; or it is a format without files.
    """
    import datasets
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    if (
        data_set.path in _PACKAGED_DATASETS_MODULES and not data_set.data_files
    ):  # of the working folder, it would read all
        raise InputError(f"{data_set.path} is a format of files, and none are given: give local files {local}")
    if (folder := Path(data_set.path).expanduser()).is_dir():  # ``datasets`` would leave such files out
        check_readable(files_below(folder, regular=False), f"the data set {data_set}")
    try:
        if (saved := _saved_to_disk(data_set.path)) is not None:
            return LoadedSet(_load_saved(saved, data_set, option), [], None)
        return _load_found(data_set, as_text)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(_explain(data_set, error, local)) from error


def _load_found(data_set: HubDataset, as_text: Sequence[str]) -> LoadedSet:
    import datasets
    from datasets.packaged_modules.csv.csv import CsvConfig
    from pandas.errors import ParserWarning

    def builder_of(**options: Any) -> Any:
        return datasets.load_dataset_builder(
            data_set.path,
            name=data_set.name,
            data_files=data_set.data_files,
            revision=data_set.revision,
            **options,
        )

    separator = None
    with warnings.catch_warnings():
        # Otherwise pandas would shorten csv lines with more values than the header.
        warnings.filterwarnings("error", "Length of header or names", ParserWarning)
        builder = builder_of()
        if isinstance(builder.config, CsvConfig):
            separator = builder.config.sep
            builder = builder_of(keep_default_na=False, index_col=False, converters=dict.fromkeys(as_text, str))
        files = [str(file) for files in (builder.config.data_files or {}).values() for file in files]
        builder.download_and_prepare()
        return LoadedSet(builder.as_dataset(), files, separator)


def _load_saved(folder: Path, data_set: HubDataset, option: str) -> dict[str, Any]:
    """The splits that ``save_to_disk`` wrote."""
    for name in ("name", "data_files", "revision"):
        if (value := getattr(data_set, name)) is not None:
            raise InputError(
                f"{option}.{name}={value}: {data_set.path} was written by save_to_disk and has none: leave it out"
            )
    splits = folder / "dataset_dict.json"
    names = json.loads(splits.read_text(encoding="utf-8"))["splits"] if splits.is_file() else None
    return {name: _saved_split(folder / name) for name in names} if names else {"train": _saved_split(folder)}


def _saved_split(folder: Path) -> Any:
    """A split that ``save_to_disk`` wrote. ``datasets`` itself cannot read one without rows."""
    import datasets

    if json.loads((folder / "state.json").read_text(encoding="utf-8"))["_data_files"]:
        return datasets.Dataset.load_from_disk(str(folder))
    features = datasets.DatasetInfo.from_directory(str(folder)).features
    return datasets.Dataset.from_dict({name: [] for name in features}, features=features)


def _saved_to_disk(path: str) -> Path | None:
    """The folder of this path, if ``save_to_disk`` wrote it."""
    folder = Path(path).expanduser()
    signs = ("dataset_dict.json",), ("state.json", "dataset_info.json")
    return folder if any(all((folder / name).is_file() for name in names) for names in signs) else None


def _explain(data_set: HubDataset, error: Exception, local: str) -> str:
    """The message of an error in loading: its reason and, where there is one, the mend."""
    reason = " ".join(str(error.__cause__ or error).split())
    if "script" in reason and isinstance(error, RuntimeError):
        return (
            f"the data set {data_set} needs a loading script, which `datasets` no longer runs: choose a copy of it in "
            f"parquet, csv, json or text, or give local files {local}"
        )
    if isinstance(error, ConnectionError) or "offline" in reason.lower():
        return (
            f"the data set {data_set} is not on this machine and the Hub cannot be reached ({reason}): "
            f"connect, or give local files {local}"
        )
    return f"the data set {data_set} cannot be loaded: {reason}"
