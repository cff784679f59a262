internal import LinuxPrimitives

/// A server and its device.
package struct SavedServer: Codable, Sendable {
  /// The server, with its client.
  var record: ServerRecord
  /// The device: a stream of its state, without the memory behind regions, which stays where it is.
  var state: [UInt8]

  /// The numbers of the descriptors that must stay open.
  package var descriptors: [Int32] {
    var all: [Int32] = []
    var copy = record
    copy.eachDescriptor { all.append($0) }
    return all
  }

  /// The same server with duplicates of its descriptors.
  package func duplicated() throws(SystemCallError) -> SavedServer {
    var copy = self
    var failure: SystemCallError?
    copy.record.eachDescriptor { number in
      do throws(SystemCallError) {
        number = try OwnedDescriptor.duplicate(of: number).release()
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return copy
  }

  var stateFile: StateFile {
    get throws(HandoverError) {
      try HandoverError.wrapping("no memory for a device's state") {
        let file = try StateFile(limit: UInt64(state.count))
        try file.append(state.span)
        return file
      }
    }
  }
}
