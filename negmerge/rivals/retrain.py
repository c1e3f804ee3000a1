"""Retraining from scratch on what stays: the reference that every unlearning method is compared with.

The recipe is that of SalUn's public code (Fan et al., ICLR 2024): SGD with momentum 0.9, weight decay 5e-4, batch 256,
182 epochs, the learning rate 0.1 cut to a tenth at a half and at three quarters of them; random crops and flips.
"""

import torch

from negmerge import classifiers
from negmerge.batching import batches, has_batch_norm
from negmerge.crop_flip import crop_and_flip
from negmerge.rival import Settings, Task

DEFAULTS = Settings(learning_rate=0.1, epochs=182, batch_size=256)


def unlearn(task: Task) -> None:
    """Train fresh random weights of the same architecture on the retain set."""
    settings, model, samples = task.settings, task.model, task.retain
    model.load_state(classifiers.build(model.config).state_dict())  # from the generators that the seed has set
    model.tuned.train()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    count, alone = len(samples.images), not has_batch_norm(model)
    order = list(batches(count, settings.batch_size, settings.epochs, task.generator, alone))
    for step, chosen in enumerate(order):
        epoch = step * settings.epochs // len(order)
        rate = settings.learning_rate * 0.1 ** ((2 * epoch >= settings.epochs) + (4 * epoch >= 3 * settings.epochs))
        optimizer.param_groups[0]["lr"] = rate
        images = samples.images[chosen]
        if settings.crop_flip:
            images = crop_and_flip(images, task.generator)
        logits = model.logits(images, task.head)
        loss = torch.nn.functional.cross_entropy(logits, samples.labels[chosen].to(model.device))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([loss])
        optimizer.step()
        task.on_step(step + 1, len(order), float(loss.detach()))
