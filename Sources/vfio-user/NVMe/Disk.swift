import NVMeDriver
import SystemPackage
import VFIOUserProgram

/// An NVMe disk ready for reading and writing.
final class Disk {
  let socket: String
  let controller: NVMeController
  let identity: IdentifyController
  let namespace: NVMeNamespace
  /// At least one.
  let queues: [QueuePair]
  var queue: QueuePair { queues[0] }

  /// Connects and enables the controller.
  ///
  /// - Parameters:
  ///   - target: device and namespace.
  ///   - depth: maximum number of commands in flight in each queue.
  ///   - transfer: size of the largest command in bytes.
  ///   - queues: pairs of I/O queues, at least 1.
  ///   - driving: use of interrupts and of doorbells in memory.
  init(
    _ target: NVMeTarget, depth: Int, transfer: Int, queues: Int = 1, _ driving: NVMeDriving? = nil
  ) throws {
    socket = target.socket
    let client: Client
    do {
      client = try Client(connectingTo: FilePath(target.socket))
    } catch {
      throw CommandError(error, disk: target.socket, wasReached: false)
    }
    do {
      let perCommand = transfer + 3 * DMAArena.pageSize
      let memory = (1 << 20) + queues * (depth * (perCommand + 128) + 2 * DMAArena.pageSize)
      controller = try NVMeController(
        client, memorySize: (memory / DMAArena.pageSize + 1) * DMAArena.pageSize,
        completionMode: driving?.poll == true ? .polling : .interrupts)
      try controller.enable()
      identity = try controller.identifyController()
      namespace = try NVMeNamespace(target.namespace, of: controller)
      let granted = try controller.requestQueues(queues)
      guard granted.submission >= queues, granted.completion >= queues else {
        throw CommandError(
          "\(target.socket) has \(min(granted.submission, granted.completion)) pairs of I/O queues, not \(queues)."
        )
      }
      // What is written to the device's own memory needs neither a message nor a shadow.
      let isMapped = driving?.noMappedDoorbells == true ? false : try controller.mapDoorbells()
      if !isMapped, driving?.noShadowDoorbells != true,
        identity.adminCommands.contains(.doorbellBuffer)
      {
        try controller.useShadowDoorbells()
      }
      let entries = min(controller.maxEntries, max(2, depth + 1))
      var made: [QueuePair] = []
      for id in 1...UInt16(queues) { made.append(try controller.createQueue(id, entries: entries)) }
      self.queues = made
    } catch let error as NVMeDriverError {
      throw CommandError(error, device: target.socket)
    }
  }

  /// Shuts the controller down and disconnects.
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

  /// Creates the error for a disk that cannot be driven.
  init(_ error: NVMeDriverError, device path: String) {
    switch error {
    case .client(let error): self.init(error, disk: path, wasReached: true)
    case .unsuitable(let why): self.init("\(path): \(why).")
    default: self.init("\(path): \(error).")
    }
  }
}

/// Runs a body that drives a disk, and translates its errors for the user.
func driving<Result>(_ target: NVMeTarget, _ body: () throws -> Result) throws -> Result {
  do {
    return try body()
  } catch let error as NVMeDriverError {
    throw CommandError(error, device: target.socket)
  } catch let error as ClientError {
    throw CommandError(error, disk: target.socket, wasReached: true)
  }
}
