"""Data sets as files: archives, folders, published layouts; which sample is in which part. No torch."""
