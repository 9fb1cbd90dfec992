"""A report as LaTeX tables for a paper."""

import re
from collections.abc import Iterable, Sequence

from seqlab.report.columns import (
    Column,
    caption,
    choice_columns,
    cost_columns,
    cross_table,
    difference_columns,
    key_columns,
    result_columns,
    speed_title,
)
from seqlab.report.groups import Report

# The marks of cells, and how a caption's line about one begins.
_MARKS = {"^": r"$^{\wedge}$", "~": r"$^{\sim}$", "#": r"$^{\#}$"}

_COMMANDS = {
    "\x00": r"\textbackslash{}",
    "^": r"\^{}",
    "~": r"\~{}",
    "±": r"$\pm$",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",  # a dash, in TeX's own text fonts
}


def as_latex(report: Report) -> str:
    """The tables for a paper, with the rules of the package booktabs; caption and notes as comments.

    With columns, differences are shown where a baseline was named for them.

    The best mean is bold. What a mark in a cell means is printed below its table. Nothing is rounded otherwise than in
    the other tables. Of the costs only the number of parameters is shown.
    """
    keys, tables = key_columns(report), []
    differences = difference_columns(report)
    results: list[Column] = []
    if report.columns and report.groups:
        titles, rows = cross_table(report)
        heading = ", ".join(map(report.name_of, report.columns))
        tables.append(_table(report, titles, rows, len(report.rows), heading))
        differences = differences if report.has_named_baseline else []
    elif report.groups:
        parameters = [column for column in cost_columns(report) if column[0] == "parameters" and any(column[1])]
        results = [*result_columns(report), *parameters]
    if report.groups:
        parts = [choice_columns(report), results, differences]
        tables += [_table(report, *_rows(keys, part), len(keys)) for part in parts if part]
    lines = [
        line for line in caption(report) if not line.startswith(f"{speed_title(report)}:") and line[0] not in _MARKS
    ]
    lines = [line for line in lines if differences or not line.startswith(("difference:", "Name a baseline"))]
    lines = [f"Bold: {line.removeprefix('* ')}" if line.startswith("* ") else line for line in lines]
    remarks = "\n".join(f"% {_in_one_line(line)}" for line in ["\\usepackage{booktabs}", *lines, *report.notes])
    # An empty line ends the paragraph: tables would stand beside each other without it.
    return "\n\n".join([remarks, *tables]) + "\n"


def _rows(keys: Sequence[Column], numbers: Sequence[Column]) -> tuple[list[str], list[tuple[str, ...]]]:
    columns = [*keys, *numbers]
    return [title for title, _ in columns], list(zip(*(cells for _, cells in columns), strict=True))


def _table(
    report: Report, titles: Sequence[str], rows: Sequence[Sequence[str]], keys: int, heading: str | None = None
) -> str:
    lines = [f"\\begin{{tabular}}{{{'l' * keys}{'r' * (len(titles) - keys)}}}", "\\toprule"]
    if heading:
        count = len(titles) - keys
        lines.append(f"{'& ' * keys}\\multicolumn{{{count}}}{{c}}{{{_text(heading)}}} \\\\")
        lines.append(f"\\cmidrule(lr){{{keys + 1}-{len(titles)}}}")
    lines += [_line(map(_text, titles)), "\\midrule"]
    lines += [_line([*map(_text, row[:keys]), *map(_number, row[keys:])]) for row in rows]
    lines += ["\\bottomrule", "\\end{tabular}"]
    return "\n".join([*lines, *_legend(report, [cell for row in rows for cell in row[keys:]])])


def _line(cells: Iterable[str]) -> str:
    line = " & ".join(cells) + r" \\"
    return f"{{}}{line}" if line.startswith(("[", "*")) else line  # else an argument of the command before it


def _legend(report: Report, cells: Iterable[str]) -> list[str]:
    """The meaning of the marks in some cells, as printed lines."""
    used = {mark for cell in cells for mark in _MARKS if re.search(rf" {re.escape(mark)}( |$)", cell)}
    return [
        f"\n{{\\footnotesize {_MARKS[line[0]]} {_text(line[1:].strip())}}}"
        for line in caption(report)
        if line[0] in used
    ]


def _number(cell: str) -> str:
    """A number in mathematics, bold if it has the star of the best; a text as it is."""
    text, star, remark = cell.partition(" *")
    if not re.fullmatch(r"[+-]?[\d,.]+(e[+-]\d+)?( ± [\d.e+-]+)?( #)?|\[[^\]]*\]|<0\.001", text):
        text, space, mark = cell.rpartition(" ")
        return _text(text) + _MARKS[mark] if space and mark in _MARKS else _text(cell)
    text = re.sub(r",(?=\d)", "{,}", text.replace(" ± ", r" \pm ").replace(" #", r"^{\#}"))
    text = re.sub(r"e([+-])0*(\d+)", r" \\cdot 10^{\1\2}", text).replace("^{+", "^{")
    return f"$\\mathbf{{{text}}}${_text_after(remark)}" if star else f"${text}$"


def _text_after(remark: str) -> str:
    return f" {_text(remark)}" if remark else ""


def _text(text: str) -> str:
    plain = _in_one_line(text).replace("\\", "\x00")
    escaped = re.sub(r"([#$%&_{}])", r"\\\1", plain)
    for character, command in _COMMANDS.items():
        escaped = escaped.replace(character, command)
    return escaped


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
