import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `A device whose QEMU is killed during a transfer` {
    @Test func `A device releases everything of a killed QEMU and serves the next one`() throws {
      let device = try SerialProcess(.socket)
      defer { device.kill() }
      let far = try device.connect()
      try useBriefly(device)
      let descriptors = device.process.settledDescriptors()
      #expect(device.process.memoryFileMappingCount == 0)

      try killDuringTransfer(Guest(Machine(), with: device), far, device)
      let time = try ContinuousClock().measure { try checkThatClientIsAccepted(by: device) }
      record("accepted and answered a new client \(time) after the death of QEMU\n")
      let isClean = eventually {
        device.process.descriptors == descriptors
          && device.process.memoryFileMappingCount == 0
      }
      #expect(isClean, "\(device.process.descriptors), before \(descriptors)")
      try checkTransfer(Guest(Machine(), with: device), far)
    }
  }
}

/// Both sides are sending when the plug is pulled.
private func killDuringTransfer(
  _ guest: Guest, _ far: ByteChannel, _ device: SerialProcess
) throws {
  defer { guest.kill() }
  // Proves that the counts below would see what is left.
  #expect(device.process.memoryFileMappingCount > 0)
  _ = try guest.run("cat /from-guest >&3 & cat <&3 > /dev/null &")
  let start = 8 << 10
  let bytes = Array(Payload.toGuest.prefix(2 * start))
  let received = try far.exchange(sending: bytes, receiving: start)
  #expect(received == Array(Payload.fromGuest.prefix(start)))
}

/// At once, but for some ten milliseconds.
///
/// QEMU holds its socket by io_uring too, and the kernel clears that away after the process has gone.
/// Until then a second client is refused.
private func checkThatClientIsAccepted(by device: SerialProcess) throws {
  var refusal: (any Error)?
  let isAccepted = eventually(within: .seconds(1)) {
    do {
      try useBriefly(device)
      return true
    } catch {
      refusal = error
      return false
    }
  }
  #expect(isAccepted, "\(String(describing: refusal)) \(device.whatItSaid)")
}

/// Connects, asks and goes.
private func useBriefly(_ device: SerialProcess) throws {
  let client = try Client(connectingTo: FilePath(device.socket))
  _ = try client.deviceInfo()
  client.disconnect()
}

/// Sends a little each way.
///
/// Bytes that were on their way when the first guest was killed come first; what counts is what
/// comes last.
private func checkTransfer(_ guest: Guest, _ far: ByteChannel) throws {
  defer { guest.kill() }
  let count = 4 << 10
  let script = """
    cat <&3 > /tmp/received &
    head -c \(count) /to-guest >&3
    head -c \(count) /from-guest > /tmp/awaited
    for turn in $(seq 300); do
      tail -c \(count) /tmp/received | cmp -s - /tmp/awaited && break
      usleep 100000
    done
    tail -c \(count) /tmp/received | cmp - /tmp/awaited
    """
  try guest.begin(script)
  try far.receive(through: Array(Payload.toGuest.prefix(count)))
  try far.send(Array(Payload.fromGuest.prefix(count)))
  _ = try guest.end(script)
}
