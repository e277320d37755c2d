"""farmctl's verbs, a file for each kind; each file's `add` tells the parser about them.

Nothing is imported before it is needed, neither asyncio nor, for `--json`, rich: farmctl starts fast.
"""
