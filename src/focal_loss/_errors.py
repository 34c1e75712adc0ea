"""What the command says in one line before it ends with status 2."""


class UserError(Exception):
    """Something that whoever typed the command can mend."""
