"""Data sets that ``datasets`` finds: which one, and how it is loaded."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.data.core.batch import SPLITS
from seqlab.errors import InputError
from seqlab.files import files_below


@dataclass(frozen=True)
class HubDataset:
    """A data set that ``datasets.load_dataset`` finds: on the Hub, in its cache, or in local files.

    Args:
        path: its name or folder, or a format ("text", "csv", "json", "parquet") with ``data_files``. A folder that
            ``save_to_disk`` wrote is a data set too.
        name: its configuration, where it has several.
        revision: branch, tag or commit of the data set.
        data_files: files to read, as in ``datasets.load_dataset``.
        train: the name of its training split; None: "train".
        validation: the name of its validation split; None: "validation", or cut where there is none; "cut": cut.
        test: the name of its test split; None: "test", or cut where there is none; "cut": cut.
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
        """The same, or the data set of a name."""
        return data_set if isinstance(data_set, HubDataset) else cls(data_set)

    def __str__(self) -> str:
        return self.path if self.name is None else f"{self.path} ({self.name})"

    @property
    def splits(self) -> dict[str, str | None]:
        """What a user names the three splits."""
        return {split: getattr(self, split) for split in SPLITS}

    def files(self, loaded: "LoadedSet") -> list[str]:
        """The files that it is read from: the user's own by their paths, those of the Hub by their addresses, which
        name the revision.
        """
        folder = Path(self.path).expanduser()
        if folder.is_dir() and not any("://" in file for file in loaded.files):
            return [str(file) for file in files_below(folder)]  # what describes the data set decides what is read too
        return loaded.files


class LoadedSet(NamedTuple):
    """A data set that was loaded.

    Attributes:
        splits: a ``datasets.Dataset`` for each split, by its name there.
        files: that it was read from; none of a folder that ``save_to_disk`` wrote.
        separator: of csv files; None of others.
    """

    splits: Mapping[str, Any]
    files: list[str]
    separator: str | None


def load_set(data_set: HubDataset, option: str, local: str, as_text: Sequence[str] = ()) -> LoadedSet:
    """Loads a data set.

    Args:
        data_set: which one.
        option: what stands before its fields where a user gives them, for messages.
        local: how a user gives local files instead, for messages.
        as_text: columns that are read as they are written where it is of csv files, which have no types.

    Raises:
        InputError: it is not there, cannot be reached, is broken, or needs a loading script.
    """
    import datasets

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
        # Of csv lines with more values than the header; pandas would cut them short.
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
    """A split that ``save_to_disk`` wrote; ``datasets`` itself can't read one without rows."""
    import datasets

    if json.loads((folder / "state.json").read_text(encoding="utf-8"))["_data_files"]:
        return datasets.Dataset.load_from_disk(str(folder))
    features = datasets.DatasetInfo.from_directory(str(folder)).features
    return datasets.Dataset.from_dict({name: [] for name in features}, features=features)


def _saved_to_disk(path: str) -> Path | None:
    """The folder, where ``save_to_disk`` wrote it."""
    folder = Path(path).expanduser()
    written = ("dataset_dict.json",), ("state.json", "dataset_info.json")
    return folder if any(all((folder / name).is_file() for name in names) for names in written) else None


def _explain(data_set: HubDataset, error: Exception, local: str) -> str:
    """Why a data set could not be loaded, and what a user can do about it."""
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
