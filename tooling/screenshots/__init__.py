"""``make screenshots``: what people see, made by a scripted browser on a fresh service."""
