"""Names as they stand in paths: a model's, which may have slashes, without the method behind it, and a picture's id.

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

FILE_ID = "img_[0-9A-Za-z]{1,64}_[0-9]{1,4}"  # the pattern of a picture's id
INPUT_ID = "input_([0-9A-Za-z]{1,64})_([0-9]{1,4})"  # of a picture that came with a job: the job's, and its place there
