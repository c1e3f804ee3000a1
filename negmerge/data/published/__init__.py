"""Published data sets by name, from a root where the operator has put their files. Nothing is downloaded. No torch.

``catalog`` says which names there are, which files each needs and where they come from; ``words`` what the classes are
called in prompts; ``reading`` turns files into an index and images. The splits, words and templates are those of
"Editing Models with Task Arithmetic" (Ilharco et al., ICLR 2023: github mlfoundations/task_vectors, ``src/datasets``
and its issue 1), which the released CLIP code of NegMerge goes by; docs/data-sets.md tells what differs.
"""
