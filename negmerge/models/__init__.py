"""Networks: open_clip's in the zero-shot setting and timm's classifiers, behind one interface."""
