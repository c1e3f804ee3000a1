"""The page: what a person sees in a browser. Made here, and acting on the record, never by HTTP to itself."""
