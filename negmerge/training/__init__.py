"""Fine-tuning one point: the loop, the order of the samples, the augmentations."""
