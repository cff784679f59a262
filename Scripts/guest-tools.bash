# For scripts that boot guests; sourced. Sets top, guest and program, and work, a folder that is gone at
# the end, unless keep is set, together with the processes in pids. Needs .guest/ with --with nvme.

top=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
guest=$top/.guest
# VFIO_USER=/path/to/vfio-user uses that program.
program=${VFIO_USER:-$top/.build/release/vfio-user}
tools=$guest/guestroot/usr
libraries=$tools/lib/x86_64-linux-gnu

source "$top/Scripts/printing.bash"
die() {
  echo "${0##*/}: $*" >&2
  [[ ! -s ${work-}/log ]] || { echo "What the programs said:"; cat "$work/log"; } >&2
  exit 1
}

[[ -x $program ]] || die "$program is missing: run make build"
[[ -x $guest/qemu-system-x86_64 && -r $guest/vmlinuz && -x $guest/busybox && -d $tools ]] ||
  die "$guest is not complete: run Scripts/fetch-guest --with nvme"

pids=()
work=$(mktemp -d /tmp/vfio-user-guest.XXXXXX)
cleanup() {
  ((${#pids[@]} == 0)) || kill "${pids[@]}" 2> /dev/null || true
  wait
  [[ -n ${keep-} ]] || rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Runs one of the guest's programs on the host.
tool() { "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$(tool_path "$1")" "${@:2}"; }
tool_path() {
  local place
  for place in "$tools"/{sbin,bin}/"$1"; do
    [[ ! -f $place ]] || { echo "$place"; return; }
  done
  die "$tools has no $1"
}

# Fills a folder with busybox, an /init that ends with the script of standard input, and programs with
# their libraries: FOLDER PROGRAM...
make_root() {
  local root=$1 name library; shift
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,mnt,etc,lib64,lib/x86_64-linux-gnu}
  cp "$guest/busybox" "$root/bin/"
  cp "$libraries/ld-linux-x86-64.so.2" "$root/lib64/"
  cp "$libraries/libgcc_s.so.1" "$root/lib/x86_64-linux-gnu/"
  for name; do
    cp "$(tool_path "$name")" "$root/bin/$name"
    "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/ceph" \
      --list "$root/bin/$name" | awk '$2 == "=>" { print $3 }' |
      while read -r library; do cp -n "$library" "$root/lib/x86_64-linux-gnu/"; done
  done
  {
    cat << 'END'
#!/bin/busybox sh
[ -L /bin/sh ] || /bin/busybox --install -s /bin 2> /dev/null
export PATH=/bin
mountpoint -q /dev || mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec < /dev/console > /dev/console 2>&1
stty -onlcr
END
    cat
    echo "poweroff -f"
  } > "$root/init"
  chmod 755 "$root/init"
}

# FOLDER ARCHIVE
make_initramfs() { (cd "$1" && find . | "$guest/busybox" cpio -o -H newc > "$2" 2> /dev/null); }

# What to give to -device for the device behind a socket.
plug() {
  printf '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"%s"}%s}' "$1" "${2:+,$2}"
}

# Starts a device in the background and waits until it listens: SOCKET ARGUMENT...
serve() {
  "$program" serve "${@:2}" --socket "$1" --log-level warning >> "$work/log" 2>&1 &
  pids+=($!)
  for _ in {1..200}; do
    [[ ! -S $1 ]] || return 0
    kill -0 $! 2> /dev/null || break
    sleep 0.05
  done
  die "the device process does not start"
}
