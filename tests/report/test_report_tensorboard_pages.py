"""TensorBoard itself on a sweep: what it serves, and what a browser shows of it."""

import importlib.util
import re
import shutil
import subprocess
import sys
import time

import pytest

from seqlab.report import compare
from seqlab.report.tensorboard import save_for_tensorboard
from tests.report.tensorboard_sweep import ask_server, columns_in, layout_in, rows_in, write_sweep

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 60

# Elements of TensorBoard's pages have trees of their own, which no selector reaches from outside.
ALL_ELEMENTS = """
const found = [];
const visit = (root) => {
  for (const element of root.querySelectorAll("*")) {
    found.push(element);
    if (element.shadowRoot) visit(element.shadowRoot);
  }
};
visit(document);
"""
CELLS = f"""{ALL_ELEMENTS}
const table = found.find((element) => element.tagName === "TF-HPARAMS-TABLE-VIEW");
return table ? [...table.shadowRoot.querySelectorAll("vaadin-grid-cell-content")].map((e) => e.innerText.trim()) : [];
"""
OPEN_PARALLEL_COORDINATES = f"""{ALL_ELEMENTS}
found.find((e) => e.tagName === "PAPER-TAB" && /parallel coordinates/i.test(e.textContent)).click();
"""
PLOT = f"""{ALL_ELEMENTS}
const plot = found.find((element) => element.tagName === "TF-HPARAMS-PARALLEL-COORDS-PLOT");
if (!plot || !plot.shadowRoot) return [[], 0];
const texts = [...plot.shadowRoot.querySelectorAll("svg text")].map((element) => element.textContent.trim());
return [texts, plot.shadowRoot.querySelectorAll("svg g.foreground path").length];
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory, write_run):
    """TensorBoard, at a port of its own, on three depths of two seeds; the second of depth 3 has failed."""
    folder = tmp_path_factory.mktemp("served") / "sweep"
    write_sweep(folder, write_run, {1: [10.0, 12.0], 2: [8.0, 9.0], 3: [7.0, None]})
    save_for_tensorboard(compare([folder]), folder)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            found = next(filter(None, (re.search(r"at (http://\S+?)/? ", line) for line in server.stderr)))
            assert _wait_for(lambda: len(rows_in(ask_server(found[1]))) == 6)
            yield found[1]
        finally:
            server.terminate()


def _wait_for(condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.5)
    return met


def test_the_server_has_the_depths_the_results_and_the_layout(address):
    """By its usual loader, the data server, where that is to be had."""
    ask = ask_server(address)
    columns, metrics = columns_in(ask)
    assert list(columns) == ["model.num_layers", "seed", "status"]
    assert metrics[:2] == ["test/perplexity", "best/val/loss"]
    found = sorted(
        (values["model.num_layers"], values["seed"], status, results.get("test/perplexity"))
        for values, status, results in rows_in(ask).values()
    )
    ended = "STATUS_SUCCESS"
    assert found == [
        (1, 1, ended, 10.0),
        (1, 2, ended, 12.0),
        (2, 1, ended, 8.0),
        (2, 2, ended, 9.0),
        (3, 1, ended, 7.0),
        (3, 2, "STATUS_FAILURE", None),
    ]
    assert list(layout_in(ask)) == ["by group: mean ± sample sd over seeds", "validation", "test", "speed"]
    assert [value for *_, value in ask("scalars/scalars?run=groups/num_layers=1&tag=mean/val/loss")] == [
        *(5.5, 4.5, 3.5)
    ]


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("needs selenium: pip install 'seqlab[browser]'")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,1000"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def test_the_hparams_tab_shows_three_depths_and_the_test_metric(address, browser):
    browser.get(f"{address}/#hparams")
    assert _wait_for(lambda: "7.0000" in browser.execute_script(CELLS)), browser.execute_script(CELLS)
    cells = browser.execute_script(CELLS)
    assert {"num_layers", "seed", "status", "test/perplexity"} <= set(cells)
    assert {"1.0000", "2.0000", "3.0000", "completed", "failed"} <= set(cells)
    assert {"10.000", "12.000", "8.0000", "9.0000"} <= set(cells)
    assert sum(cell.startswith("model.num_layers=") for cell in cells) == 6

    browser.execute_script(OPEN_PARALLEL_COORDINATES)
    assert _wait_for(lambda: browser.execute_script(PLOT)[1]), browser.execute_script(PLOT)
    texts, lines = browser.execute_script(PLOT)
    assert {"num_layers", "seed", "test/perplexity"} <= set(texts)
    assert {"1.0", "2.0", "3.0"} <= set(texts)
    assert lines == 5  # a line for each run that has results
