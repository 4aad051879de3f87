# SPDX-License-Identifier: GPL-3.0-or-later
"""Which commands a simulated Mac has, and what stands behind each: an allow-list.

What is not here is absent, as timeout, sha256sum, nproc, getent, flock, setsid, realpath and systemctl are on a Mac
(`macos_commands §6`).
"""

from __future__ import annotations

# Real programs, whose used part is the same on a Mac: directory of the Mac -> names (NAME or NAME=NAME ON DEBIAN)
REAL = {
    "bin": "bash [ dash ed=/none echo kill pwd stty test",
    "sbin": "",
    "usr/bin": (
        "awk=original-awk basename clear cksum comm curl dirname expand false fold getconf gunzip gzip join less killall login"
        " logger nice nl nohup openssl paste patch perl pgrep pkill printf scp sftp shasum ssh ssh-add ssh-agent"
        " ssh-keygen ssh-keyscan su sudo time true tty uptime vim who whoami xxd yes zcat file ldd=/none"
    ),
    "usr/sbin": "lsof visudo",
}

# Tools that are the same but for GNU's additions: path -> (options, options with a value) that macOS's have as well.
# Every other option is refused.
STRICT = {
    "bin/cat": ("benstuv", ""),
    "bin/dd": ("", ""),
    "bin/hostname": ("fs", ""),
    "bin/mv": ("finv", ""),
    "bin/rmdir": ("p", ""),
    "bin/sync": ("", ""),
    "bin/ps": ("ACEMSTXacefhjlmrvwxdLZ", "pouUgGtO"),
    "bin/unlink": ("", ""),
    "bin/link": ("", ""),
    "sbin/ping": ("noq", "cWtis"),
    "usr/bin/cmp": ("lsz", ""),
    "usr/bin/cut": ("ns", "bcdf"),
    "usr/bin/diff": ("abBcdeilnNpqrstuwy0123456789", "UCxISL"),
    "usr/bin/du": ("HLPachknsx", "dBIt"),
    "usr/bin/egrep": ("chilnoqsvwxHLrz", "efmABC"),
    "usr/bin/fgrep": ("chilnoqsvwxHLrz", "efmABC"),
    "usr/bin/grep": ("EFGHILORSUabchilnoqrsvwxyz", "efmABC"),
    "usr/bin/id": ("AFGMPagnpru", ""),
    "usr/bin/mkfifo": ("", "m"),
    "usr/bin/od": ("bcdosvx", "ANjt"),
    "usr/bin/hexdump": ("Cbcdovx", "efns"),
    "usr/bin/readlink": ("fn", ""),
    "usr/bin/rev": ("", ""),
    "usr/bin/seq": ("w", "fst"),
    "usr/bin/sort": ("CMRVbcdfghimnrsuz", "ktoST"),
    "usr/bin/split": ("d", "abln"),
    "usr/bin/tee": ("ai", ""),
    "usr/bin/tr": ("Ccdsu", ""),
    "usr/bin/uniq": ("cdiu", "fs"),
    "usr/bin/which": ("as", ""),
    "usr/bin/chgrp": ("HLPRfhnvx", ""),
}

# Tools whose options differ in meaning: path -> file in userland/
TRANSLATED = {
    "bin/chmod": "chmod.sh",
    "bin/cp": "cp.sh",
    "bin/date": "date.sh",
    "bin/expr": "expr.sh",
    "bin/ln": "ln.sh",
    "bin/ls": "ls.sh",
    "bin/mkdir": "mkdir.sh",
    "bin/rm": "rm.sh",
    "bin/sleep": "sleep.sh",
    "sbin/md5": "md5.sh",
    "usr/bin/base64": "base64.sh",
    "usr/bin/env": "env.sh",
    "usr/bin/find": "find.sh",
    "usr/bin/head": "head.sh",
    "usr/bin/install": "install.sh",
    "usr/bin/mktemp": "mktemp.sh",
    "usr/bin/sed": "sed.sh",
    "usr/bin/stat": "stat.sh",
    "usr/bin/tail": "tail.sh",
    "usr/bin/tar": "tar.sh",
    "usr/bin/touch": "touch.sh",
    "usr/bin/wc": "wc.sh",
    "usr/bin/xargs": "xargs.sh",
    "usr/sbin/chown": "chown.sh",
}

_APFS_UTIL = "System/Library/Filesystems/apfs.fs/Contents/Resources/apfs.util"

# Doubles: path -> module in doubles/
DOUBLES = {
    "bin/df": "df",
    "bin/launchctl": "launchctl",
    "bin/wait4path": "wait4path",
    "sbin/mount": "mount",
    _APFS_UTIL: "apfs_util",
    "usr/bin/arch": "arch",
    "usr/bin/caffeinate": "caffeinate",
    "usr/bin/chflags": "chflags",
    "usr/bin/dscl": "dscl",
    "usr/bin/fdesetup": "fdesetup",
    "usr/bin/plutil": "plutil",
    "usr/bin/pmset": "pmset",
    "usr/bin/profiles": "profiles",
    "usr/bin/python3": "python3",
    "usr/bin/security": "security",
    "usr/bin/sfltool": "sfltool",
    "usr/bin/sw_vers": "sw_vers",
    "usr/bin/tmutil": "tmutil",
    "usr/bin/uname": "uname",
    "usr/bin/xattr": "xattr",
    "usr/bin/xcode-select": "xcode_select",
    "usr/libexec/path_helper": "path_helper",
    "usr/sbin/diskutil": "diskutil",
    "usr/sbin/dseditgroup": "dseditgroup",
    "usr/sbin/newsyslog": "newsyslog",
    "usr/sbin/softwareupdate": "softwareupdate",
    "usr/sbin/sysctl": "sysctl",
    "usr/sbin/systemsetup": "systemsetup",
}
