import ArgumentParser
import VFIOUserClient
import VFIOUserProgram

/// A place in a region of a device.
struct RegionTarget: ParsableArguments {
  @Argument(help: "The device's UNIX socket.", completion: .file())
  var socket: String

  @Argument(
    help: "The region: bar0 to bar5, rom, config, vga, or its number.",
    transform: RegionName.init(text:))
  var region: RegionName

  @Argument(
    help: "Where in the region: 64, 0x40, 4K.", transform: Number.parse)
  var offset: UInt64

  @Flag(help: "Send the access even where the device's own description says that it cannot be.")
  var unchecked = false
}

/// A region as the device describes it, for a check before an access: the answer of a device to an access that cannot
/// be is only an error number.
struct DescribedRegion {
  let name: RegionName
  let size: UInt64
  let flags: RegionFlags

  /// Asks the device.
  ///
  /// - Throws: ``CommandError`` if the device has no such region.
  init(_ name: RegionName, of client: Client) throws {
    let count = try client.deviceInfo().regionCount
    guard name.index.rawValue < count else {
      throw CommandError(
        "the device has no \(name.text): it counts \(count) regions. `vfio-user info` lists them.")
    }
    let info = try client.region(name.index)
    guard info.size > 0 else {
      throw CommandError("the device has no \(name.text). `vfio-user info` lists its regions.")
    }
    self.name = name
    size = info.size
    flags = info.flags
  }

  /// Checks an access.
  ///
  /// - Throws: ``CommandError`` with what would be possible.
  func check(_ wanted: RegionFlags, at offset: UInt64, count: UInt64) throws {
    guard flags.isSuperset(of: wanted) else {
      let verb = wanted.contains(.writable) ? "written" : "read"
      throw CommandError(
        "\(name.text) cannot be \(verb), says the device. --unchecked sends the access all the same."
      )
    }
    let (end, wraps) = offset.addingReportingOverflow(count)
    guard !wraps, end <= size else {
      let last =
        size >= count ? "the last place for them is 0x\(hex(size - count, 1))" : "they are too many"
      throw CommandError(
        "\(count) bytes at 0x\(hex(offset, 1)) are not inside \(name.text), which has \(byteCount(size)): \(last). --unchecked sends the access all the same."
      )
    }
  }
}
