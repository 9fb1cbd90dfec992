"""What Hydra and OmegaConf say of a wrong configuration, in one line with the mend."""

import difflib
import re

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from seqlab.fingerprint import flatten
from seqlab.spread import EXTRAS


def explain(error: Exception) -> str:
    """Hydra's and OmegaConf's errors in one line, with the mend."""
    text = " ".join(str(error).split()).partition(" Config search path")[0]
    if unknown := re.search(r"Could not override '([^']+)'", text):
        near = difflib.get_close_matches(unknown[1], _known_keys(), n=1)
        kind = "hydra" if unknown[1].startswith("hydra.") else "job"
        hint = f"did you mean {near[0]}?" if near else f"seqlab train --cfg {kind} prints those there are"
        return f"there is no configuration key {unknown[1]}; {hint}"
    if absent := re.search(r"Could not find '(hydra/\w+)/(\w+)'", text):
        extra = EXTRAS.get(absent[1], {}).get(absent[2])
        if extra is not None:
            return f"{absent[1]}={absent[2]} is not installed; it comes with: pip install 'seqlab[{extra}]'"
    if not_interpolated := re.search(r"Environment variable '([^']+)' not found", text):
        return f"the environment variable {not_interpolated[1]} is not set, and the configuration needs it"
    return text


def _known_keys() -> list[str]:
    """The dotted keys of the default configuration."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("seqlab.conf", version_base="1.3"):
        plain = OmegaConf.to_container(hydra.compose("train"))
    assert isinstance(plain, dict)
    return list(dict(flatten({str(key): value for key, value in plain.items()})))
