internal import FoundationEssentials
internal import SystemPackage

/// What is kept of one image: who it is, and what a host has made of it.
struct StateRecord: Codable, Equatable {
  /// Who the namespace is: random, made once, and the same wherever the image goes.
  var identity: UniqueID
  /// Which image it is of, by ``StorageFile/identity``; nil where that is not known.
  var image: String?
  /// Where the image was last.
  var path: String?
  /// Where this was last, so that a copy is told from the first.
  var place: String?
  /// Bytes of a block, when a host has formatted the namespace.
  var blockSize: Int?
  /// What is kept of a controller whose first image this is; nil when it has never been that.
  var controller: ControllerRecord?

  /// Whether its numbers mean something; they are a stranger's.
  var isSound: Bool {
    blockSize.map(NamespaceConfiguration.blockSizes.contains) ?? true
  }
}

/// What is kept of a controller.
struct ControllerRecord: Codable, Equatable {
  var counters = CounterRecord()
  /// What the host has saved, by number.
  var features: [String: UInt32] = [:]
}

/// What the SMART log counts, and whether the disk was shut down.
struct CounterRecord: Codable, Equatable {
  var bytesRead: UInt64 = 0
  var bytesWritten: UInt64 = 0
  var hostReads: UInt64 = 0
  var hostWrites: UInt64 = 0
  var powerCycles: UInt64 = 0
  var unsafeShutdowns: UInt64 = 0
  var mediaErrors: UInt64 = 0
  var errorLogEntries: UInt64 = 0
  var busyTime: UInt64 = 0
  var powerOnTime: UInt64 = 0
  /// Whether a host had the controller enabled and has not shut it down.
  var isPowered = false
}

/// The one file that a disk had for all of its namespaces before there was a file for each image.
struct OldState: Equatable {
  let controller: ControllerRecord
  /// Bytes of a block, by the names of the namespaces' files.
  let formats: [String: Int]

  /// The most bytes of one.
  static let maxBytes = 64 << 10

  private struct Rest: Decodable {
    var features: [String: UInt32]
    var formats: [String: Int]?
  }

  /// Reads one, nil when it is something else.
  init?(decoding bytes: [UInt8]) {
    let data = Data(bytes)
    guard let counters = try? JSONDecoder().decode(CounterRecord.self, from: data),
      let rest = try? JSONDecoder().decode(Rest.self, from: data)
    else { return nil }
    controller = ControllerRecord(counters: counters, features: rest.features)
    formats = (rest.formats ?? [:]).filter {
      NamespaceConfiguration.blockSizes.contains($0.value)
    }
  }

  /// The size of a namespace's blocks, by the names that it could have.
  func blockSize(of one: NamespaceConfiguration) -> Int? {
    let hexadecimal = one.globallyUniqueID.map { "nguid " + UniqueID.hexadecimal($0) }
    let last = one.storage.path?.lastComponent?.string
    return [hexadecimal, one.storage.name, last].lazy.compactMap { $0.flatMap { formats[$0] } }
      .first
  }
}
