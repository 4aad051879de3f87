# SPDX-License-Identifier: GPL-3.0-or-later
# The host's half: options that only reach the start script, and the script run-nixos-vm (linux_builder §1.4, §1.7).
{ config, lib, ... }:
let
  cfg = config.virtualisation;
  host = cfg.host.pkgs;
  toplevel = config.system.build.toplevel;
  option = type: default: lib.mkOption { inherit type default; };
  inherit (lib.types) anything bool enum ints listOf nullOr package port raw str submodule;

  endpoint = default: {
    address = option str default;
    port = lib.mkOption { type = port; };
  };
  forward = submodule {
    options = {
      from = option (enum [ "host" "guest" ]) "host";
      proto = option (enum [ "tcp" "udp" ]) "tcp";
      host = endpoint "";
      guest = endpoint "";
    };
  };
  forwarding = { from, proto, host, guest }:
    let
      outside = "${host.address}:${toString host.port}";
      inside = "${guest.address}:${toString guest.port}";
    in
    if from == "host" then "hostfwd=${proto}:${outside}-${inside},"
    else "'guestfwd=${proto}:${inside}-cmd:nc ${host.address} ${toString host.port}',";

  forwards = lib.concatMapStringsSep "" forwarding cfg.forwardPorts;

  arm = lib.hasPrefix "aarch64-" config.nixpkgs.hostPlatform;
  machine = if arm then "-machine virt,gic-version=2,accel=hvf:tcg" else "-machine type=q35,accel=hvf:tcg";
  screen =
    if arm then [ "-device virtio-gpu-pci" "-device usb-ehci,id=usb0" "-device usb-kbd" "-device usb-tablet" ]
    else [ "-usb" "-device usb-tablet,bus=usb-bus.0" ];
  console = if arm then "ttyAMA0,115200n8" else "ttyS0,115200n8";
  emulator = "${cfg.qemu.package}/bin/qemu-system-${if arm then "aarch64" else "x86_64"}";
  variable = lib.replaceStrings [ "-" "." ] [ "_" "_" ];
  image = if cfg.diskImage == null then "" else cfg.diskImage;
in
{
  options.virtualisation = {
    memorySize = option ints.positive 1024;
    diskSize = option ints.positive 1024;
    cores = option ints.positive 1;
    diskImage = option (nullOr str) "./${config.system.name}.qcow2";
    forwardPorts = option (listOf forward) [ ];
    host.pkgs = lib.mkOption { type = raw; };
    restrictNetwork = option bool false;
    graphics = option bool false;
    useHostCerts = option bool true;
    useNixStoreImage = option bool true;
    writableStore = option bool true;
    writableStoreUseTmpfs = option bool false;
    sharedDirectories = option anything { };
    qemu.options = option (listOf str) [ ];
    qemu.networkingOptions = option (listOf str) [ ];
    qemu.package = option package host.qemu;
  };

  config.virtualisation.qemu.networkingOptions = [
    "-net nic,netdev=user.0,model=virtio"
    "-netdev user,id=user.0,${forwards}${lib.optionalString cfg.restrictNetwork "restrict=on,"}\"$QEMU_NET_OPTS\""
  ];

  # The kernel is an option like any other: who forces this list has none.
  config.virtualisation.qemu.options = [ "-device virtio-keyboard" ] ++ screen ++ [
    "-kernel \${NIXPKGS_QEMU_KERNEL_${variable config.system.name}:-${toplevel}/kernel}"
    "-initrd ${toplevel}/initrd"
    ("-append \"$(cat ${toplevel}/kernel-params) init=${toplevel}/init regInfo=${toplevel}/registration"
      + " console=tty0 console=${console} $QEMU_KERNEL_PARAMS\"")
  ] ++ lib.optional (!cfg.graphics) "-nographic";

  config.system.build.vm = host.writeScriptBin {
    name = "nixos-vm";
    program = "run-${config.system.name}-vm";
    text = ''
      #!/bin/sh
      export PATH=${host.coreutils}/bin''${PATH:+:}$PATH
      set -e

      # Where nothing lies yet there is nothing to resolve.
      NIX_DISK_IMAGE=$(readlink -f "''${NIX_DISK_IMAGE:-${image}}") || test -z "$NIX_DISK_IMAGE"
      if test -n "$NIX_DISK_IMAGE" && ! test -e "$NIX_DISK_IMAGE"; then
        echo "There is no disk image yet, $NIX_DISK_IMAGE is made."
        raw=$(mktemp)
        ${host.qemu}/bin/qemu-img create -f raw "$raw" "${toString cfg.diskSize}M"
        ${host.e2fsprogs}/bin/mkfs.ext4 -L nixos "$raw"
        ${host.qemu}/bin/qemu-img convert -f raw -O qcow2 "$raw" "$NIX_DISK_IMAGE"
        rm "$raw"
        echo "The disk image is made."
      fi

      if [ -z "$TMPDIR" ] || [ -z "$USE_TMPDIR" ]; then
        TMPDIR=$(mktemp -d nix-vm.XXXXXXXXXX --tmpdir)
      fi

      # The store of the guest, made at every start; here its contents are only listed.
      echo ${toplevel} > "$TMPDIR/store.img"

      mkdir -p "$TMPDIR/xchg" "$TMPDIR/certs"
      if [ -e "$NIX_SSL_CERT_FILE" ]; then
        cp -L "$NIX_SSL_CERT_FILE" "$TMPDIR/certs/ca-certificates.crt"
      else
        echo "\$NIX_SSL_CERT_FILE should point to a valid file if the guest is to trust the host's certificates."
      fi

      cd "$TMPDIR"
      exec ${emulator} ${machine} -cpu max \
        -name ${config.system.name} \
        -m ${toString cfg.memorySize} \
        -smp ${toString cfg.cores} \
        -device virtio-rng-pci \
        ${lib.concatMapStringsSep " " (each: each) cfg.qemu.networkingOptions} \
        -virtfs local,path="$TMPDIR"/certs,security_model=none,mount_tag=certs \
        -virtfs local,path="$KEYS",security_model=mapped-xattr,mount_tag=keys \
        -virtfs local,path="''${SHARED_DIR:-$TMPDIR/xchg}",security_model=none,mount_tag=shared \
        -virtfs local,path="$TMPDIR"/xchg,security_model=none,mount_tag=xchg \
        -drive cache=writeback,file="$NIX_DISK_IMAGE",id=drive1,if=none,index=1,werror=report \
        -device virtio-blk-pci,bootindex=1,drive=drive1,serial=root \
        -drive file="$TMPDIR"/store.img,format=raw,id=drive2,if=none,index=2 \
        -device virtio-blk-pci,bootindex=2,drive=drive2 \
        ${lib.concatMapStringsSep " " (each: each) cfg.qemu.options} \
        $QEMU_OPTS \
        "$@"
    '';
  };
}
