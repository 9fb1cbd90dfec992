"""Files that a user adds to the configuration are read, or refused: none is left unread in silence."""

import shutil
from pathlib import Path

import pytest

from seqlab import cli, conf
from seqlab.config.compose import compose_config
from seqlab.config.own_files import check_own_files, search_path
from seqlab.errors import InputError

CONF = Path(conf.__file__).parent


@pytest.fixture
def own(tmp_path, monkeypatch):
    """``own(path, content)`` writes a file below ``own/`` and has the folder checked."""
    monkeypatch.chdir(tmp_path)

    def write(path: str, content: str = "seed: 7\n") -> None:
        file = tmp_path / "own" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        check_own_files(["own"])

    return write


@pytest.mark.parametrize(
    "name",
    [
        *("model/cell/lstm.yaml", "data/text.yaml", "train.yaml", "experiment/hello.yaml", "sweep/depth.yaml"),
        *("hydra/job_logging/none.yaml", "hydra/help/default.yaml"),
    ],
)
def test_a_file_of_a_packaged_name_is_refused_with_both(own, name):
    with pytest.raises(InputError) as refused:
        own(name, "# @package _global_\nseed: 7\n")
    assert f"own/{name} would not be read: " in str(refused.value) and str(refused.value).count(name) == 2
    assert "give it another name" in str(refused.value)


def test_a_copy_of_the_packaged_files_does_no_harm(tmp_path):
    shutil.copytree(CONF, tmp_path / "conf")
    check_own_files([str(tmp_path / "conf"), str(CONF), str(tmp_path / "none")])
    (tmp_path / "conf" / "optimizer" / "sgd.yaml").write_text("lr: 3\n")
    with pytest.raises(InputError, match=r"optimizer/sgd\.yaml would not be read"):
        check_own_files([str(tmp_path / "conf")])


@pytest.mark.parametrize("group", ["experiment", "experiment/deeper", "sweep", "launcher"])
@pytest.mark.parametrize(
    "content",
    [
        "seed: 7\n",
        "",
        "# My best setting.\n# @package _global_\nseed: 7\n",
        "seed: 7\n# @package _global_\n",
        "# @pakage _global_\nseed: 7\n",
        "# @package global\nseed: 7\n",
        "# @package _global_ (of all)\nseed: 7\n",
        "# package _global_\nseed: 7\n",
        "## @package _group_\nseed: 7\n",
    ],
)
def test_an_experiment_without_its_header_is_refused(own, group, content):
    with pytest.raises(InputError) as refused:
        own(f"{group}/mine.yaml", content)
    assert f"own/{group}/mine.yaml: " in str(refused.value) and "'# @package _global_'" in str(refused.value)


@pytest.mark.parametrize("header", ["# @package _global_", "#@package  _global_", "\n\n  # @package _global_"])
def test_what_hydra_reads_as_a_header_is_one(own, header):
    own("experiment/mine.yaml", f"{header}\n# My best setting.\nseed: 7\n")
    own("model/cell/mine.yaml", "_target_: mine.Cell\n")  # no header is needed in another group


def test_the_folders_of_a_search_path_are_looked_at_too():
    assert search_path(["hydra.searchpath=[mine,file:///other]", "seed=1"]) == ["mine", "/other"]
    assert search_path(["hydra.searchpath=[", "hydra.searchpath=3"]) == []


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        ({"model/cell/lstm.yaml": "a: 1"}, [], ["own/model/cell/lstm.yaml", "conf/model/cell/lstm.yaml"]),
        ({"experiment/x.yaml": "seed: 7"}, ["experiment=x"], ["own/experiment/x.yaml", "@package _global_"]),
        ({"model/cell/x.yaml": "a: [1\nb: 2"}, ["model/cell=x"], ["own/model/cell/x.yaml", "line 2"]),
        ({"model/cell/x.yaml": "a: 1\na: 2"}, ["model/cell=x"], ["own/model/cell/x.yaml", "duplicate key a"]),
        ({"model/cell/x.yaml": "\t- a"}, ["model/cell=x"], ["own/model/cell/x.yaml", "line 1"]),
        ({"model/cell/x.yaml": b"a: \xff"}, ["model/cell=x"], ["own/model/cell/x.yaml", "utf-8"]),
        ({"experiment/x.yaml": "# @package _global_\nseed: ${sed}"}, ["experiment=x"], ["sed", "not found"]),
        ({"experiment/x.yaml": "# @package _global_\nseed: ${oops:1}"}, ["experiment=x"], ["oops"]),
        ({"experiment/x.yaml": "# @package _global_\nmodel: {depth: ${"}, ["experiment=x"], ["own/experiment/x.yaml"]),
        (
            {"experiment/x.yaml": "#@package _global_\ndefaults: [{override /optimizer: kjw}]"},
            ["experiment=x"],
            ["kjw"],
        ),
        ({"experiment/x.yaml": "# @package _global_\ndefaults: [{/data: 3}]"}, ["experiment=x"], ["experiment/x"]),
        ({"experiment/x.yaml": "# @package _global_\ndefaults: data"}, ["experiment=x"], ["defaults"]),
        ({}, ["--config-dir", "nowhere"], ["--config-dir ", "nowhere: there is no such folder"]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_broken_file_is_told_in_one_line(tmp_path, monkeypatch, capfd, files, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["seqlab"])
    for name in ("SEQLAB_ALLOW", "SEQLAB_OWN_FOLDERS", "SEQLAB_VARIED_KEYS", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "1" if name == "HYDRA_FULL_ERROR" else "")
    for name, content in files.items():
        file = tmp_path / "own" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder = [] if "--config-dir" in arguments else ["--config-dir", "own"]
    code = cli.main(["train", "data=hello", *folder, *arguments, "hydra.run.dir=run"])
    said = capfd.readouterr().err
    assert code == 2 and said.count("\n") == 1 and all(word in said for word in words), said


@pytest.mark.parametrize("base", ["/experiment: hello", "mine"])
def test_an_experiment_whose_defaults_lead_back_to_it_is_told_how_to_name_another(own, base):
    own("experiment/mine.yaml", f"# @package _global_\ndefaults:\n  - {base}\n")
    with pytest.raises(InputError, match=r"defaults of experiment/mine\.yaml lead back to it\. .* write '- NAME'"):
        compose_config([f"hydra.searchpath=[file://{Path('own').resolve()}]", "experiment=mine"])
