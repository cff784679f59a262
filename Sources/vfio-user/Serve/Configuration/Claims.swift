import VFIOUserProgram

/// Checks that no exclusive resource is used twice, by several devices or by one.
///
/// - Parameter devices: the devices; the place of the one of the command line is nil.
/// - Throws: ``ConfigurationError``, or ``UsageError`` for the command line.
func checkClaims(of devices: [(command: any ServeSubcommand, place: ConfigurationPlace?)]) throws {
  var taken: [String: (claim: ExclusiveResource, owner: Int)] = [:]
  for (index, device) in devices.enumerated() {
    for claim in device.command.claims {
      if let first = taken[claim.identity], !(claim.isShared && first.claim.isShared) {
        let other = devices[first.owner]
        let owner =
          first.owner == index
          ? "the same device"
          : other.place?.withinFile ?? "the device on \(other.command.socket.name)"
        let what = "its \(claim) is taken by the \(first.claim.what) of \(owner). \(claim.remedy)"
        guard let place = device.place else { throw UsageError(what) }
        throw ConfigurationError(place, what)
      }
      taken[claim.identity] = (claim, index)
    }
  }
}
