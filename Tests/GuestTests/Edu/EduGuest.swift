extension GuestImage {
  /// A guest with tools for the teaching device in `$edu`, a folder of sysfs.
  ///
  /// `uio_pci_generic` drives it, so that its interrupts can be waited for. One page of memory that the
  /// kernel leaves alone (``EduMemory``) is the other end of transfers.
  static let edu = GuestImage(
    modules: ["uio", "uio_pci_generic"],
    prelude: #"""
      for edu in /sys/bus/pci/devices/*; do
        [ "$(cat $edu/vendor $edu/device | tr '\n' ' ')" = "0x1234 0x11e8 " ] && break
      done
      echo 1234 11e8 > /sys/bus/pci/drivers/uio_pci_generic/new_id
      base=$(head -n 1 $edu/resource | cut -d ' ' -f 1)
      irq=$(cat $edu/irq)

      # Registers: offset, width in bits, value
      peek() { devmem $((base + $1)) ${2:-32}; }
      poke() { devmem $((base + $1)) $2 $3; }
      # Configuration space: offset, count or bytes in octal
      config() { dd if=$edu/config bs=1 skip=$1 count=$2 2> /dev/null | hexdump -v -e '1/1 "%02x"'; }
      configure() { printf "$2" | dd of=$edu/config bs=1 seek=$1 conv=notrunc 2> /dev/null; }
      # Waits until the bits of a register are clear: offset, bits
      await_clear() {
        for turn in $(seq 200); do
          [ $(($(peek $1) & $2)) = 0 ] && return
          usleep 20000
        done
        echo "register $1 keeps $(peek $1)"
        return 1
      }
      factorial() { poke 0x08 32 $1; await_clear 0x20 1; peek 0x08; }
      # source, destination, count, command
      transfer() {
        poke 0x80 64 $1; poke 0x88 64 $2; poke 0x90 64 $3; poke 0x98 32 $4
        await_clear 0x98 1
      }
      # Counts interrupts from now on, in descriptor 4: one that came before its opening is not waited for.
      expect_interrupt() { exec 4< /dev/uio0; }
      # Waits for one; the count of all so far comes into the file.
      await_interrupt() {
        timeout 30 dd bs=4 count=1 <&4 2> /dev/null | hexdump -v -e '1/4 "%d"' > /tmp/interrupt
      }
      # The driver masks the pin at each interrupt (bit 10 of the command).
      unmask() { configure 5 '\000'; }
      interrupts() { awk -v line="$irq:" '$1 == line { print $2 }' /proc/interrupts; }
      greeting="$(config 0 4) at $base, interrupt $irq"
      """#)
}

/// Memory of the guest that the kernel leaves alone, within the reach of the device's 28 bits.
enum EduMemory {
  /// MiB; the kernel argument takes one from there.
  static let start = 64
  static let kernelArguments = "memmap=1M$\(start)M"
  static let address = start << 20
}
