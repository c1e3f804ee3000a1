"""The guide: what `make docs` built of docs/, served as it lies."""
