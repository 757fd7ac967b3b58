"""Codecs: values and errors to JSON and back, exact in value and type."""

from .canonical import canonical, differences, fingerprint_inputs
from .codec import decode, encode, load
from .error_reading import error_or_stand_in, raised_error
from .errors import encode_error
from .files import File, Files, FilesInUse, files_in
from .placeholders import Redacted, Unstored
from .preview import preview
from .register import register_codec, register_error
from .signed_pickle import encode_signed
from .tagged import Blobs, Encoded

__all__ = [
    "Blobs",
    "Encoded",
    "File",
    "Files",
    "FilesInUse",
    "Redacted",
    "Unstored",
    "canonical",
    "decode",
    "differences",
    "encode",
    "encode_error",
    "encode_signed",
    "error_or_stand_in",
    "files_in",
    "fingerprint_inputs",
    "load",
    "preview",
    "raised_error",
    "register_codec",
    "register_error",
]
