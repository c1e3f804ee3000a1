"""What the outputs of a classifier are called: ``id2label`` of transformers, ``label_names`` of timm."""

import re
from collections import Counter
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats.hugging_face.fields import Config, part, whole
from negmerge.naming import one_form

_UNNAMED = re.compile(r"LABEL_\d+")
"""How transformers calls outputs that nobody gave a name."""


def outputs(config: Config) -> dict[str, Any]:
    """``num_classes``, and ``label_names`` where the outputs have names. Raises ModelError.

    A name that several outputs share, such as ImageNet's two cranes, gets the output's number: ``crane (134)``.
    """
    if config.get("problem_type") not in (None, "single_label_classification"):
        raise ModelError('"problem_type" must be "single_label_classification": an image has one class here')
    labels = part(config, "id2label")
    size = len(labels) or whole(config, "num_labels", 2)
    if not labels:
        return {"num_classes": size}
    names = [labels.get(str(output)) for output in range(size)]
    if not all(isinstance(name, str) for name in names):
        raise ModelError(f'"id2label" must give each output a name: "0" to "{size - 1}"')
    texts = [str(name) for name in names]
    if all(_UNNAMED.fullmatch(text) for text in texts):
        return {"num_classes": size}
    counts = Counter(one_form(text) for text in texts)
    told = [f"{text} ({output})" if counts[one_form(text)] > 1 else text for output, text in enumerate(texts)]
    return {"num_classes": size, "label_names": told}
