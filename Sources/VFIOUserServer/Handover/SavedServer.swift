internal import CLinux
internal import LinuxPrimitives

/// A server and its device as bytes.
package struct SavedServer: Codable, Sendable {
  /// The server: a value of the state's encoding.
  package var record: [UInt8]
  /// The device: a stream of its state, without the memory behind regions, which stays where it is.
  package var state: [UInt8]

  /// The numbers of the descriptors that must stay open.
  package var descriptors: [Int32] {
    get throws(HandoverError) {
      var all: [Int32] = []
      var record = try serverRecord
      record.eachDescriptor { all.append($0) }
      return all
    }
  }

  /// The same server with duplicates of its descriptors.
  package func duplicated() throws(HandoverError) -> SavedServer {
    var record = try serverRecord
    var failure: SystemCallError?
    record.eachDescriptor { number in
      do throws(SystemCallError) {
        number = try checked("fcntl(F_DUPFD_CLOEXEC)", clinux_duplicate(number))
      } catch {
        failure = error
      }
    }
    if let failure { throw HandoverError("\(failure)") }
    do {
      return SavedServer(record: try StateEncoder.value(of: record).encoded(), state: state)
    } catch {
      throw HandoverError("\(error)")
    }
  }

  var serverRecord: ServerRecord {
    get throws(HandoverError) {
      do {
        return try StateDecoder.decode(
          ServerRecord.self, StateValue(decoding: record), version: 1)
      } catch {
        throw HandoverError("the record of a server cannot be read: \(error)")
      }
    }
  }

  var stateFile: StateFile {
    get throws(HandoverError) {
      do {
        let file = try StateFile(limit: UInt64(state.count))
        try file.append(state.span)
        return file
      } catch {
        throw HandoverError("no memory for a device's state: \(error)")
      }
    }
  }
}
