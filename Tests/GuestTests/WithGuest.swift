/// Runs `body` with a guest that has the port plugged in, and with the far end of the port.
///
/// Both programs are gone afterwards. An error comes with what they said.
func withGuest(
  _ machine: Machine, _ farEnd: DeviceProcess.FarEnd,
  _ body: (Guest, ByteChannel) throws -> Void
) throws {
  let device = try DeviceProcess(farEnd)
  defer { device.kill() }
  let far = try device.connect()
  let guest = try Guest(machine, with: device)
  defer { guest.kill() }
  do {
    try body(guest, far)
  } catch {
    throw HarnessFailure("\(error)\n\(guest.whatItSaid)\n\(device.whatItSaid)")
  }
}
