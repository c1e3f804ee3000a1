"""The paper's experiments: job specs at full size, and small ones that run here (``make experiments``)."""
