"""Text -> vectors: templates, the encoder and its cache, the space."""

from crossrec_llm.meaning.cache import CacheState, VectorCache, drop_damaged, inspect_cache
from crossrec_llm.meaning.canaries import Canaries, environment
from crossrec_llm.meaning.encoder import Encoder, EncoderOptions
from crossrec_llm.meaning.space import Space, SpaceOptions
from crossrec_llm.meaning.templates import TemplateOptions, Templates

__all__ = [
    "CacheState",
    "Canaries",
    "Encoder",
    "EncoderOptions",
    "Space",
    "SpaceOptions",
    "TemplateOptions",
    "Templates",
    "VectorCache",
    "drop_damaged",
    "environment",
    "inspect_cache",
]
