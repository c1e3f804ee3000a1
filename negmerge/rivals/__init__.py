"""The rivals, one file each: whatever a classifier can be made to forget with besides merging (``_base``)."""
