import ArgumentParser
import NVMeDevice
import VFIOUserProgram

extension NamespaceOptions {
  /// Splits a text at commas; two commas stand for one that is part of the text.
  static func parts(of text: String) -> [String] {
    text.replacing(",,", with: "\0").split(separator: ",").map {
      String($0.replacing("\0", with: ","))
    }
  }

  /// Sets the option given by one part.
  mutating func set(_ key: String, _ value: String?) throws {
    switch (key, value) {
    case ("file", let value?): file = value
    case ("nbd", let value?): nbd = value
    case ("size", let value?), ("memory", let value?): size = value
    case ("block-size", let value?):
      guard let number = Int(value) else { throw Self.badBlockSize(value) }
      blockSize = number
    case ("cache", let value?): cache = value
    case ("nguid", let value?): nguid = value
    case ("read-only", nil): readOnly = true
    case ("raw", nil): raw = true
    default:
      let part = value.map { "\(key)=\($0)" } ?? key
      throw ValidationError(
        "--namespace takes file=PATH, memory=SIZE or nbd=URI, and size=, block-size=, cache=, nguid=, read-only and raw; not '\(part)'. A comma that belongs to a path is written twice."
      )
    }
  }

  /// The parsed values of the options.
  struct Checked {
    var bytes: UInt64?
    let blockSize: Int
    let cache: CacheMode
    var globallyUniqueID: [UInt8]?
  }

  /// Checks what can be checked without opening anything.
  @discardableResult func check() throws -> Checked {
    guard file != nil || size != nil || nbd != nil else {
      throw ValidationError(
        "a namespace needs a file, the size of its memory, or the address of an export.")
    }
    if let nbd { try check(nbd: nbd) }
    let block = blockSize ?? 512
    guard NamespaceConfiguration.blockSizes.contains(block) else {
      throw Self.badBlockSize("\(block)")
    }
    return Checked(
      bytes: try byteCount(), blockSize: block, cache: try cacheMode(),
      globallyUniqueID: try identifier())
  }

  private func check(nbd text: String) throws {
    guard file == nil, size == nil else {
      throw ValidationError("nbd= is the namespace's data; leave out its file and its size.")
    }
    do throws(NBDAddress.ParsingError) {
      _ = try NBDAddress(parsing: text)
    } catch {
      throw ValidationError("\(error).")
    }
  }

  /// Whether its data outlives the process.
  var isKept: Bool { file != nil || nbd != nil }

  private static func badBlockSize(_ value: String) -> ValidationError {
    ValidationError("--block-size takes 512 or 4096, not '\(value)'.")
  }

  private func byteCount() throws -> UInt64? {
    guard let size else { return nil }
    let option = file == nil ? "--memory" : "--size"
    guard let count = ByteCount(argument: size), count.bytes > 0 else {
      throw ValidationError(
        "\(option) takes a size, 512M or 10G for example, not '\(size)'. The units are K, M, G and T, powers of 1024."
      )
    }
    let block = UInt64(blockSize ?? 512)
    guard count.bytes >= block, count.bytes % block == 0 else {
      throw ValidationError(
        "\(option) takes whole blocks of \(block) bytes, and '\(size)' is \(count.bytes) bytes. With a unit it is more: 512M, 10G."
      )
    }
    return count.bytes
  }

  private func cacheMode() throws -> CacheMode {
    guard let cache else { return .writeBack }
    guard let mode = CacheMode(rawValue: cache) else {
      throw ValidationError(
        "--cache takes \(CacheMode.allCases.map(\.rawValue).joined(separator: ", ")), not '\(cache)'."
      )
    }
    return mode
  }

  private func identifier() throws -> [UInt8]? {
    guard let nguid else { return nil }
    let digits = nguid.compactMap(\.hexDigitValue)
    guard digits.count == 32, nguid.count == 32 else {
      throw ValidationError("nguid= takes 32 hexadecimal digits, not '\(nguid)'.")
    }
    guard digits.contains(where: { $0 != 0 }) else {
      throw ValidationError("nguid= takes a number; all zeros say that there is none.")
    }
    return (0..<16).map { UInt8(digits[2 * $0] << 4 | digits[2 * $0 + 1]) }
  }
}

extension NamespaceOptions: CustomStringConvertible {
  /// The text that `--namespace` accepts.
  var description: String {
    var parts: [String] = []
    if let file { parts.append("file=\(file.replacing(",", with: ",,"))") }
    if let nbd { parts.append("nbd=\(nbd.replacing(",", with: ",,"))") }
    if let size { parts.append(file == nil ? "memory=\(size)" : "size=\(size)") }
    if let blockSize { parts.append("block-size=\(blockSize)") }
    if let cache { parts.append("cache=\(cache)") }
    if let nguid { parts.append("nguid=\(nguid)") }
    if readOnly == true { parts.append("read-only") }
    if raw == true { parts.append("raw") }
    return parts.joined(separator: ",")
  }
}

extension DiskOptions {
  /// Checks whether the files of another process can be taken over.
  func checkIncoming(_ namespaces: [NamespaceOptions]) throws {
    guard namespaces.contains(where: \.isKept) else {
      throw ValidationError(
        "--incoming is for disks with a file or an export: the data of a disk in memory does not migrate."
      )
    }
    guard !namespaces.contains(where: { $0.file != nil && $0.size != nil }) else {
      throw ValidationError(
        "--incoming takes a file as it is; leave out its size: the process that has it would be surprised."
      )
    }
  }

  /// Checks the ranges of the disk's options.
  func checkNumbers() throws {
    let limits = [
      ("--queues", controller.queues, 1...NVMeConfiguration.maxQueues),
      ("--queue-entries", controller.queueEntries, 2...NVMeConfiguration.maxEntries),
      ("--threads", threads, 1...64),
      ("--workers", controller.workers ?? 1, 1...NVMeConfiguration.maxQueues),
      ("--nbd-connections", server.nbdConnections ?? 1, 1...16),
      ("--nbd-timeout", server.nbdTimeout, 1...86_400),
      ("--busy-poll", controller.busyPoll, 0...100_000),
    ]
    for (option, value, range) in limits where !range.contains(value) {
      throw ValidationError(
        "\(option) takes \(range.lowerBound) to \(range.upperBound), not \(value).")
    }
    if let serial, !(1...20 ~= serial.utf8.count) {
      throw ValidationError("--serial takes 1 to 20 characters, not '\(serial)'.")
    }
    if let serial, !NVMeConfiguration.isSound(serialNumber: serial) {
      throw ValidationError(
        "--serial takes ASCII without a blank at either end, not '\(serial)': a guest could not tell it from others."
      )
    }
    guard namespace.count <= NVMeConfiguration.maxNamespaces else {
      throw ValidationError(
        "--namespace can be given \(NVMeConfiguration.maxNamespaces) times, not \(namespace.count)."
      )
    }
  }
}
