"""What a job's files are called: the paths of those that the service and its workers both need."""

UNLEARNED = "unlearned/"
"""The folder of the unlearned model, which its library loads."""
UNLEARNED_THEIRS = "unlearned-hf/"
"""The same in the layout of transformers, where the base model came in one."""
TASK_VECTOR = "merged/task_vector.safetensors"
"""τ*, float32."""
BASE = "merged/base.safetensors"
"""θ₀ of the tensors that take part, in their own types: with τ* and the unlearned model it makes any other scale."""
RESULT = "result.json"


def at_scale(name: str, scale: float | None) -> str:
    """What a file with weights is called at another λ than the job's: ``model-scale-0.6.safetensors``."""
    if scale is None:
        return name
    stem, dot, ending = name.rpartition(".")
    return f"{stem}-scale-{repr(scale + 0.0).removesuffix('.0')}{dot}{ending}"  # −0.0 is 0.0
