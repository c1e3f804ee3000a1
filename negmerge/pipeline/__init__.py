"""A whole job in its steps, and what the references of a spec mean on this machine."""
