#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The emulator of the simulated Mac. Network, shares, memory, processors and the persistent disk are done as asked; the
# machine, the kernel and the system's image are those of the small guest; it has no screen, no keyboard and no USB.
debian=/.simulated-mac/debian/usr
guest=/.simulated-mac/guest
[ ! -e "$guest/current" ] || guest=$guest/current
[ -r "$guest/system.img" ] || {
  echo "qemu: wanted the guest's images in $guest, there are none: build them and start this simulated Mac again" >&2
  exit 1
}
read -r acceleration < "$guest/acceleration"
[ -w /dev/kvm ] || acceleration=tcg

# Each word of the command line is taken from the front and comes back, translated, at the end.
left=$#
while [ "$left" -gt 0 ]; do
  word=$1 value=${2-}
  shift
  left=$((left - 1))
  case $word in
    -machine | -kernel | -initrd | -append | -drive | -device)
      shift
      left=$((left - 1))
      ;;
  esac
  case $word in
    -machine)
      case $value in
        virt,*accel=hvf:tcg* | virt-*,*accel=hvf:tcg* | type=q35,*accel=hvf:tcg*) ;;
        *)
          echo "qemu: a simulated Mac has no machine '$value'" >&2
          exit 64
          ;;
      esac
      machine=$value
      set -- "$@" -machine "q35,accel=$acceleration"
      ;;
    -kernel | -initrd)
      [ -e "$value" ] || {
        echo "qemu: could not open $word '$value': No such file or directory" >&2
        exit 1
      }
      set -- "$@" "$word" "$guest/${word#-}"
      ;;
    -append)
      set -- "$@" -append "$value console=ttyS0 quiet mitigations=off cryptomgr.notests no_timer_check" ;;
    -drive)
      case $value in
        *store.img,format=raw,*) value="file=$guest/system.img,readonly=on,format=raw,${value#*,format=raw,}" ;;
      esac
      set -- "$@" -drive "$value"
      ;;
    -device)
      case $value in
        virtio-keyboard | virtio-gpu-pci | usb-*) ;;
        *) set -- "$@" -device "$value" ;;
      esac
      ;;
    -usb) ;;
    -smp)
      processors=${value%%,*}
      set -- "$@" "$word"
      ;;
    -nographic) set -- "$@" -nodefaults -no-user-config -display none -serial mon:stdio ;;
    *) set -- "$@" "$word" ;;
  esac
done

# QEMU's hw/arm/virt.c: an interrupt controller of version 2 serves 8 processors.
case ${machine-} in
  *gic-version=2*)
    [ "${processors:-1}" -le 8 ] || {
      echo "qemu-system-aarch64: Number of SMP CPUs requested ($processors) exceeds max CPUs supported by machine 'mach-virt' (8)" >&2
      exit 1
    }
    ;;
esac

# A guest whose memory was kept with the Mac's disk goes on where it was, once, if this is the machine that it was in.
kept=/.simulated-mac/world/guest control=/.simulated-mac/run/guest-$$
if [ -w "${control%/*}" ]; then
  printf '%s\n' "$@" > "$control.line"
  set -- "$@" -qmp "unix:$control.qmp,server=on,wait=off" -serial "unix:$control.serial,server=on,wait=off"
  if cmp -s "$kept/line" "$control.line"; then
    exec 9<"$kept/memory"
    set -- "$@" -incoming fd:9
  fi
  rm -rf "$kept"
fi

LD_LIBRARY_PATH=$debian/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$debian/lib/x86_64-linux-gnu/qemu
export LD_LIBRARY_PATH QEMU_MODULE_DIR
exec "$debian/bin/qemu-system-x86_64" -L "$debian/share/qemu" -L "$debian/share/seabios" \
  -global virtio-net-pci.romfile= "$@"
