"""From pictures to pixels: each image is decoded once, as the model's own library prepares it."""
