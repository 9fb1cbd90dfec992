"""A function for each file of ``conf/data`` with pictures: from flat keys to a source and a data module."""

from typing import Any

from seqlab.data.captions.module import CaptionData
from seqlab.data.captions.scenes import Scenes
from seqlab.data.captions.sources import Pictures
from seqlab.data.core.options import from_options, take
from seqlab.data.formats.paths import Files


def scenes_data(**options: Any) -> CaptionData:
    """``data=scenes``: scenes of two shapes with one sentence each.

    Args:
        **options: of ``Scenes``, ``CaptionData`` and its parts.
    """
    return from_options(CaptionData, take(Scenes, options), **options)


def pictures_data(**options: Any) -> CaptionData:
    """``data=pictures``: the user's own pictures with descriptions.

    Args:
        **options: of ``Files``, ``Pictures``, ``Cut``, ``CaptionData`` and its parts.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    files = take(Files, options)
    return from_options(CaptionData, take(Pictures, options, files), **options)
