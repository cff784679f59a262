public import ArgumentParser
public import NVMeDevice
import VFIOUserProgram

extension CacheMode: ExpressibleByArgument {}
extension EngineChoice: ExpressibleByArgument {}

/// A namespace as described on the command line or in a configuration file.
struct NamespaceOptions: Codable, Equatable {
  /// A file or a block device; nil for memory and exports.
  var file: String?
  /// The URI of an export of an NBD server.
  var nbd: String?
  /// Size of the file to create, or of the memory.
  var size: String?
  var blockSize: Int?
  var readOnly: Bool?
  var cache: String?
  /// The NGUID, 32 hexadecimal digits.
  var nguid: String?
  /// Whether to use the file as the disk even if it looks like an image of another format.
  var raw: Bool?

  /// Parses "file=PATH,size=10G,block-size=4096,read-only,cache=direct"; a comma in a path is
  /// doubled.
  init(parsing text: String) throws {
    for part in Self.parts(of: text) {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      try set(String(pair[0]), pair.count > 1 ? String(pair[1]) : nil)
    }
  }

  init(file: String?, size: String?, blockSize: Int?, readOnly: Bool?, cache: String?) {
    self.file = file
    self.size = size
    self.blockSize = blockSize
    self.readOnly = readOnly
    self.cache = cache
  }
}

/// The options of a disk, on the command line and in a configuration file.
struct DiskOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The file or block device with the data.", valueName: "path"),
    completion: .file())
  var file: String?

  @Option(
    help: ArgumentHelp(
      "Make the file, if there is none or it is smaller, of this size (64M, 10G); it takes room as it fills.",
      valueName: "size"))
  var size: String?

  @Option(help: ArgumentHelp("A disk in memory, of this size, instead.", valueName: "size"))
  var memory: String?

  @Flag(
    help:
      "Ask the kernel for huge pages for disks in memory; it is an error when its settings are against it."
  )
  var hugePages = false

  @Option(
    help: ArgumentHelp(
      "An export of an NBD server instead: nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, with TLS nbds://.",
      valueName: "uri"))
  var nbd: String?

  @Option(
    help: ArgumentHelp(
      "A namespace, once for each: file=PATH, memory=SIZE or nbd=URI, and size=, block-size=, cache=, nguid=, read-only, raw, with commas between. What it does not say, --block-size and --cache say; --read-only and --raw are for all of them.",
      valueName: "description"))
  var namespace: [String] = []

  @Option(help: "Bytes of a block until the guest formats it otherwise: 512 or 4096.")
  var blockSize = 512

  @Flag(help: "Refuse writes.")
  var readOnly = false

  @Flag(
    help:
      "Take the file for the disk itself although it looks like an image of another format (qcow2, vmdk, gzip ...)."
  )
  var raw = false

  @Option(
    help:
      "When written data is on the disk: write-back (when the guest flushes), write-through (at once), direct (past the host's page cache)."
  )
  var cache = CacheMode.writeBack

  @Option(
    help: ArgumentHelp(
      "The serial number, up to 20 characters of ASCII; else one is made with the disk and kept.",
      valueName: "text"))
  var serial: String?

  @Flag(
    help:
      "Start as the target of a migration, while another process still has the files: the disk cannot be used before its state was loaded, and takes the files then."
  )
  var incoming = false

  @OptionGroup var controller: ControllerOptions
  @OptionGroup var server: NBDOptions
  @OptionGroup var rates: RateOptions

  @Option(help: "Threads that wait for the disk.")
  var threads = 4

  @Option(
    help:
      "How files are read and written: pool (threads), ring (io_uring), or auto (the ring with --cache direct). Without io_uring it is the pool."
  )
  var engine = EngineChoice.automatic

  @Option(
    help: ArgumentHelp(
      "Where the block size, the name and the counters of the disk are kept: a folder, or for a single file a file of its own. Otherwise it is FILE.nvme beside each file, and a folder of the system for block devices.",
      valueName: "path"), completion: .file())
  var state: String?

  func validate() throws {
    let places = [file != nil, memory != nil, nbd != nil, !namespace.isEmpty].filter { $0 }.count
    guard places == 1 else {
      throw ValidationError(
        "say where the data is: --file PATH, --memory SIZE, --nbd URI or --namespace ...")
    }
    guard memory == nil || size == nil else {
      throw ValidationError("--size is for --file; --memory has its own.")
    }
    guard nbd == nil || size == nil else {
      throw ValidationError(
        "--size is for --file; an export has the size that its server gives it.")
    }
    guard namespace.isEmpty || size == nil else {
      throw ValidationError("--size is for --file; a --namespace has its own, size=.")
    }
    try checkNumbers()
    _ = try server.replay()
    let all = try namespaces()
    for one in all { try one.check() }
    if incoming { try checkIncoming(all) }
    guard !hugePages || all.contains(where: { !$0.isKept }) else {
      throw ValidationError("--huge-pages is for disks in memory: --memory SIZE.")
    }
    guard state == nil || all.contains(where: { $0.isKept }) else {
      throw ValidationError(
        "--state is for disks with a file or an export; memory is gone with the process.")
    }
  }

  /// The requested namespaces, with the disk's options applied to all of them.
  func namespaces() throws -> [NamespaceOptions] {
    var only = NamespaceOptions(
      file: file, size: memory ?? size, blockSize: nil, readOnly: nil, cache: nil)
    only.nbd = nbd
    let described = try namespace.map(NamespaceOptions.init(parsing:))
    return (described.isEmpty ? [only] : described).map { one in
      var one = one
      one.blockSize = one.blockSize ?? blockSize
      one.cache = one.cache ?? cache.rawValue
      one.readOnly = one.readOnly == true || readOnly
      one.raw = one.raw == true || raw
      return one
    }
  }
}
