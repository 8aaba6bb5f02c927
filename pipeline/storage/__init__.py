"""Access to files, local or on S3: absolute uris in, bytes and listings out.

Other rooms use the names below, as in `storage.read`.
"""

from .access import (
    Source,
    content_source,
    content_sources,
    create,
    exists,
    find,
    glob,
    is_folder,
    is_read_once,
    lies_beside,
    list_folder,
    names_below,
    on_disk,
    read,
    read_all,
    remove,
    stat,
    stat_all,
    upload,
    write,
)
from .failures import is_transient, reason
from .folders import (
    check_file,
    check_writable,
    folds_case,
    lies_where_case_folds,
    missing_folders,
    remove_empty,
    remove_empty_folders,
)
from .outline import is_outlined, outline_on_disk
from .sides import check_service, is_output, use
from .uris import SCHEMES, absolute, is_file_uri, join, parent, resolved, scheme

__all__ = [
    "SCHEMES",
    "Source",
    "absolute",
    "check_file",
    "check_service",
    "check_writable",
    "content_source",
    "content_sources",
    "create",
    "exists",
    "find",
    "folds_case",
    "glob",
    "is_file_uri",
    "is_folder",
    "is_outlined",
    "is_output",
    "is_read_once",
    "is_transient",
    "join",
    "lies_beside",
    "lies_where_case_folds",
    "list_folder",
    "missing_folders",
    "names_below",
    "on_disk",
    "outline_on_disk",
    "parent",
    "read",
    "read_all",
    "reason",
    "remove",
    "remove_empty",
    "remove_empty_folders",
    "resolved",
    "scheme",
    "stat",
    "stat_all",
    "upload",
    "use",
    "write",
]
