"""Batches that do not fit into memory: what is kept is counted, parts add up to the whole, a real lack is survived."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from negmerge.models.loading import load_model
from negmerge.models.network import Network
from negmerge.spec.sweep import HyperParameters, RandAugment
from negmerge.training.fine_tune import Tuned, fine_tune
from negmerge.training.fitting import Fit, fit, kept_for_backward, out_of_memory
from tests.support import pico, pico_timm
from tests.support.states import same

pytestmark = pytest.mark.slow

PLENTY = 1 << 40
LIMIT = 640 << 20  # bytes; half of the images need 580 MB, all of them more than 680
HYPER = HyperParameters(learning_rate=1e-3, epochs=2, batch_size=16, randaugment=RandAugment(magnitude=5, operations=1))

SHORT_OF_MEMORY = """
import logging, resource, sys
import torch
from negmerge.models.loading import load_model
from negmerge.spec.sweep import HyperParameters
from negmerge.training.fine_tune import fine_tune
from tests.support import pico

logging.basicConfig(format="%(message)s", stream=sys.stdout)
model = load_model(sys.argv[1])
head = model.head(list(pico.CLASS_WORDS), pico.TEMPLATES)
images, labels = pico.image_tensor(per_class=100)
images, labels = images.repeat(24, 1, 1, 1), labels.repeat(24)
hyper = HyperParameters(learning_rate=1e-3, epochs=1, batch_size=len(labels))
plenty = fine_tune(model, images[:8], labels[:8], head, hyper, 0, room=1 << 40)  # all threads and pools are there now
whole = fine_tune(model, images, labels, head, hyper, 0, room=1 << 40) if len(sys.argv) == 2 else None
if whole is None:
    taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]),) * 2)
    whole = fine_tune(model, images, labels, head, hyper, 0, room=1 << 40)
print("loss", whole.loss)
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load_model(pico.make_model(tmp_path_factory.mktemp("clip") / "model"))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load_model(
        pico_timm.write_folder(tmp_path_factory.mktemp("resnet") / "model", pico_timm.CONFIGS["resnet18"])
    )


def head_of(model: Network) -> Tensor:
    return model.outputs(list(pico.CLASS_WORDS), list(pico.CLASS_WORDS), list(pico.TEMPLATES)).head


def tune(model: Network, room: int | None = None) -> Tuned:
    images, labels = pico.image_tensor(per_class=8)
    return fine_tune(model, images, labels, head_of(model), HYPER, seed=3, room=room)


def needed(model: Network, count: int) -> int:
    """Bytes with which ``count`` images fit at once, and one more does not."""
    images, _ = pico.image_tensor(per_class=8)
    for_one = round(1.5 * kept_for_backward(model, images[:2], head_of(model)) / 2)
    return 16 * sum(parameter.numel() for parameter in model.parameters()) + count * for_one


def test_what_autograd_keeps_grows_with_the_images(clip: Network) -> None:
    images, _ = pico.image_tensor(per_class=8)
    two, eight = (kept_for_backward(clip, images[:count], head_of(clip)) for count in (2, 8))
    assert 3.5 * two < eight < 4.5 * two


@pytest.mark.parametrize(("count", "found"), [(1, 1), (5, 5), (15, 15), (16, None), (99, None)])
def test_so_many_images_go_at_once_as_there_is_room_for(clip: Network, count: int, found: int | None) -> None:
    images, _ = pico.image_tensor(per_class=8)
    assert fit(clip, images, head_of(clip), batch=16, room=needed(clip, count)) == Fit(found)


def test_with_next_to_no_room_it_is_one_image(clip: Network) -> None:
    images, _ = pico.image_tensor(per_class=8)
    assert fit(clip, images, head_of(clip), batch=16, room=0) == Fit(1)


def test_with_batch_norm_inner_results_are_computed_twice_and_the_batch_stays_whole(resnet: Network) -> None:
    images, _ = pico.image_tensor(per_class=8)
    assert fit(resnet, images, head_of(resnet), batch=16, room=0) == Fit(again=True)


def test_parts_add_up_to_what_the_whole_batch_learns(clip: Network, caplog: pytest.LogCaptureFixture) -> None:
    whole, parts = tune(clip, PLENTY), tune(clip, needed(clip, 5))
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    way = sum(float((whole.state[name] - clip.base[name]).square().sum()) for name in clip.names) ** 0.5
    apart = sum(float((whole.state[name] - parts.state[name]).square().sum()) for name in clip.names) ** 0.5
    assert apart < 0.01 * way
    assert "16 images do not fit into memory: they are trained on 5 at a time" in caplog.text


def test_inner_results_computed_twice_are_the_same_bits(resnet: Network) -> None:
    whole, again = tune(resnet, PLENTY), tune(resnet, room=0)
    assert same(whole.state, again.state)
    assert whole.loss == again.loss


def test_looking_for_room_changes_no_bit_of_what_is_learnt(resnet: Network) -> None:
    """The statistics that looking moves are put back, and the buffers are the base model's afterwards."""
    assert same(tune(resnet).state, tune(resnet, PLENTY).state)
    assert same(dict(resnet.module.state_dict()), dict(resnet.original))


def test_only_a_lack_of_memory_is_one() -> None:
    with pytest.raises(RuntimeError) as lack:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(lack.value)
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_real_lack_of_memory_halves_the_batch_and_training_goes_on(tmp_path: Path) -> None:
    """12,000 images in a process that may take so many bytes that half of them fit, and not all."""
    folder = str(pico.make_model(tmp_path / "model"))
    plenty, short = (
        subprocess.run(
            [sys.executable, "-c", SHORT_OF_MEMORY, folder, *limit], capture_output=True, text=True, check=True
        ).stdout
        for limit in ([], [str(LIMIT)])
    )
    assert "out of memory: images are trained on 6000 at a time from step 1 on" in short
    losses = [float(out.split("loss ")[1]) for out in (plenty, short)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
