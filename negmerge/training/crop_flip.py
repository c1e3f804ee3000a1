"""Random crops and flips, the usual augmentation of small images (He et al., CVPR 2016, §4.2)."""

import torch
from torch import Tensor


def crop_and_flip(
    images: Tensor, generator: torch.Generator, padding: int | None = None, *, flip: bool = True
) -> Tensor:
    """Cut each image anew from a frame of black pixels around it, and mirror every other one; uint8 [B, 3, S, S].

    padding: pixels of the frame on each side, by default an eighth of the image's side (4 of 32, as published).
    flip: False where a mirrored image means something else, as a digit's does. Everything random is drawn from the
    generator, on the CPU: which part, uniform, and whether mirrored, evenly.
    """
    count, channels, height, width = images.shape
    frame = height // 8 if padding is None else padding
    padded = torch.nn.functional.pad(images, [frame] * 4)
    top, left = torch.randint(2 * frame + 1, (2, count, 1), generator=generator)
    across = torch.arange(width).expand(count, width)
    if flip:
        mirrored = torch.randint(2, (count, 1), generator=generator).bool()
        across = torch.where(mirrored, across.flip(1), across)
    rows = top + torch.arange(height)
    columns = left + across
    rows, columns = rows.to(images.device), columns.to(images.device)
    image = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return padded[image, channel, rows.view(count, 1, -1, 1), columns.view(count, 1, 1, -1)]
