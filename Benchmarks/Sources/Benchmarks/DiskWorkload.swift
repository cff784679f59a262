/// What a driver asks of a disk, and how it is called.
struct DiskWorkload {
  let name: String
  let block: Int
  let depth: Int
  let writes: Bool
  let isRandom: Bool

  static let all: [DiskWorkload] =
    [1, 32, 128].flatMap { depth in
      [false, true].map { writes in
        DiskWorkload(
          name: "4 KiB random \(writes ? "write" : "read"), depth \(depth)", block: 4096,
          depth: depth, writes: writes, isRandom: true)
      }
    }
    + [false, true].map { writes in
      DiskWorkload(
        name: "128 KiB sequential \(writes ? "write" : "read"), depth 8", block: 128 << 10,
        depth: 8, writes: writes, isRandom: false)
    }

  /// The options of `vfio-user nvme bench`.
  var options: [String] {
    ["--block-size", "\(block)", "--depth", "\(depth)", "--read-share", writes ? "0" : "100"]
      + ["--overwrite"] + (isRandom ? [] : ["--sequential"])
  }
}
