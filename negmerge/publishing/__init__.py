"""A finished model on its way out: to a hub, into a registry, into another format."""
