"""What a job's files are called: the paths of those that the service and its workers both need."""

UNLEARNED = "unlearned/"
"""The folder of the unlearned model, which its library loads."""
TASK_VECTOR = "merged/task_vector.safetensors"
"""τ*, float32."""
BASE = "merged/base.safetensors"
"""θ₀ of the tensors that take part, in their own types: with τ* and the unlearned model it makes any other scale."""
RESULT = "result.json"
