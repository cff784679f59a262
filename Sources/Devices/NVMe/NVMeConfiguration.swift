public import Logging

/// What kind of disk to be.
public struct NVMeConfiguration: Sendable {
  /// How the host rings doorbells.
  @nonexhaustive
  public enum DoorbellMode: String, CaseIterable, Sendable {
    /// Each write is a message; the controller sleeps when there is nothing to do.
    case trapped
    /// In memory that the client maps; the controller polls it all the time, which keeps a core busy
    /// while a guest is connected.
    case mapped
  }

  /// The best kind of interrupt that the host is offered.
  public enum InterruptKind: String, CaseIterable, Sendable {
    /// MSI-X with a vector for each queue; MSI and INTx as well.
    case msix
    /// MSI with 32 vectors; INTx as well.
    case msi
    /// INTx, one for all queues.
    case intx
  }

  /// Most pairs of I/O queues.
  public static let maxQueues = 64
  /// Most entries of an I/O queue.
  public static let maxEntries = 4096
  /// Most namespaces.
  public static let maxNamespaces = 64

  /// The namespaces, at least one; the first has number 1.
  public var namespaces: [NamespaceConfiguration]
  /// At most 20 characters of ASCII, no blank at either end; nil for one that is made once and kept.
  public var serialNumber: String?
  /// What distinguishes this disk from others that read the same files at the same time; its socket's name, for example.
  public var readerName = ""
  /// At most 40 characters of ASCII.
  public var modelNumber = "swift-vfio-user NVMe disk"
  /// Pairs of I/O queues, 1 to ``maxQueues``.
  public var queues = 16
  /// Entries of an I/O queue, 2 to ``maxEntries``.
  public var queueEntries = 1024
  /// How doorbells are rung.
  public var doorbells = DoorbellMode.trapped
  /// How the host is interrupted at best.
  public var interrupts = InterruptKind.msix
  /// Threads that wait for the disk, 1 to 64.
  public var threads = 4
  /// Threads that serve I/O queues, 1 to ``maxQueues``; nil for as many as there are processors, less one for the host.
  ///
  /// One of them is always there. Others get queues while it cannot keep up with them, and the host's commands are found by polling:
  /// with mapped doorbells, or shadow doorbells and ``busyPoll``. They carry out reads and writes of memory and of the page cache. There are never
  /// more than ``queues``, and one where a namespace is an export of an NBD server.
  public var workers: Int?
  /// When workers get queues; tests cannot wait for a load that is high enough.
  var lending = LoadWatch.Lending.whenBusy
  /// How long the disk polls for commands after one that followed another sooner than this (busy polling).
  ///
  /// Polling keeps a core busy for as long as the guest keeps the disk busy; zero for never. It needs a guest with
  /// shadow doorbells, as Linux has them.
  public var busyPoll: Duration = .microseconds(400)
  /// How much the disk does in a second; without limits at first.
  public var limits = RateLimits()
  /// Makes the engine that reads and writes; nil for a ``ThreadPool``.
  var makeEngine: (@Sendable () throws -> any StorageEngine)?
  /// Where the disk says what it does.
  public var logger = Logger(label: "nvme")

  /// The namespaces' exports of NBD servers.
  var exports: [NBDExport] { namespaces.compactMap { $0.storage as? NBDExport } }

  /// A disk with the defaults, which keeps nothing before ``openState(_:)``.
  public init(namespaces: [NamespaceConfiguration], serialNumber: String? = nil) {
    self.namespaces = namespaces
    self.serialNumber = serialNumber
  }
}
