"""The napari plugin: a panel that previews and restores a layer; docs/how-to/napari.md.

The window's process loads no PyTorch: `compute` is a process of its own, which the panel talks to
by `messages`. So the window never waits for a library, and any work can be ended at once.
"""
