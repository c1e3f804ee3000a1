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
    rows = (top + torch.arange(height)).to(images.device, non_blocking=True)
    columns = (left + across).to(images.device, non_blocking=True)
    places = rows.unsqueeze(2) * padded.shape[-1] + columns.unsqueeze(1)
    kept = places.view(count, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, kept).view(images.shape)
