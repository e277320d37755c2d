"""What can go wrong in the lab."""


class LabError(Exception):
    """The lab cannot do what was asked; the text is one plain sentence for the person at the terminal."""
