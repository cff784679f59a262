internal import EduDevice
internal import LinuxPrimitives
internal import Logging
internal import NVMeDevice
internal import ScratchDevice
internal import SerialDevice
internal import TestSupport
internal import VFIOUserProtocol
internal import VFIOUserServer
internal import VFIOUserTransport

/// A peer that has devices load the state that a fuzzer made up.
///
/// An input is a stream; sizes and checksums are made right first. A state that is accepted is saved again, and that has
/// to be accepted as well; then the device runs, and hears some accesses.
package final class StateInput {
  private let servers: [(name: String, server: DeviceServer)]
  private let memory: TruncatableMemory
  /// What keeps the devices' other ends.
  private let terminal: PseudoTerminal

  /// Where the guest's memory is.
  private static let base: UInt64 = 1 << 20
  /// Longer than any load may take.
  private static let patience: Duration = .seconds(20)

  /// Makes the devices: one for each state of ``TestSupport/SavedStates``.
  package init() throws {
    var options = ServerOptions()
    options.logger.logLevel = .critical
    terminal = try PseudoTerminal()
    memory = try TruncatableMemory(size: 1 << 20)
    let disk = try Self.disk()
    servers = [
      (
        "edu",
        try DeviceServer(EduDevice.pci, options) {
          [log = options.logger] in EduDevice($0, logger: log)
        }
      ),
      ("scratch", try DeviceServer(ScratchDevice.pci, options) { try ScratchDevice($0) }),
      (
        "serial",
        try DeviceServer(SerialDevice.pci, options) { [terminal] in
          try SerialDevice($0, .pseudoTerminal(terminal))
        }
      ),
      (
        "nvme",
        try DeviceServer(NVMeDevice.description(of: disk), options) { try NVMeDevice($0, disk) }
      ),
    ]
  }

  /// The disk of ``TestSupport/SavedStates``.
  private static func disk() throws -> NVMeConfiguration {
    var disk = NVMeConfiguration(
      namespaces: [NamespaceConfiguration(try StorageFile(memory: 8 << 20), blockSize: 512)],
      serialNumber: "moving")
    disk.queues = 4
    disk.queueEntries = 64
    disk.logger.logLevel = .critical
    return disk
  }

  /// Runs one input with each device, and stops the process when something is not as it should be.
  package func run(_ input: [UInt8]) throws {
    for (name, _) in servers { _ = try run(input, on: name) }
  }

  /// Runs one input with a device.
  ///
  /// - Returns: whether the state was accepted.
  package func run(_ input: [UInt8], on name: String) throws -> Bool {
    guard let server = servers.first(where: { $0.name == name })?.server else { return false }
    let (mine, theirs) = try MessageSocket.pair()
    var peer = Peer(server, mine, theirs)
    _ = peer.ask(.version, Array(ScriptedPeer.versionOfQEMU.dropFirst(Header.wireSize)))
    var list = DescriptorList()
    list.append(try memory.lent())
    _ = peer.ask(
      .dmaMap,
      bytes(
        of: DMAMap(flags: [.readable, .writable], offset: 0, address: Self.base, size: 1 << 20)),
      list)
    let isAccepted = peer.load(StateForge.repaired(input))
    if isAccepted {
      let again = peer.save()
      precondition(peer.load(again), "a state that \(name) has saved is refused")
      precondition(peer.set(.running), "\(name) does not run")
      peer.touch()
    }
    precondition(peer.ask(.deviceReset) != nil, "\(name) is not reset")
    peer.end()
    return isAccepted
  }

  /// A client, and the session that serves it, on one thread.
  private struct Peer: ~Copyable {
    private let socket: MessageSocket
    private var session: SteppedSession
    private var replies = FrameAssembler(messageLimit: 8 << 20, descriptorLimit: 253)

    init(_ server: DeviceServer, _ mine: MessageSocket, _ theirs: MessageSocket) {
      socket = mine
      session = SteppedSession(server, theirs)
    }

    consuming func end() {
      socket.shutdown()
      session.end()
    }

    /// Sends a command, and waits for the reply.
    ///
    /// - Returns: its payload; nil for an error.
    mutating func ask(
      _ command: Command, _ payload: [UInt8] = [],
      _ descriptors: consuming DescriptorList = DescriptorList()
    ) -> [UInt8]? {
      socket.sendAll(message(command, payload), descriptors: descriptors)
      let deadline = Deadline.after(StateInput.patience)
      while !deadline.hasPassed {
        do {
          try session.proceed()
          _ = try socket.receive(into: &replies, wait: false)
          while let frame = try replies.next() {
            guard frame.header.flags.isReply else { continue }
            if frame.header.flags.contains(.error) { return nil }
            let payload = replies.payload(of: frame)
            return payload.indices.map { payload[$0] }
          }
        } catch {
          preconditionFailure("the connection ended: \(error)")
        }
      }
      preconditionFailure("no reply to \(command)")
    }

    mutating func set(_ state: DeviceState) -> Bool {
      let data = bytes(of: MigrationState(state))
      let feature = DeviceFeature(.set, .migrationDeviceState, dataSize: data.count)
      return ask(.deviceFeature, bytes(of: feature) + data) != nil
    }

    mutating func load(_ state: [UInt8]) -> Bool {
      guard set(.resuming) else { return false }
      var place = 0
      while place < state.count {
        let end = min(state.count, place + 32_768)
        let data = bytes(of: MigrationData(size: UInt32(end - place))) + state[place..<end]
        guard ask(.migrationDataWrite, data) != nil else { return false }
        place = end
      }
      return set(.stop)
    }

    mutating func save() -> [UInt8] {
      precondition(set(.stopCopy), "what was loaded is not saved")
      var state: [UInt8] = []
      while let reply = ask(.migrationDataRead, bytes(of: MigrationData(size: 65_536))) {
        state += reply[MigrationData.wireSize...]
        if reply.count < MigrationData.wireSize + 65_536 { break }
      }
      return state
    }

    /// Reads and writes some registers; whatever the device answers.
    mutating func touch() {
      for place in stride(from: 0, to: 0xA0, by: 4) as StrideTo<UInt64> {
        let access = RegionAccess(offset: place, region: .bar0, count: 4)
        _ = ask(.regionRead, bytes(of: access))
      }
      for place in [
        0, 4, 0x1000, 0x1004, 0x1008, 0x100C, 0x28, 0x2C, 0x40, 0x44, 0x60, 0x64, 0x98, 0x14,
      ]
        as [UInt64]
      {
        let access = RegionAccess(offset: place, region: .bar0, count: 4)
        _ = ask(.regionWrite, bytes(of: access) + [1, 0, 0, 0])
      }
    }
  }
}
