"""Losses under the names and calls of other libraries, a module for each: change the import and keep the call.

They are thin over the functions of `focal_loss.torch`. Where a library is wrong, or NaN, these are right;
`docs/coming_from/README.md` says where values differ.
"""
