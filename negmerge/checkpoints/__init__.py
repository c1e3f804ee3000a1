"""Weights in and out: safetensors files, one or sharded, whole or in pieces, written atomically."""
