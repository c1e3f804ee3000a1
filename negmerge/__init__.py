"""NegMerge: machine unlearning by sign-consensual merging of fine-tuned models (arXiv 2410.05583).

Importing this package loads nothing heavy: ``errors``, ``progress``, ``spec``, ``data`` and ``formats`` stay free of
torch, so that the service's front door may use them.
"""

__version__ = "0.1.0"
