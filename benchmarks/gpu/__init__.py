"""``make gpu``: the GPU-marked tests and a table of speeds on one device, in eight minutes, from a plain checkout."""
