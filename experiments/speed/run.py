"""The engines' speed: runs ``seqlab bench engine``, draws its figures and writes its tables into this folder's README.

``--options`` shortens it: ``python experiments/speed/run.py --output /tmp/speed --options --sizes 6,3,8 --rounds 2``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from seqlab.files import write_atomically

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tables import with_table

HERE = Path(__file__).parent
BOTH = "forward+backward"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito's
COLUMNS = {
    "stock": "against `nn.*`",
    "eager": "against a loop over `nn.*Cell`",
    "loop": "against `loop`",
    "products": "against bare products",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for results.json, speed.png, README.md")
    parser.add_argument("--draw-only", action="store_true", help="measure nothing: use the results.json that is there")
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="of `seqlab bench engine`; must be last"
    )
    args = parser.parse_args()

    args.output.mkdir(parents=True, exist_ok=True)
    file = args.output / "results.json"
    code = 0
    if not args.draw_only:
        command = ["bench", "engine", *args.options, "--json", str(file)]
        print("$ seqlab " + " ".join(command), flush=True)
        code = subprocess.run([sys.executable, "-m", "seqlab.cli", *command]).returncode
        if code == 2:
            return code
    results = json.loads(file.read_text())
    draw(results, args.output / "speed.png")
    readme = args.output / "README.md"
    template = readme if readme.exists() else HERE / "README.md"
    write_atomically(readme, with_table(template.read_text(), tables(results), "tables").encode())
    print(f"results: {file}\nplot:    {args.output / 'speed.png'}\ntables:  {readme}")
    return code


def tables(results: dict[str, Any]) -> str:
    """What README.md shows: the machine, and a table for each part that was measured."""
    parts, machine = results["parts"], results["machine"]
    where = (
        f"Measured on {machine['gpu'] or machine['cpu']}, {machine['threads']} threads, `{machine['precision']}`, "
        f"torch {machine['versions']['torch']}, {machine['date'][:10]}; medians of {results['settings']['rounds']} "
        f"rounds, forward+backward. Above 1: seqlab is faster."
    )
    shown = [where]
    for part, title in (
        ("main", "One layer"),
        ("lengths", "Rows of T/2 to T steps"),
        ("shapes", "Both directions; two layers"),
    ):
        if part in parts:
            shown.append(f"**{title}**\n\n{ratio_table(parts[part])}")
    if "scaling" in parts:
        shown.append(f"**Time of a step over T**\n\n{scaling_table(parts['scaling']['rows'])}")
    if parts.get("compile", {}).get("rows"):
        shown.append(f"**First call of a fresh process**\n\n{compile_table(parts['compile']['rows'])}")
    if "memory" in parts:
        shown.append(f"**Peak memory of tensors, MB**\n\n{memory_table(parts['memory']['rows'])}")
    if results["failures"]:
        shown.append("Not measured: " + "; ".join(results["failures"]) + ".")
    return "\n\n".join(shown)


def ratio_table(part: dict[str, Any]) -> str:
    """An engine a row: the ratio to ``torch.nn`` at each size, then the geometric means of all ratios."""
    rows = [row for row in part["rows"] if row["pass"] == BOTH]
    sizes = list(dict.fromkeys(size_of(row) for row in rows))
    means = [mean for mean in part["geometric_means"] if mean["pass"] == BOTH]
    roles = [role for role in COLUMNS if any(role in mean["ratios"] for mean in means)]
    kinds = len({row["kind"] for row in rows}) > 1
    lines = []
    for mean in means:
        mine = [row for row in rows if (row["cell"], row["kind"]) == (mean["cell"], mean["kind"])]
        by_size = {size_of(row): ratio_to_stock(row, mean["engine"]) for row in mine}
        name = f"{mean['cell']}, {mean['kind']}" if kinds else mean["cell"]
        stock = next((row["baselines"]["stock"] for row in mine), "")
        ratios = [number(mean["ratios"].get(role)) for role in roles]
        lines.append([name, mean["engine"], stock, *(number(by_size.get(size)) for size in sizes), *ratios])
    return markdown(["cell", "engine", "nn.*", *sizes, *(f"mean {COLUMNS[role]}" for role in roles)], lines, left=3)


def scaling_table(rows: list[dict[str, Any]]) -> str:
    steps = sorted({row["T"] for row in rows})
    lines = []
    for cell, contender in dict.fromkeys((row["cell"], row["contender"]) for row in rows):
        mine = {row["T"]: row for row in rows if (row["cell"], row["contender"]) == (cell, contender)}
        cells = [f"{mine[T]['microseconds_per_step']:.1f}" if T in mine else "-" for T in steps]
        lines.append([cell, contender, *cells, number(mine[max(mine)]["growth"])])
    header = ["cell", "engine", *(f"T={T:,}, us" for T in steps), f"last over T={steps[0]:,}"]
    return markdown(header, lines, left=2)


def compile_table(rows: list[dict[str, Any]]) -> str:
    keys = ("cold_seconds", "warm_seconds", "later_seconds")
    lines = [[row["cell"], row["engine"], *(f"{row[key]:.3f}" for key in keys)] for row in rows]
    return markdown(["cell", "engine", "first call, s", "kernels on disk, s", "later call, s"], lines, left=2)


def memory_table(rows: list[dict[str, Any]]) -> str:
    sizes = list(dict.fromkeys(size_of(row) for row in rows))
    lines = []
    for cell, contender in dict.fromkeys((row["cell"], row["contender"]) for row in rows):
        mine = {size_of(row): row["tensors"] for row in rows if (row["cell"], row["contender"]) == (cell, contender)}
        lines.append([cell, contender, *(f"{mine[size] / 1e6:.1f}" if size in mine else "-" for size in sizes)])
    return markdown(["cell", "engine", *sizes], lines, left=2)


def draw(results: dict[str, Any], file: Path) -> None:
    """Ratios to ``torch.nn`` by cell and size, and the time of a step over T, as far as they were measured."""
    parts = results["parts"]
    figure = Figure(figsize=(13, 5.5), dpi=150, layout="constrained")
    ratios, scaling = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_ratios(ratios, [row for row in parts.get("main", {}).get("rows", []) if row["pass"] == BOTH])
    draw_scaling(scaling, parts.get("scaling", {}).get("rows", []))
    figure.savefig(file)


def draw_ratios(axes: Any, rows: list[dict[str, Any]]) -> None:
    """A group of dots for each cell, one a size, of the engine that auto chose; the mark at 1 is ``torch.nn``."""
    cells, sizes = (list(dict.fromkeys(found)) for found in ([row["cell"] for row in rows], map(size_of, rows)))
    for index, size in enumerate(sizes):
        points = [
            (cells.index(row["cell"]) + 0.6 * ((index + 0.5) / len(sizes) - 0.5), ratio_to_stock(row, "auto"))
            for row in rows
            if size_of(row) == size
        ]
        kept = [(x, y) for x, y in points if y is not None]
        color, marker = COLORS[index % len(COLORS)], "osD^vPX"[index % 7]
        axes.plot([x for x, _ in kept], [y for _, y in kept], marker, color=color, label=f"(T,B,H) = {size}")
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_yticks((0.25, 0.5, 1, 2, 4), labels=("0.25", "0.5", "1", "2", "4"))
    axes.minorticks_off()
    stocks = {row["cell"]: row["baselines"]["stock"] for row in rows}
    axes.set_xticks(range(len(cells)), [f"{cell}\n({stocks[cell]})" for cell in cells], rotation=45, ha="right")
    axes.set_ylabel("speed over torch.nn's layer (in brackets)")
    axes.set_title("forward+backward on the engine that auto chooses")
    axes.grid(axis="y", alpha=0.3)
    if rows:
        axes.legend(fontsize="small")


def draw_scaling(axes: Any, rows: list[dict[str, Any]]) -> None:
    lines = {(row["cell"], row["contender"]): None for row in rows}
    stocks: dict[str, tuple[str, str]] = {}  # the same layer stands beside several cells: once is enough
    for cell, contender in lines:
        if contender.startswith("nn."):
            stocks.setdefault(contender, (cell, contender))
    shown = [line for line in lines if stocks.get(line[1], line) == line]
    for index, (cell, contender) in enumerate(shown):
        name = contender if contender in stocks else f"{cell}, {contender}"
        mine = [row for row in rows if (row["cell"], row["contender"]) == (cell, contender)]
        style = {"color": COLORS[index % len(COLORS)], "linestyle": ("-", "--", ":")[index // len(COLORS) % 3]}
        values = [row["microseconds_per_step"] for row in mine]
        axes.plot([row["T"] for row in mine], values, marker=".", label=name, **style)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for kind in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        kind(ScalarFormatter())
    axes.set_xlabel("T, steps")
    axes.set_ylabel("microseconds a step, forward+backward")
    if rows:
        axes.set_title(f"time of a step, (B,H) = ({rows[0]['B']},{rows[0]['H']})")
        axes.legend(fontsize="x-small", ncols=2)
    axes.grid(alpha=0.3)


def ratio_to_stock(row: dict[str, Any], engine: str) -> float | None:
    """Of one engine; "auto" is the engine that it chose, unless it was timed by itself."""
    name = engine if engine in row["ratios"] or engine != "auto" else row["auto"]
    ratio: float | None = row["ratios"].get(name, {}).get("stock")
    return ratio


def size_of(row: dict[str, Any]) -> str:
    return "(" + ",".join(str(row[name]) for name in "TBHI" if row.get(name) is not None) + ")"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def markdown(header: list[str], lines: list[list[str]], left: int) -> str:
    rule = [":--"] * left + ["--:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


if __name__ == "__main__":
    sys.exit(main())
