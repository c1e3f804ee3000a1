"""The training loop that the rivals share: plain SGD over batches of uint8 images, as SalUn's public code has it."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from negmerge.decoding.dataset import Decoded
from negmerge.rivals._base import Task
from negmerge.training.batching import batch_sizes, batches, check_images, has_batch_norm
from negmerge.training.crop_flip import crop_and_flip
from negmerge.training.descent import Descent, Loss, as_they_are, nothing
from negmerge.training.feed import Feed


def constant(epoch: int) -> float:
    """The learning rate does not change."""
    return 1.0


def descend(
    task: Task,
    passes: Callable[[int], Iterator[Decoded]],
    loss: Loss = functional.cross_entropy,
    *,
    factor: Callable[[int], float] = constant,
    penalty: Callable[[float], Tensor] | None = None,
    after_step: Callable[[], None] = nothing,
) -> None:
    """Train the task's model in place: in each epoch, one shuffled pass over each of ``passes(epoch)``.

    factor: epoch, from 0 → factor of the learning rate. penalty: share of the training that is done, in [0, 1) by
    whole epochs → a term that is added to the loss. after_step: called after each update. Raises DivergedError where
    the loss is not finite, DataError where a pass has no image, or one alone for BatchNorm.
    """
    settings, model = task.settings, task.model
    alone = not has_batch_norm(model)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=model.device.type == "cuda",  # on a CPU it rounds otherwise, and a rival's bits would be others
    )
    an_epoch = 0
    for one in passes(0):
        check_images(model, one.images)
        an_epoch += len(batch_sizes(len(one.images), settings.batch_size, alone))
    augment = partial(crop_and_flip, generator=task.generator) if settings.crop_flip else as_they_are
    total = an_epoch * settings.epochs
    descent = Descent(
        model, task.head, optimizer, total, an_epoch, task.on_step, augment, task.precision, after_step=after_step
    )
    feed = Feed(model.device)
    model.tuned.train()
    for epoch in range(settings.epochs):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * factor(epoch)
        goal = loss if penalty is None else _with_penalty(loss, partial(penalty, epoch / settings.epochs))
        for samples in passes(epoch):
            order = list(batches(len(samples.images), settings.batch_size, 1, task.generator, alone))
            for batch in feed.batches(samples.images, samples.labels, order):
                descent.step(*batch, goal)
    descent.finish()


def _with_penalty(loss: Loss, penalty: Callable[[], Tensor]) -> Loss:
    return lambda logits, labels: loss(logits, labels) + penalty()


def always(samples: Decoded) -> Callable[[int], Iterator[Decoded]]:
    """One pass over the same samples in every epoch."""
    return lambda epoch: iter([samples])
