/// A device that was asked for, and where.
struct DeviceToServe {
  let command: any DeviceCommand
  /// Nil for the command line.
  let place: ConfigurationPlace?

  init(_ command: any DeviceCommand, at place: ConfigurationPlace? = nil) {
    self.command = command
    self.place = place
  }

  /// What its messages begin with, among several.
  var log: DeviceLog { DeviceLog(name: place?.withinFile) }

  /// As messages call it.
  var name: String {
    [place?.withinFile, command.socket.name].compactMap { $0 }.joined(separator: ", ")
  }

  /// Says which device a failure is about.
  func explaining<Result>(_ body: () throws -> Result) throws -> Result {
    guard let place else { return try body() }
    do {
      return try body()
    } catch {
      throw CommandError("\(place): \(ConfiguredDevice.inWordsOfTheFile("\(error)"))")
    }
  }
}

/// What one device has to itself no other may have, and the device itself only once.
///
/// - Throws: ``ConfigurationError``, or ``UsageError`` for the command line.
func checkClaims(of devices: [DeviceToServe]) throws {
  var taken: [String: (claim: ExclusiveResource, place: ConfigurationPlace?)] = [:]
  for device in devices {
    for claim in device.command.claims {
      if let first = taken[claim.identity], !(claim.isShared && first.claim.isShared) {
        let owner =
          first.place == device.place ? "the same device" : first.place?.withinFile ?? "another"
        let what = "its \(claim) is taken by the \(first.claim.what) of \(owner). \(claim.remedy)"
        guard let place = device.place else { throw UsageError(what) }
        throw ConfigurationError(place, what)
      }
      taken[claim.identity] = (claim, device.place)
    }
  }
}
