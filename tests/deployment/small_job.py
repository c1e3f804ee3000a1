"""What ``check_extras.sh`` tries an installation with, in the folder that it is run in; it needs the base alone.

Three files to merge, a checkpoint of torch.save, and a job over a few pictures.
"""

import json
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import save_file

CLASSES = ("dark", "bright")

if __name__ == "__main__":
    for name, values in {"base": [1.0, 1.0], "a": [1.5, 0.5], "b": [1.5, 1.5]}.items():
        save_file({"w": torch.tensor(values)}, f"{name}.safetensors")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18", num_classes=len(CLASSES)).state_dict(), "checkpoint.pth")
    for level, name in enumerate(CLASSES):
        folder = Path("pictures") / name
        folder.mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (32, 32), (level * 128 + number,) * 3).save(folder / f"{number}.png")
    spec = {
        "base_model": {"family": "timm", "weights": "model"},
        "forget": {"uri": "pictures", "select": {"classes": ["dark"]}},
        "retain": {"uri": "pictures"},
        "sweep": {"points": [{"learning_rate": 1e-4, "epochs": 2, "batch_size": 8}]},
    }
    Path("job.json").write_text(json.dumps(spec))
