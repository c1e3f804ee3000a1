"""Folders of Hugging Face transformers: what their configs mean for open_clip and timm, tensor by tensor. No torch."""
