"""Stored objects: a folder or S3 behind one interface, their collection, and indexes of data sets."""
