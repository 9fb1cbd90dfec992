"""The tables of the engines' benchmark."""

from collections.abc import Iterable, Sequence
from typing import Any

from seqlab.bench.engine.contenders import Size
from seqlab.bench.engine.rows import Mean, Row
from seqlab.bench.engine.scaling import ScalingRow

ABSENT = "-"
KIND_TITLES = {
    "layer": "one layer",
    "lengths": "rows of T/2 to T steps",
    "bidirectional": "a bidirectional layer",
    "two layers": "two layers",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """Aligned columns, the first ``left`` of them to the left, the others to the right.

    Example:
        >>> print(table(("name", "ms"), [("a", "1.5"), ("long name", "22.5")], left=1))
        name         ms
        a           1.5
        long name  22.5
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    adjust = [str.ljust] * left + [str.rjust] * (len(header) - left)
    padded = ([fit(text, width) for fit, text, width in zip(adjust, line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def case_table(rows: Sequence[Row], means: Sequence[Mean]) -> str:
    """The rows of one cell and kind, with each contender's time and each engine's ratios; the means come last."""
    baselines = rows[0].baselines
    header = ("(T,B,H)", "pass", "contender", "ms", *(f"vs {name}" for name in baselines.values()))
    lines = []
    for row in rows:
        for name, seconds in sorted(row.seconds.items(), key=lambda item: item[1]):
            chosen = name == row.auto and name in row.ratios
            label = f"{name} *" if chosen else f"auto ({row.auto})" if name == "auto" else name
            ratios = row.ratios.get(name, {})
            milliseconds = f"{1000 * seconds:.3f}"
            lines.append((str(row.size), row.direction, label, milliseconds, *_ratios(ratios, baselines)))
    for mean in means:
        label = f"geometric mean of {mean.sizes}"
        lines.append((label, mean.direction, mean.engine, "", *_ratios(mean.ratios, baselines)))
    title = f"{rows[0].cell}, {KIND_TITLES[rows[0].kind]} (* the choice of auto; above 1: seqlab is faster)"
    return f"{title}\n{table(header, lines, left=3)}"


def scaling_table(rows: Sequence[ScalingRow]) -> str:
    """The time of a step by T."""
    first = rows[0]
    header = ("contender", "T", "us/step", f"over T={min(row.T for row in rows)}", "times as fast as")
    lines = [
        (
            row.contender,
            f"{row.T:,}",
            f"{row.microseconds_per_step:.2f}",
            f"{row.growth:.3f}",
            ", ".join(f"{name} {ratio:.2f}" for name, ratio in row.speed_ratios.items()) or ABSENT,
        )
        for row in rows
    ]
    return f"{first.cell}, forward+backward by T at (B,H) = ({first.B},{first.H})\n{table(header, lines, left=1)}"


def compile_table(rows: Sequence[dict[str, Any]]) -> str:
    """The times of first calls in fresh processes."""
    header = ("cell", "engine", "(T,B,H)", "first call, s", "first call, kernels cached, s", "later call, s")
    lines = [
        (
            row["cell"],
            row["engine"],
            str(Size(row["T"], row["B"], row["H"], row["I"])),
            *(f"{row[name]:.3f}" for name in ("cold_seconds", "warm_seconds", "later_seconds")),
        )
        for row in rows
    ]
    return f"first call of a fresh process, forward+backward\n{table(header, lines, left=3)}"


def memory_table(rows: Sequence[dict[str, Any]]) -> str:
    """The peak memory; 1 MB is 10^6 bytes."""
    header = ("cell", "contender", "(T,B,H)", "tensors, MB", "resident, MB", "bytes of tensors a step and unit")
    lines = [
        (
            row["cell"],
            row["contender"],
            str(Size(row["T"], row["B"], row["H"], row["I"])),
            f"{row['tensors'] / 1e6:.2f}",
            ABSENT if row["resident"] is None else f"{row['resident'] / 1e6:.2f}",
            f"{row['tensors'] / (row['T'] * row['B'] * row['H']):.1f}",
        )
        for row in rows
    ]
    return f"most memory held in one forward+backward, beyond weights and input\n{table(header, lines, left=3)}"


def _ratios(ratios: dict[str, float], baselines: dict[str, str]) -> list[str]:
    return [f"{ratios[role]:.2f}" if role in ratios else ABSENT for role in baselines]
