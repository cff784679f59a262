internal import LinuxPrimitives
internal import NVMeProtocol

/// What a controller that is suspended consists of, beyond its configuration space and its disk.
struct ControllerState: Codable {
  /// The controller's registers (NVMe 1.4, section 3.1).
  struct Registers: Codable {
    var configuration: UInt32
    var status: UInt32
    var attributes: UInt32
    var submissionQueue: UInt64
    var completionQueue: UInt64
    var interruptMask: UInt32
    /// CC, as it was when the controller was enabled.
    var enabledConfiguration: UInt32
  }

  /// Which disk it is: a state is loaded with the same one only.
  struct Disk: Codable, Equatable {
    /// A namespace.
    struct Part: Codable, Equatable {
      var globallyUniqueID: [UInt8]
      var blocks: UInt64
      var blockSize: Int
    }

    var serialNumber: String
    var namespaces: [Part]
  }

  /// A completion queue; the phase tag follows from how much was posted.
  struct Completions: Codable {
    var id: UInt16
    var address: UInt64
    var entries: UInt32
    var vector: UInt16
    var interrupts: Bool
    var posted: UInt64
    var signalled: UInt64
    var taken: UInt64
    /// Entries that found no room, each in two halves.
    var waiting: [[UInt64]]
  }

  /// A submission queue.
  struct Submissions: Codable {
    var id: UInt16
    var address: UInt64
    var entries: UInt32
    var completionQueue: UInt16
    var head: UInt32
    var tail: UInt32
  }

  /// Event requests that wait, and events.
  struct Events: Codable {
    /// The commands, 64 bytes each.
    var requests: [[UInt8]]
    var waiting: [UInt32]
    var held: [UInt8]
    var changedNamespaces: [UInt32]
  }

  /// Whether commands are served.
  enum Phase: String, Codable {
    case disabled, enabled, paused, failed
  }

  var phase: Phase
  var registers: Registers
  var disk: Disk
  var completionQueues: [Completions]
  /// In the order of their turns.
  var submissionQueues: [Submissions]
  /// Where the host keeps its doorbells, and the event indexes, if it does.
  var shadowDoorbells: [UInt64]?
  var features: FeatureValues.Record
  var events: Events
  var counters: CounterRecord
  /// Entries of the error log, 64 bytes each, the oldest first.
  var errors: [[UInt8]]
  /// The errno that the next flush of each namespace has to report, 0 for none; nil when there is none at all.
  var deferredFlushErrors: [Int32]?
}

extension ControllerState.Disk {
  /// What is different, in a sentence; nil when nothing is.
  func difference(from other: Self) -> String? {
    if serialNumber != other.serialNumber {
      return "it is of disk \(other.serialNumber), this is \(serialNumber)"
    }
    if namespaces.count != other.namespaces.count {
      return "it has \(other.namespaces.count) namespaces, this disk has \(namespaces.count)"
    }
    for (number, (here, there)) in zip(namespaces, other.namespaces).enumerated() {
      if here.globallyUniqueID != there.globallyUniqueID {
        return "namespace \(number + 1) is another one"
      }
      // An upgrade finds the very same file, which may have another size than its guest knows.
      let isLargeEnough = here.blocks >= there.blocks || KeptDescriptor.hasPredecessor
      if here.blockSize != there.blockSize || !isLargeEnough {
        return """
          namespace \(number + 1) has \(there.blocks) blocks of \(there.blockSize) bytes, this one has \
          \(here.blocks) of \(here.blockSize)
          """
      }
    }
    return nil
  }
}

extension ControllerPhase.Stable {
  var saved: ControllerState.Phase {
    switch self {
    case .disabled: .disabled
    case .enabled: .enabled
    case .paused: .paused
    case .failed: .failed
    }
  }

  init(_ saved: ControllerState.Phase) {
    self =
      switch saved {
      case .disabled: .disabled
      case .enabled: .enabled
      case .paused: .paused
      case .failed: .failed
      }
  }
}
