"""Boundary shrink: each forgotten sample is moved into the class next to it (Chen et al., CVPR 2023, arXiv 2303.11570).

x' = x + ε sign(∇ₓ L(x, y; θ₀)), the nearest wrong class is the likeliest at x' by θ₀ other than y itself, and the model
is fine-tuned on the forget set with these labels. strength: ε, in units of the pixel range [0, 1] (0.1, as in SalUn's
public code); x' is clipped to that range. That code takes the likeliest class whichever it is, so that a sample whose
class holds at x' keeps its label, rounds x' to 8 bits, and looks at each random crop anew; here, as in the paper,
the class is a wrong one, and it is found once, from the image as it is.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from negmerge.decoding.dataset import Decoded
from negmerge.rivals._base import Settings, Task
from negmerge.rivals._sgd import always, descend
from negmerge.spec.rivals import SGD

DEFAULTS = Settings(strength=0.1)
READS = SGD | {"strength"}


def unlearn(task: Task) -> None:
    """Cross entropy on the forget set with the labels of the nearest wrong classes."""
    descend(task, always(nearest_wrong(task)))


def nearest_wrong(task: Task) -> Decoded:
    """The forget set with its new labels, by the model as it stands, which is θ₀."""
    samples, model = task.forget, task.model
    model.module.eval()
    found = []
    for chosen in torch.split(torch.arange(len(samples.images)), task.settings.batch_size):
        labels = samples.labels[chosen].to(model.device)
        images = samples.images[chosen].to(model.device).to(torch.float32).div(255).requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(_logits(task, images), labels), images)
        with torch.no_grad():
            moved = (images + task.settings.strength * gradient.sign()).clamp(0, 1)
            scores = _logits(task, moved).scatter(1, labels[:, None], -torch.inf)
            found.append(scores.argmax(dim=1).cpu())
        task.on_step(0, 1, None)
    return replace(samples, labels=torch.cat(found))


def _logits(task: Task, images: Tensor) -> Tensor:
    """Logits of images in [0, 1], which the model normalises itself."""
    preprocess = task.model.preprocess
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (preprocess.mean, preprocess.std))
    logits: Tensor = task.model.module((images - mean) / std)
    return logits
