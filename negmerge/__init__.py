"""NegMerge: machine unlearning by sign-consensual merging of fine-tuned models (arXiv 2410.05583).

Importing this package loads nothing heavy: ``spec``, ``errors``, ``archives``, ``selection`` and ``headers``
stay free of torch, so that the service's front door may use them.
"""

__version__ = "0.1.0"
