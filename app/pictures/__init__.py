"""The pictures of uploaded data sets: which there are, what they show, and where a person's picture is among them."""
