"""The guide's reference pages, made of the code: settings, command lines, HTTP. The guide's hooks put them in place.

Each module gives Markdown, and reads nothing but what is imported: no network, no files, no service that runs.
"""
