"""Pictures of any size: all texts lie inside, and the axes keep their room."""

import pytest

from seqlab.report import compare
from seqlab.report.curves import Curves
from seqlab.report.plot import draw
from seqlab.report.plot_curves import draw_curves
from tests.quick import constrained_layout


@pytest.fixture(autouse=True)
def laid_out(monkeypatch):
    monkeypatch.setattr("matplotlib.layout_engine.ConstrainedLayoutEngine.execute", constrained_layout)


def outside(figure):
    """The texts that stick out of the figure."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    (axes,) = figure.axes
    ranges = {axes.xaxis: sorted(axes.get_xlim()), axes.yaxis: sorted(axes.get_ylim())}
    unseen = {
        tick.label1
        for axis, (low, high) in ranges.items()
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        if not low <= tick.get_loc() <= high
    }
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text not in unseen]
    boxes = {text.get_text(): text.get_window_extent() for text in texts}
    page = figure.bbox
    return [
        name for name, box in boxes.items() if min(box.x0, box.y0) < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1
    ]


@pytest.fixture(scope="module")
def reports(tmp_path_factory, write_run):
    folder = tmp_path_factory.mktemp("runs")
    for depth in (1, 2):
        for seed in (1, 2, 3):
            config = {"model.num_layers": depth, "model.cell": f"a cell of the name {depth}, with words"}
            write_run(folder / f"{depth}-{seed}", seed=seed, metrics=10.0 / depth + seed, config=config)
    return [compare([folder], by=by) for by in (["model.num_layers"], ["model.cell", "model.num_layers"])]


@pytest.mark.parametrize("size", [(2, 2), (3.3, 2.5), (5, 3.5), (8, 5)])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("curves", [False, True])
def test_all_texts_lie_inside_and_the_axes_have_room(reports, size, number, curves):
    report = reports[number]
    lines = [{step: 3.0 - step * 0.1 + seed for step in range(5)} for seed in range(3)]
    if curves:
        figure = draw_curves(report, Curves("val/loss", [(group, lines) for group in report.groups], None), size)
    else:
        figure = draw(report, size)
    assert outside(figure) == []
    box = figure.axes[0].bbox
    assert box.width > 0.5 * figure.bbox.width and box.height > 0.3 * figure.bbox.height
    texts = [figure.axes[0].get_title(loc="left"), *(text.get_text() for text in figure.axes[0].texts)]
    if size[0] > 3:
        remark = "Band: mean" if curves else "Error bars: 95 % interval"
        assert any(remark in text.replace("\n", " ") for text in texts)
