/// The guest's first and only program, a script for busybox.
///
/// It finds the port that QEMU's own machine does not have (PCI 1b36:0002, with a chip: `type` is not
/// 0), opens it as descriptor 3 and keeps it open, so that DTR is asserted and no FIFO is cleared
/// between two commands. Then it runs what comes over the console, up to a line `@@run N`, and
/// frames the output with lines of its own. It gives up when nothing comes for a while: a guest
/// whose test was killed must not run for ever.
enum GuestInit {
  static let script = #"""
    #!/bin/busybox sh
    /bin/busybox mkdir -p /dev /proc /sys /tmp
    /bin/busybox --install -s /bin
    mount -t devtmpfs dev /dev
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    exec < /dev/console > /dev/console 2>&1
    stty -echo -onlcr

    for port in /sys/class/tty/ttyS*; do
      ids="$(cat $port/device/vendor $port/device/device 2> /dev/null | tr '\n' ' ')"
      [ "$ids" = "0x1b36 0x0002 " ] && [ "$(cat $port/type)" != 0 ] && break
    done
    tty=${port##*/}
    irq=$(cat $port/irq)

    open_port() { exec 3<> /dev/$tty; stty -F /dev/$tty raw -echo 115200; }
    close_port() { exec 3>&-; }
    interrupts() { awk -v line="$irq:" '$1 == line { print $2 }' /proc/interrupts; }
    counters() { sed -n "s/^${tty#ttyS}: .* irq:[0-9]*//p" /proc/tty/driver/serial; }
    digest() { sha256sum | cut -d ' ' -f 1; }
    receive() { timeout 120 head -c "$1" <&3; }

    open_port
    echo
    echo "@@ready $(dmesg | grep " $tty at ")"
    while IFS= read -r -t 300 line; do
      case $line in
      "@@run "*)
        echo
        echo "@@begin ${line#@@run }"
        . /tmp/script
        status=$?
        echo
        echo "@@end ${line#@@run } $status"
        : > /tmp/script
        ;;
      *) printf '%s\n' "$line" >> /tmp/script ;;
      esac
    done
    poweroff -f
    """#
}
