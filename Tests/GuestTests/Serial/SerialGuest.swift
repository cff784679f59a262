import Foundation
import TestSupport

extension GuestImage {
  /// A guest that holds the port open as descriptor 3.
  ///
  /// It finds the port that QEMU's own machine does not have (PCI 1b36:0002, with a chip: `type` is not
  /// 0) and keeps it open, so that DTR is asserted and no FIFO is cleared between two commands. Its
  /// greeting is what the kernel's log says about the port.
  static let serial = GuestImage(
    prelude: #"""
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
      greeting=$(dmesg | grep " $tty at ")
      """#,
    files: ["from-guest": Payload.fromGuest, "to-guest": Payload.toGuest])
}

extension Guest {
  /// Boots with the port plugged in.
  convenience init(_ machine: Machine, with port: SerialProcess) throws {
    do {
      try self.init(machine, .serial, options: ["-device", machine.plug(port.socket)])
    } catch {
      throw HarnessError("\(error)\n\(port.whatItSaid)")
    }
  }

  /// What the kernel's log says about the port.
  var portMessage: String { greeting }

  /// The count of /proc/interrupts for the port's line.
  func interrupts() throws -> Int {
    let text = try run("interrupts")
    guard let count = Int(text) else { throw HarnessError("no count of interrupts: '\(text)'") }
    return count
  }

  /// The driver's own counters: `tx` and `rx`; for errors also `oe` (overrun), `fe` and so on.
  func counters() throws -> [String: Int] {
    let pairs = try run("counters").split(separator: " ").map { $0.split(separator: ":") }
    return Dictionary(
      pairs.compactMap { pair in
        pair.count == 2 ? Int(pair[1]).map { (String(pair[0]), $0) } : nil
      }, uniquingKeysWith: { first, _ in first })
  }
}

/// Runs `body` with a guest that has the port plugged in, and with the far end of the port.
///
/// Both programs are gone afterwards. An error comes with what they said.
func withGuest(
  _ machine: Machine, _ farEnd: SerialProcess.FarEnd,
  _ body: (Guest, ByteChannel) throws -> Void
) throws {
  try withGuest(machine, farEnd) { guest, far, _ in try body(guest, far) }
}

/// The same with the process that serves the port.
func withGuest(
  _ machine: Machine, _ farEnd: SerialProcess.FarEnd,
  _ body: (Guest, ByteChannel, SerialProcess) throws -> Void
) throws {
  let port = try SerialProcess(farEnd)
  defer { port.kill() }
  let far = try port.connect()
  let guest = try Guest(machine, with: port)
  defer { guest.kill() }
  do {
    try body(guest, far, port)
  } catch {
    throw HarnessError("\(error)\n\(guest.whatItSaid)\n\(port.whatItSaid)")
  }
}
