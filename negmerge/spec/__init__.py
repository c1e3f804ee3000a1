"""What a job is told, and what it answers with: the spec, its sweep, its result. pydantic only; no torch, no numpy."""
