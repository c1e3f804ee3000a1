"""The linearised mode of the zero-shot setting: a CLIP whose image tower is its own first-order expansion around θ₀.

f(x; θ) ≈ f(x; θ₀) + J(x; θ₀) (θ − θ₀): fine-tuning, merging and λ work as ever, and task vectors then interfere less
(Ortiz-Jimenez et al., "Task Arithmetic in the Tangent Space", NeurIPS 2023, arXiv 2305.12827; NegMerge reports its
CLIP figures in this mode too). What is measured is the expansion: the unlearned weights give these figures only
together with θ₀, not when they are loaded as an ordinary model.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, jvp
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from negmerge.models.network import check_fit
from negmerge.models.zero_shot import ZeroShotModel

_TOWER = "visual."


class LinearisedModel(ZeroShotModel):
    """A CLIP by its expansion. The tower always computes at θ₀, in eval mode; its parameters hold θ.

    around: θ₀, where ``original`` is another model of the same architecture, to be measured by its expansion.
    """

    is_expansion = True

    def __init__(
        self,
        module: torch.nn.Module,
        config: dict[str, Any],
        original: Mapping[str, Tensor],
        device: str,
        beside: Mapping[str, Path] | None = None,
        around: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(module, config, original, device, beside)
        if around is not None:
            check_fit(around, self.original)
        theta_0 = self.original if around is None else around
        self._theta_0 = {name: theta_0[name].to(self.device, torch.float32) for name in self.names}

    @property
    def tuned(self) -> torch.nn.Module:
        """Nothing: an expansion has no dropout, and takes BatchNorm's statistics as they are."""
        return torch.nn.Module()

    def logits(self, images: Tensor, head: Tensor) -> Tensor:
        """Normalised features of the expansion · head; float32, outside autocast."""
        pixels = self.pixels(images)
        deltas = {
            name.removeprefix(_TOWER): parameter - self._theta_0[name]
            for name, parameter in zip(self.names, self.parameters(), strict=True)
        }
        theta_0 = {name.removeprefix(_TOWER): tensor for name, tensor in self._theta_0.items()}

        def features(parameters: dict[str, Tensor]) -> Tensor:
            found = functional_call(self.module.visual, parameters, (pixels,))
            pooled: Tensor = found[0] if isinstance(found, tuple) else found  # a CoCa's tower gives its tokens too
            return pooled.to(torch.float32)

        with torch.autocast(self.device.type, enabled=False), _forward_derivatives():
            expansion: list[Tensor] = list(jvp(features, (theta_0,), (deltas,)))
            return functional.normalize(expansion[0] + expansion[1], dim=-1) @ head.to(self.device).T


@contextmanager
def _forward_derivatives() -> Iterator[None]:
    """Attention by plain operations, since the fast kernels have no forward derivative.

    And without the warning that torch gives of a part of its own, where it derives forwards for the first time.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
