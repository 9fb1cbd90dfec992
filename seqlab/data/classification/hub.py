"""Labelled texts of a Hugging Face data set."""

from typing import Any

import numpy as np

from seqlab.data.classification.sources import Ignored, cut_reading, ignored_labels, same_text, warn_of_unused
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import Cut
from seqlab.data.core.labels import LabelNames
from seqlab.data.core.options import refuse_of_files
from seqlab.data.core.reading import Reading, RowSource
from seqlab.data.formats.hub_rows import HubRows, HubSource, check_text_column, select_columns
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.tables import LabelledText, TableFormat, labelled_row


class LabelledHub(HubSource, RowSource[LabelledText]):
    """Labelled texts of a Hugging Face data set, in two columns. The number of a class reads as the class's name.

    A split that the data set lacks is cut from its training split, so that each has its share of every class. The rows
    are shuffled first, because many data sets are sorted by label. Where the labels have names, a number below 0 marks
    a hidden label; such rows are left out and counted.

    Args:
        data_set: the data set, or its name.
        form: the columns; its other fields are for files alone.
        cut: how the training split is cut; equal rows are rows with equal texts.
        ignore_label: rows with this label, or one of these labels, are left out and counted; None: no row is.

    Raises:
        InputError: an option is wrong, or for files alone; on first use: the data set or a split is missing or cannot
            be read, there is no such column, or a row lacks its text or label.
    """

    def __init__(
        self,
        data_set: HubDataset | str = HubDataset(),
        form: TableFormat = TableFormat(),
        cut: Cut = Cut(),
        ignore_label: Ignored = None,
    ) -> None:
        refuse_of_files(form.of_files())
        self._form, self._cut = form, cut
        self._text, self._label = form.columns.values()
        self._ignored = ignored_labels(ignore_label)
        files = "as data.path=FILE in place of data.hub"
        self._hub = HubRows(data_set, self._choose, files=files, split=None, as_text=(self._label,))

    def _read_splits(self) -> dict[str, Reading[LabelledText]]:
        names = LabelNames(self._label)
        readings = {split: self._read(split, names) for split in SPLITS if split not in self._hub.missing}
        warn_of_unused(self._ignored, [reading.left_out for reading in readings.values()])
        if missing := self._hub.missing:
            fractions = dict(zip(SPLITS, self._cut.split, strict=True))
            whole = sum(fractions[split] for split in ("train", *missing))
            shares = {split: fractions[split] / whole for split in ("train", *missing)}
            train = readings["train"]
            if len(train.rows) < len(shares) and not train.left_out:
                raise self._hub.too_few(len(train.rows))
            cut = cut_reading(train, self._cut, str(self), same_text(self.as_read), shares)
            for split in missing:
                self._hub.warn_of_cut(split, len(cut[split].rows), "drawn from train")
            readings.update(cut)
        self._cut.check_use(bool(missing))
        return readings

    def _read(self, split: str, names: LabelNames) -> Reading[LabelledText]:
        feature = self._hub.features(split)[self._label]
        classes, short = getattr(feature, "names", None), getattr(feature, "dtype", None) in ("float16", "float32")
        reading = Reading[LabelledText]()
        of_several_lines: list[LabelledText] = []
        for number, (content, label) in enumerate(self._hub.read(split, self._text, self._label)):
            if classes is not None and label is not None:
                if label < 0:  # the hub's mark of a hidden label
                    reading.left_out[f"rows with a hidden label ({label})"] += 1
                    continue
                label = classes[label]
            elif short and label is not None:
                label = float(str(np.float32(label)))  # by its shortest digits: 0.1, not 0.10000000149
            row = labelled_row(content, label, self._hub.place(split, number), self._form, names)
            if "\n" in row.text:
                of_several_lines.append(row)
            if row.label in self._ignored:
                reading.left_out[f"rows labelled {row.label}"] += 1
            else:
                reading.rows.append(row)
        labels = {row.label for row in reading.rows}
        for row in of_several_lines:
            self._hub.check_swallowed(row.place, row.text, labels)
        return reading

    def _choose(self, rows: Any) -> Any:
        check_text_column(rows, "data.text", self._text, self)
        return select_columns(rows, {"data.text": self._text, "data.label": self._label}, self)
