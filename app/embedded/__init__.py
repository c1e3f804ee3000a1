"""`python -m app up`: broker, API and workers as children of one process."""
