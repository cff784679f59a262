import NVMeDriver
import NVMeProtocol
import SystemPackage
import VFIOUserClient

/// An NVMe disk that is ready to read and write.
final class Disk {
  let controller: NVMeController
  let identity: IdentifyController
  let namespace: NVMeNamespace
  let queue: QueuePair
  /// Whether the controller looks for doorbells in memory.
  let usesShadow: Bool

  /// Connects and enables the controller, with one queue for I/O.
  ///
  /// - Parameters:
  ///   - target: which disk.
  ///   - depth: commands under way at a time.
  ///   - transfer: bytes of the longest command.
  ///   - driving: how it is used.
  init(
    _ target: NVMeTarget, depth: Int, transfer: Int, _ driving: NVMeDriving? = nil
  ) throws {
    let client: Client
    do {
      client = try Client(connectingTo: FilePath(target.socket))
    } catch {
      throw CommandError(error, disk: target.socket, wasReached: false)
    }
    do {
      let perCommand = transfer + 3 * DMAArena.pageSize
      let memory = (1 << 20) + depth * (perCommand + 128)
      controller = try NVMeController(
        client, memorySize: (memory / DMAArena.pageSize + 1) * DMAArena.pageSize,
        noticing: driving?.poll == true ? .polling : .interrupts)
      try controller.enable()
      identity = try controller.identifyController()
      namespace = try NVMeNamespace(target.namespace, of: controller)
      _ = try controller.requestQueues(1)
      usesShadow =
        driving?.noShadowDoorbells != true && identity.adminCommands.contains(.doorbellBuffer)
      if usesShadow { try controller.useShadowDoorbells() }
      queue = try controller.createQueue(
        1, entries: min(controller.maxEntries, max(2, depth + 1)))
    } catch {
      throw CommandError(error, device: target.socket)
    }
  }

  /// Tells the controller that we go, so that it settles everything.
  func close() {
    try? controller.shutDown()
    try? controller.disable()
    controller.client.disconnect()
  }
}

extension CommandError {
  fileprivate init(_ error: ClientError, disk path: String, wasReached: Bool) {
    self.init(
      error, device: path, example: "nvme --socket \(path) --file disk.img --size 10G",
      wasReached: wasReached)
  }

  /// Why a disk could not be driven.
  init(_ error: NVMeDriverError, device path: String) {
    switch error {
    case .client(let error): self.init(error, disk: path, wasReached: true)
    case .unsuitable(let why): self.init("\(path): \(why).")
    default: self.init("\(path): \(error).")
    }
  }
}

/// Runs what drives a disk, and says what went wrong in words for the user.
func driving<Result>(_ target: NVMeTarget, _ body: () throws -> Result) throws -> Result {
  do {
    return try body()
  } catch let error as NVMeDriverError {
    throw CommandError(error, device: target.socket)
  } catch let error as ClientError {
    throw CommandError(error, disk: target.socket, wasReached: true)
  }
}
