"""The formats of weights files and of models' configs, judged byte by byte before anything is trusted. No torch."""
