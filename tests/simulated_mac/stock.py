# SPDX-License-Identifier: GPL-3.0-or-later
"""The text files of a Mac as it leaves the factory: plausible text of our own, with the lines that matter.

The last part is what Debian's programs need and no Mac has; it is no part of what is compared.
"""

from __future__ import annotations

SUDOERS_MODE = 0o440

_ETC = {
    "shells": "# Shells that a user may choose.\n\n/bin/bash\n/bin/csh\n/bin/dash\n/bin/ksh\n/bin/sh\n/bin/tcsh\n/bin/zsh\n",
    "profile": 'if [ -x /usr/libexec/path_helper ]; then\n\teval "$(/usr/libexec/path_helper -s)"\nfi\n\n'
    'if [ "${BASH-no}" != "no" ]; then\n\t[ -r /etc/bashrc ] && . /etc/bashrc\nfi\n',
    "bashrc": "# For interactive bash.\n[ -z \"$PS1\" ] && return\nPS1='\\h:\\W \\u\\$ '\nshopt -s checkwinsize\n",
    "zprofile": "# For login zsh.\nif [ -x /usr/libexec/path_helper ]; then\n\teval `/usr/libexec/path_helper -s`\nfi\n",
    "zshrc": "# For interactive zsh.\nHISTFILE=${ZDOTDIR:-$HOME}/.zsh_history\nHISTSIZE=2000\nSAVEHIST=1000\n\nsetopt BEEP\n"
    'PS1="%n@%m %1~ %# "\n',
    "paths": "/usr/local/bin\n/System/Cryptexes/App/usr/bin\n/usr/bin\n/bin\n/usr/sbin\n/sbin\n",
    "newsyslog.conf": "# logfilename          [owner:group]    mode count size when  flags [/pid_file] [sig_num]\n"
    "/var/log/install.log\t\t\t640  5\t   1000\t*     J\n",
    "ssh/ssh_config": "# System-wide settings for the OpenSSH client.\n\n"
    "Include /etc/ssh/ssh_config.d/*\n\nHost *\n    SendEnv LANG LC_*\n",
    "ssh/ssh_config.d/100-macos.conf": "# Shipped with macOS.\nHost *\n    SendEnv LANG LC_*\n",
    "ssh/sshd_config": "# System-wide settings for the OpenSSH server.\n"
    "Include /etc/ssh/sshd_config.d/*\nSubsystem\tsftp\t/usr/libexec/sftp-server\n",
    # macOS's sudo keeps HOME (macos_commands §6)
    "sudoers": 'Defaults env_reset\nDefaults !admin_flag\nDefaults env_keep += "LANG LANGUAGE LC_ALL LC_CTYPE TZ"\n'
    'Defaults env_keep += "HOME MAIL"\n'
    "Defaults timestamp_type=tty\n\nroot\t\tALL = (ALL) ALL\n%admin\t\tALL = (ALL) ALL\n\n@includedir /private/etc/sudoers.d\n",
    "sudoers.d/admin": "admin ALL = (ALL) NOPASSWD: ALL\n",
}

_PERMITTED = "account required pam_permit.so\nsession required pam_permit.so\n"
_DEBIANS = {
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
    "pam.d/sudo": "auth required pam_unix.so\n" + _PERMITTED,
    "pam.d/sudo-i": "auth required pam_unix.so\n" + _PERMITTED,
    "pam.d/su": "auth sufficient pam_rootok.so\nauth required pam_unix.so\n" + _PERMITTED,
    "services": "ssh\t22/tcp\n",
    "protocols": "tcp\t6\tTCP\nudp\t17\tUDP\n",
    "resolv.conf": "",
}

PRIVACY_DATABASE = "SQLite format 3\0" + 84 * "\0"  # the size of its header, as far as anybody here looks

FILES = {
    **{f"private/etc/{name}": text for name, text in {**_ETC, **_DEBIANS}.items()},
    "Library/Application Support/com.apple.TCC/TCC.db": PRIVACY_DATABASE,
}

NOT_OF_A_MAC = frozenset(f"/private/etc/{name}" for name in _DEBIANS)
