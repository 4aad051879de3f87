# SPDX-License-Identifier: GPL-3.0-or-later
"""What macOS's commands promise, as data: a script, the status it ends with, and what it says.

The same cases run against a simulated Mac (on Linux) and against the real commands (on macOS). A case that no source
confirms carries `unverified`: the fact sheets mark it [I], and the report counts it.
"""

from __future__ import annotations

from dataclasses import dataclass

from builderfleet.plugin_utils.questions.attribute import NO_BACKUP_VALUE

LABEL = "org.builderfleet.contract"
PLIST = f"/Library/LaunchDaemons/{LABEL}.plist"
USER, GROUP = "_builderfleet_contract", "builderfleet_contract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`out` and `err` are regular expressions for the whole text, `.` matching newlines. `before` and `after` prepare and
    clean up, and may fail. `mutates` keeps it off a real Mac unless that is asked for."""

    name: str
    script: str
    status: int = 0
    out: str = ""
    err: str = ""
    before: str = ""
    after: str = ""
    root: bool = False
    mutates: bool = False
    unverified: bool = False
    source: str = ""


def _job(program: str, *, more: str = "") -> str:
    """A script that writes the throw-away job."""
    keys = f"<key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>{program}</string></array>"
    text = f"<plist version='1.0'><dict><key>Label</key><string>{LABEL}</string>{keys}{more}</dict></plist>"
    return f'printf "%s" "{text}" > {PLIST}; chown root:wheel {PLIST}; chmod 644 {PLIST}\n'


_GONE = (
    f"launchctl bootout system/{LABEL} 2>/dev/null; n=0; while launchctl print system/{LABEL} >/dev/null 2>&1 && [ $n -lt 40 ];"
    f" do sleep 0.5; n=$((n + 1)); done; launchctl enable system/{LABEL}; rm -f {PLIST}\n"
)
_RUNS = "<key>RunAtLoad</key><true/>"
_LOADED = _job("sleep 60", more=_RUNS) + f"launchctl bootstrap system {PLIST}\n"
_IO_ERROR = "Bootstrap failed: 5: Input/output error\n.*"
_NOT_LOADED = rf'.*Could not find service "{LABEL}" in domain for system\n'

LAUNCHCTL = "macos_commands §2.1"


def launchctl(name: str, script: str, **more: object) -> Case:
    """A case with the throw-away job, cleaned up before and after."""
    before = _GONE + str(more.pop("before", ""))
    fields: dict[str, object] = {"root": True, "mutates": True, "after": _GONE, "source": LAUNCHCTL, **more}
    return Case(name=f"launchctl: {name}", script=script, before=before, **fields)  # type: ignore[arg-type]


ASKING = (
    Case(
        name="sw_vers",
        script="/usr/bin/sw_vers",
        out=r"ProductName:\t\tmacOS\nProductVersion:\t\t\d+\.\d+(\.\d+)?\n(ProductVersionExtra:.*\n)?BuildVersion:\t\t\w+\n",
        source="macos_commands §1",
    ),
    Case(name="sw_vers: one value", script="/usr/bin/sw_vers -productVersion", out=r"\d+\.\d+(\.\d+)?\n"),
    Case(name="uname", script="/usr/bin/uname -s", out="Darwin\n"),
    Case(name="uname: machine", script="/usr/bin/uname -m", out="(arm64|x86_64)\n"),
    Case(
        name="sysctl: values", script="/usr/sbin/sysctl -n hw.memsize hw.ncpu kern.hv_support", out=r"\d+\n\d+\n[01]\n"
    ),
    Case(
        name="sysctl: boot time",
        script="/usr/sbin/sysctl -n kern.boottime",
        out=r"\{ sec = \d+, usec = \d+ \} \w+ \w+ +\d+ [\d:]+ \d{4}\n",
    ),
    Case(
        name="sysctl: unknown oid",
        script="/usr/sbin/sysctl -n hw.ncpu no.such.oid",
        status=1,
        out=r"\d+\n",
        err="sysctl: unknown oid 'no.such.oid'\n",
        source="macos_commands §1",
    ),
    Case(name="fdesetup", script='/usr/bin/fdesetup isactive; echo "$?"', out=r"(true\n0|false\n1)\n"),
    Case(
        name="pmset: batteries",
        script="/usr/bin/pmset -g batt",
        out=r"Now drawing from '[^'\n]+'\n( -InternalBattery-\d+ \(id=\d+\)\t\d+%; [^\n]+ present: true\n)?( -[^\n]+\n)*",
        source="macos_commands §1",
    ),
    Case(name="tmutil: asking", script="/usr/bin/tmutil isexcluded /usr", out=r"\[(Included|Excluded)\] +/usr\n"),
    Case(
        name="launchctl: print of what is not loaded",
        script=f"/bin/launchctl print system/{LABEL}",
        status=113,
        err=rf"Bad request\.\n{_NOT_LOADED[2:]}",
        source=LAUNCHCTL,
    ),
    Case(name="launchctl: error", script="/bin/launchctl error 119", out="119: Service is disabled\n"),
    Case(name="launchctl: list", script="/bin/launchctl list | head -n 1", out="PID\tStatus\tLabel\n"),
    Case(
        name="launchctl: list of what is not loaded",
        script=f"/bin/launchctl list {LABEL}",
        status=113,
        err=r".*Could not find service.*\n",
    ),
    Case(
        name="launchctl: print-disabled",
        script="/bin/launchctl print-disabled system",
        out=r"\s*disabled services = (\{\n(\t+\"[^\"]+\" => (enabled|disabled|true|false)\n)*\t?\}|\(no disabled services\))\s*",
        root=True,
        source=LAUNCHCTL,
    ),
    Case(name="dscl: read", script="/usr/bin/dscl . -read /Users/root UniqueID", out="UniqueID: 0\n"),
    Case(
        name="dscl: a value with a space",
        script="/usr/bin/dscl . -read /Users/root RealName",
        out="RealName:\n System Administrator\n",
        source="macos_commands §3",
    ),
    Case(
        name="dscl: no such record",
        script="/usr/bin/dscl . -read /Users/_no_such_user",
        status=56,
        err=r".*DS Error: -14136 \(eDSRecordNotFound\)\n",
        source="macos_commands §3",
    ),
    Case(
        name="dscl: no such attribute",
        script="/usr/bin/dscl . -read /Users/root NoSuchKey",
        err="No such key: NoSuchKey\n",
        source="macos_commands §3",
    ),
    Case(name="dscl: list", script="/usr/bin/dscl . -list /Users UniqueID | grep -E '^root +0$'", out=r"root +0\n"),
    Case(
        name="dscl: plist",
        script="/usr/bin/dscl -plist . -read /Groups/wheel PrimaryGroupID",
        out=r".*<key>dsAttrTypeStandard:PrimaryGroupID</key>\s*<array>\s*<string>0</string>.*",
    ),
    Case(
        name="dseditgroup: a member",
        script="/usr/sbin/dseditgroup -o checkmember -m root wheel",
        out="yes root is a member of wheel\n",
        source="macos_commands §3",
    ),
    Case(
        name="dseditgroup: no member",
        script="/usr/sbin/dseditgroup -o checkmember -m nobody wheel",
        status=67,
        out="no nobody is NOT a member of wheel\n",
        source="macos_commands §3",
    ),
    Case(
        name="dseditgroup: no group",
        script="/usr/sbin/dseditgroup -o checkmember -m root nosuchgroup 2>&1",
        status=64,
        out="Group not found.\n",
        source="macos_commands §3",
    ),
    Case(
        name="diskutil: the root volume",
        script="/usr/sbin/diskutil info -plist / | /usr/bin/plutil -extract MountPoint raw -o - -",
        out="/\n",
    ),
    Case(
        name="diskutil: not found",
        script="/usr/sbin/diskutil info 'No Such Volume' 2>&1",
        status=1,
        out="Could not find disk: No Such Volume\n",
    ),
    Case(
        name="diskutil: not found, as a plist",
        script="/usr/sbin/diskutil info -plist 'No Such Volume'",
        status=1,
        out=r".*<key>Error</key>\s*<true/>.*Could not find disk: No Such Volume.*",
        source="macos_commands §4.1",
    ),
    Case(
        name="security: not found",
        script="/usr/bin/security find-generic-password -a nobody -s org.builderfleet.none /Library/Keychains/System.keychain",
        status=44,
        err=r"security: SecKeychainSearchCopyNext: The specified item could not be found in the keychain\.\n",
        source="macos_commands §4.2",
    ),
    Case(
        name="plutil: a good file",
        script="/usr/bin/plutil -lint /System/Library/LaunchDaemons/ssh.plist",
        out="/System/Library/LaunchDaemons/ssh.plist: OK\n",
        source="macos_commands §5",
    ),
    Case(
        name="plutil: a bad file, on standard output",
        script="echo '<plist><dict>' > /tmp/contract.plist; /usr/bin/plutil -lint /tmp/contract.plist",
        after="rm -f /tmp/contract.plist",
        status=1,
        out=r"/tmp/contract\.plist: .+\n",
        source="macos_commands §5",
    ),
    Case(
        name="plutil: a missing key, on standard output",
        script="/usr/bin/plutil -extract NoSuchKey raw -o - /System/Library/LaunchDaemons/ssh.plist",
        status=1,
        out=r".*Could not extract value, error: No value at that key path or invalid key path: NoSuchKey\n",
        source="macos_commands §5",
    ),
    Case(
        name="the root is read-only",
        script="LC_ALL=C touch /",
        status=1,
        err="touch: /: (Read-only file system|Operation not permitted)\n",
        root=True,
        source="simulated_mac §1",
    ),
    Case(name="/etc is a link", script="readlink /etc /tmp /var", out="private/etc\nprivate/tmp\nprivate/var\n"),
    Case(name="the group of root", script="stat -f '%Su:%Sg %Lp' /Library/LaunchDaemons", out="root:wheel 755\n"),
    Case(
        name="absent commands",
        script="PATH=/usr/bin:/bin:/usr/sbin:/sbin; for c in timeout nproc flock getent setsid systemctl tac; do type $c; done",
        status=1,
        out=r"(.*not found\n)*",
        err=r"(.*not found\n)*",
        source="macos_commands §6",
    ),
)

ATTRIBUTES = (
    Case(
        name="caffeinate ends with the process that it waits for",
        script="sleep 1 & /usr/bin/caffeinate -i -w $!; kill -0 $! 2>/dev/null || echo gone",
        out="gone\n",
        source="caffeinate(8)",
    ),
    Case(
        name="xattr: no such attribute",
        script="touch /tmp/c.$$; /usr/bin/xattr -p com.apple.quarantine /tmp/c.$$; s=$?; rm /tmp/c.$$; exit $s",
        status=1,
        err=r"xattr: /tmp/c\.\d+: No such xattr: com\.apple\.quarantine\n",
    ),
    Case(
        name="xattr: written and read as hexadecimal digits",
        script="c=/tmp/c.$$; touch $c; xattr -wx org.builderfleet 6162 $c; xattr -px org.builderfleet $c; rm $c",
        out=r"61 62 *\n",
    ),
    Case(
        name="tmutil: the attribute that leaves a directory out of backups",
        script="d=/var/tmp/contract.$$; mkdir $d; /usr/bin/xattr -wx com.apple.metadata:com_apple_backup_excludeItem"
        f" {NO_BACKUP_VALUE} $d; /usr/bin/tmutil isexcluded $d; rmdir $d",
        out=r"\[Excluded\] +/(private/)?var/tmp/contract\.\d+\n",
        unverified=True,
        source="drift D22",
    ),
)

USERLAND = tuple(
    Case(name=f"userland: {script}", script=script, status=status, out=out, err=err, source="macos_commands §6")
    for script, status, out, err in (
        ("echo ab > /tmp/c.$$; sed -i '' s/a/x/ /tmp/c.$$; cat /tmp/c.$$; rm /tmp/c.$$", 0, "xb\n", ""),
        ("printf 'a\\nb\\n' | sed -n -E 's/(a)/\\1\\1/p'", 0, "aa\n", ""),
        ("echo hello | base64", 0, "aGVsbG8K\n", ""),
        ("head -c 90 /dev/zero | base64 | wc -l", 0, " +1\n", ""),
        ("echo aGVsbG8K | base64 -D", 0, "hello\n", ""),
        ("date -u -r 0 +%Y-%m-%d", 0, "1970-01-01\n", ""),
        ("printf a | wc -c", 0, " +1\n", ""),
        ("mktemp -d -t contract | sed 's,.*/,,'", 0, r"contract\.\w+\n", ""),
        ("true | xargs echo", 0, "", ""),
        ("echo a | shasum -a 256", 0, "[0-9a-f]{64}  -\n", ""),
        ("printf 'b\\na\\n' | sort | tail -n 1", 0, "b\n", ""),
        ("id -u root; id -gn root", 0, "0\nwheel\n", ""),
        ("x=/tmp/c.$$; ln -s / $x; ln -sfh /usr $x; readlink $x; rm $x", 0, "/usr\n", ""),
        ("wc -c /nosuch", 1, "", ".+"),
        ("/sbin/md5 -q /nosuch", 1, "", ".+"),
        ("base64 /etc/hosts", 64, "", "base64: invalid argument /etc/hosts\n.*"),
        ("head -q /etc/hosts", 1, "", "head: (invalid|illegal) option -- q\n.*"),
        ("head -c 1k /etc/hosts", 1, "", "head: illegal byte count -- 1k\n.*"),
        ("echo x | sed '1a hello'", 1, "", ".*sed: .+"),
        ("echo x | sed -n '{p}'", 1, "", "sed: .*extra characters at the end of p command\n"),
        ("printf 'a\\n' | sed N", 0, "", ""),
        ("sed p /nosuch", 1, "", ".+"),
        ("stat -f %Mp%Lp /etc/hosts /tmp/.; stat -f %HT /dev/null", 0, "0644\n1777\nCharacter Device\n", ""),
        ("stat -f '%Lp %OLp' /tmp/. /dev/null; stat -n -f %Lp /tmp/.", 0, "777 777\n666 666\n777", ""),
        ("x=/tmp/c.$$; touch $x; chmod 7 $x; stat -f '%Lp %Mp%Lp' $x; rm -f $x", 0, "7 07\n", ""),
        ("stat -f %Lp /nosuch", 1, "", ".+"),
        ("ls /nosuch", 1, "", ".+"),
        ("x=/tmp/c.$$; head -c 512 /dev/zero > $x; ls -s $x | awk '{print $1 % 8}'; rm $x", 0, "0\n", ""),
        ("echo a | xargs false", 1, "", ""),
        ("true | xargs -r echo", 0, "", ""),
        ("install /nosuch /tmp/c.$$", 71, "", ".+"),
        ("mkdir", 64, "", "usage: mkdir .*"),
        ("rm", 64, "", "usage: rm .*"),
        ("x=/tmp/c.$$; touch $x; cp -n /etc/hosts $x; s=$?; rm $x; exit $s", 1, "", ".*"),
        ("chown 0.0 /nosuch", 1, "", "chown: 0.0: illegal user name\n"),
        ("expr length abc", 2, "", "expr: syntax error\n"),
        ("awk 'BEGIN{print 2147483648}'", 0, "2147483648\n", ""),
        ("awk 'BEGIN{print systime()}'", 2, "", ".*calling undefined function systime\n.*"),
        ("x=$(mktemp -p /tmp) && rm $x", 0, "", ""),
        ("ls -ldn /usr | awk '{print $1, $3}'", 0, r"d[rwx-]{9}@?\+? 0\n", ""),
    )
)

CHANGING = (
    launchctl("bootstrap and print", f"launchctl bootstrap system {PLIST} && launchctl print system/{LABEL}",
              before=_job("sleep 60", more=_RUNS),
              out=rf"system/{LABEL} = \{{\n\tactive count = \d\n\tpath = {PLIST}\n\ttype = LaunchDaemon\n\tstate = \w+\n.*"
              r"\targuments = \{\n\t\t/bin/sh\n\t\t-c\n\t\tsleep 60\n\t\}\n.*\tlast exit code = \(never exited\)\n.*"),
    launchctl("bootstrap of what is loaded", f"launchctl bootstrap system {PLIST}", before=_LOADED, status=5, err=_IO_ERROR),
    launchctl("bootstrap of a bad plist", f"launchctl bootstrap system {PLIST}", status=5, err=_IO_ERROR,
              before=f"echo nonsense > {PLIST}; chown root:wheel {PLIST}; chmod 644 {PLIST}\n"),
    launchctl("bootstrap of what others may write", f"launchctl bootstrap system {PLIST}", status=122, unverified=True,
              before=_job("sleep 60") + f"chmod 666 {PLIST}\n", err=".*Path had bad ownership/permissions\n"),
    launchctl("bootstrap of what is in quarantine", f"launchctl bootstrap system {PLIST}", status=155, unverified=True,
              before=_job("sleep 60") + f"xattr -wx com.apple.quarantine 303038313b {PLIST}\n", err=".*"),
    launchctl("bootstrap of no file", f"launchctl bootstrap system {PLIST}", status=2, unverified=True,
              err=".*No such file or directory\n"),
    launchctl("bootstrap of what is disabled", f"launchctl bootstrap system {PLIST}", status=119,
              before=_job("sleep 60") + f"launchctl disable system/{LABEL}\n", err=".*Service is disabled\n"),
    launchctl("disable shows", "launchctl print-disabled system", before=f"launchctl disable system/{LABEL}\n",
              out=rf'.*"{LABEL}" => (disabled|true)\n.*'),
    launchctl("bootout of what is not loaded", f"launchctl bootout system/{LABEL}", status=3,
              err="Boot-out failed: 3: No such process\n"),
    launchctl("bootout returns before the job is gone", f"launchctl bootout system/{LABEL} && launchctl print system/{LABEL}",
              before=_job("trap : TERM; sleep 3 &amp; wait; wait; sleep 2", more=_RUNS)
              + f"launchctl bootstrap system {PLIST}; sleep 1\n",
              out=r".*\tstate = SIGTERMed\n.*"),
    launchctl("bootout again", f"launchctl bootout system/{LABEL}; launchctl bootout system/{LABEL}", status=36,
              before=_job("trap : TERM; sleep 3 &amp; wait; wait; sleep 2", more=_RUNS)
              + f"launchctl bootstrap system {PLIST}; sleep 1\n",
              err="Boot-out failed: 36: Operation now in progress\n"),
    launchctl("kickstart of what is not loaded", f"launchctl kickstart -k system/{LABEL}", status=113,
              err=rf".*Could not find service \"{LABEL}\" in domain for system\n"),
    launchctl("kickstart", f"launchctl kickstart system/{LABEL}; sleep 1;"
              f" launchctl print system/{LABEL} | grep -E '^.(state|runs)'",
              before=_job("sleep 60") + f"launchctl bootstrap system {PLIST}\n", out="\tstate = running\n\truns = 1\n"),
    launchctl("the last exit", f"sleep 1; launchctl print system/{LABEL} | grep 'last exit'",
              before=_job("exit 3", more=_RUNS) + f"launchctl bootstrap system {PLIST}\n", out="\tlast exit code = 3\n"),
    launchctl("legacy load says no and ends with 0", f"launchctl load {PLIST}", before=_LOADED,
              err="Load failed: 5: Input/output error\n.*"),
    launchctl("kill and the signal", f"sleep 1; launchctl kill SIGKILL system/{LABEL}; sleep 1;"
              f" launchctl print system/{LABEL} | grep 'last terminating'", before=_LOADED,
              out="\tlast terminating signal = Killed: 9\n"),
    Case(
        name="dscl: a user's life", root=True, mutates=True,
        before=f"dscl . -delete /Users/{USER}",
        script=f"dscl . -create /Users/{USER} && dscl . -create /Users/{USER} UniqueID 499 &&"
        f" dscl . -create /Users/{USER} PrimaryGroupID 20 && id -u {USER} && dscl . -delete /Users/{USER} &&"
        f" dscl . -read /Users/{USER}",
        status=56, out="499\n", err=r".*\(eDSRecordNotFound\)\n", after=f"dscl . -delete /Users/{USER}",
    ),
    Case(
        name="dscl: deleting nobody", root=True, mutates=True, script=f"dscl . -delete /Users/{USER}",
        status=185, out="delete: Invalid Path\n", err=r".*-14009 \(eDSUnknownNodeName\)\n",
    ),
    Case(
        name="dscl: append and merge", root=True, mutates=True,
        before=f"dseditgroup -q -o create -i 498 {GROUP}", after=f"dscl . -delete /Groups/{GROUP}",
        script=f"for v in append append merge; do dscl . -$v /Groups/{GROUP} GroupMembership nobody; done;"
        f" dscl . -read /Groups/{GROUP} GroupMembership",
        out="GroupMembership: nobody nobody\n",
    ),
    Case(
        name="dscl: not for everybody", script=f"dscl . -create /Users/{USER}", status=40, mutates=True,
        err=r".*\(eDSPermissionError\)\n",
    ),
    Case(
        name="sfltool: a login item's disposition stands before its URL", root=True, mutates=True, unverified=True,
        before=_GONE + _LOADED, after=_GONE, source="macos_commands §8",
        script="sfltool dumpbtm | awk '/^ *Disposition: /{d = $0} /^ *URL: /{print d; print $0}' |"
        f" grep -B 1 -F 'URL: file://{PLIST}'",
        out=rf" +Disposition: \[enabled, allowed.*\] \(0x[0-9a-f]+\)\n +URL: file://{PLIST}\n",
    ),
)  # fmt: skip
