"""The heart: task vectors, exact accumulators, the merge methods, and the merge of files."""
