/// A requested device and its location in the configuration.
struct DeviceToServe {
  let command: any DeviceCommand
  /// Nil for the command line.
  let place: ConfigurationPlace?

  init(_ command: any DeviceCommand, at place: ConfigurationPlace? = nil) {
    self.command = command
    self.place = place
  }

  /// Logging for the device, with its name if there are several.
  var log: DeviceLog { DeviceLog(name: place?.withinFile) }

  /// The name used in messages.
  var name: String {
    [place?.withinFile, command.socket.name].compactMap { $0 }.joined(separator: ", ")
  }

  /// Runs `body` and adds the location of the device to its errors.
  func explaining<Result>(_ body: () throws -> Result) throws -> Result {
    guard let place else { return try body() }
    do {
      return try body()
    } catch {
      throw CommandError("\(place): \(ConfiguredDevice.inWordsOfTheFile("\(error)"))")
    }
  }
}

/// Checks that no exclusive resource is used twice, by several devices or by one.
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
