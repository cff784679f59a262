import TestSupport
import Testing

/// Runs `body` with a guest that has devices of ours plugged in.
///
/// The guest is gone afterwards; the devices are the caller's. An error comes with what all said.
func withGuest(
  _ machine: Machine, _ image: GuestImage?, _ devices: [DeviceProcess], options: [String]? = nil,
  kernelArguments: String = "", _ body: (Guest) throws -> Void
) throws {
  let plugs = devices.flatMap(\.sockets).enumerated().flatMap { number, socket in
    ["-device", machine.plug(socket, id: "device\(number)")]
  }
  do {
    let guest = try Guest(
      machine, image, options: options ?? plugs, kernelArguments: kernelArguments)
    defer { guest.kill() }
    do {
      try body(guest)
    } catch {
      throw HarnessError("\(error)\n\(guest.whatItSaid)")
    }
  } catch {
    throw HarnessError("\(error)\n\(devices.map(\.whatItSaid).joined(separator: "\n"))")
  }
}

/// Keeps a measurement; `swift test --attachments-path FOLDER` writes it there.
func record(_ measurement: String) {
  Attachment.record(measurement, named: "measurement.txt")
}
