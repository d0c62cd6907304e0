"""Words for routes that Starlette lacks: a model's name, which may have slashes, without the method behind it.

Owns which methods Google's clients append to a model's path, so that no other route takes them for part of a name.
"""

from typing import Final

from starlette.convertors import PathConvertor, register_url_convertor

METHODS: Final = ("generateContent", "streamGenerateContent", "countTokens", "predict")


class ModelConvertor(PathConvertor):
    """As ``path``, but for what ends in one of METHODS."""

    regex = ".*" + "".join(f"(?<!:{method})" for method in METHODS)


register_url_convertor("model", ModelConvertor())
MODEL: Final = "{model_id:model}"
