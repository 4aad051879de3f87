# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of `user_namespace.py`.

python -m tests.simulated_mac.rootless COMMAND ...      run a command where simulated Macs can be started
python -m tests.simulated_mac.rootless --as UID:FIRST:COUNT COMMAND ...
                                    as root: as that user, with COUNT subordinate ids from FIRST; for tests
"""

from __future__ import annotations

import sys

from .factory import cache
from .user_namespace import Ids, RootlessError, enter, requirements


def main() -> None:
    """The command line; see the module's docstring."""
    arguments, ids = sys.argv[1:], None
    if arguments[:1] == ["--as"]:
        uid, first, count = map(int, arguments[1].split(":"))
        ids, arguments = Ids(uid, uid, first, first, count), arguments[2:]
    if not arguments:
        sys.exit(__doc__)
    missing = [] if ids else requirements()
    if missing:
        sys.exit("\n".join(missing))
    try:
        enter(arguments, cache() / "labs/default", ids)
    except RootlessError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
