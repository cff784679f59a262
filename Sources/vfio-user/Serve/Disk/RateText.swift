import ArgumentParser
import NVMeDevice
import VFIOUserProgram
import VFIOUserServer

/// A rate limit in the notation of users: how much per second, and behind a slash how much at once after a rest.
struct RateText: CustomStringConvertible {
  /// Nil for none.
  let limit: RateLimit?

  /// Reads "1000", "1000/5000", "100M/1G" or "off".
  ///
  /// - Throws: `ValidationError` with the notation.
  init(text: String) throws {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map {
      ByteCount(argument: String($0)).map { Int($0.bytes) }
    }
    switch (parts.count, parts.first ?? nil, parts.last ?? nil) {
    case _ where text == "off": limit = nil
    case (1, let rate?, _): limit = RateLimit(perSecond: rate)
    case (2, let rate?, let burst?): limit = RateLimit(perSecond: rate, burst: burst)
    default:
      throw ValidationError(
        "'\(text)' is no limit. Write how much per second, 1000 or 100M for example, and behind a slash how much at once after a rest: 1000/5000. 'off' is no limit."
      )
    }
  }

  init(_ limit: RateLimit?) { self.limit = limit }

  var description: String {
    guard let limit else { return "off" }
    return limit.burst.map { "\(limit.perSecond)/\($0)" } ?? "\(limit.perSecond)"
  }
}

/// A limit of a disk, and what users call it: `ops` behind `ctl limits --`, `limit-ops` in the options of the disk.
struct RateKind: Sendable {
  let name: String
  /// What it is about, in a table.
  let title: String
  let limit: any WritableKeyPath<RateLimits, RateLimit?> & Sendable
  let range: ClosedRange<Int>

  private init(
    _ name: String, _ title: String,
    _ limit: any WritableKeyPath<RateLimits, RateLimit?> & Sendable,
    _ range: ClosedRange<Int> = RateLimits.operationRange
  ) {
    (self.name, self.title, self.limit, self.range) = (name, title, limit, range)
  }

  static let all = [
    RateKind("ops", "operations per second", \.operations),
    RateKind("read-ops", "reads per second", \.readOperations),
    RateKind("write-ops", "writes per second", \.writeOperations),
    RateKind("bytes", "bytes per second", \.bytes, RateLimits.byteRange),
    RateKind("read-bytes", "bytes read per second", \.readBytes, RateLimits.byteRange),
    RateKind("write-bytes", "bytes written per second", \.writeBytes, RateLimits.byteRange),
  ]

  /// - Parameter option: what the user calls it.
  /// - Throws: `ValidationError` for a number that is out of range.
  func check(_ text: RateText, option: String) throws {
    guard let one = text.limit else { return }
    guard range.contains(one.perSecond), 1...range.upperBound ~= one.burst ?? 1 else {
      throw ValidationError(
        "\(option) takes \(range.lowerBound) to \(range.upperBound) per second, and 1 to \(range.upperBound) at once, not '\(text)'."
      )
    }
  }
}

extension RateKind {
  /// Checks what was given for each kind, in the order of ``all``.
  ///
  /// - Parameter prefix: what stands before the name in the option.
  static func check(_ texts: [RateText?], prefix: String) throws {
    for case (let kind, let text?) in zip(all, texts) {
      try kind.check(text, option: prefix + kind.name)
    }
  }
}

extension RateLimits {
  /// Those that there are, by their names.
  var texts: [String: String] {
    var texts: [String: String] = [:]
    for kind in RateKind.all {
      if let limit = self[keyPath: kind.limit] { texts[kind.name] = "\(RateText(limit))" }
    }
    return texts
  }

  /// Changes limits that are called by their names.
  ///
  /// - Throws: ``CommandError`` with what is wrong with one of them.
  mutating func change(_ texts: [String: String]) throws {
    for (name, text) in texts.sorted(by: { $0.key < $1.key }) {
      guard let kind = RateKind.all.first(where: { $0.name == name }) else {
        throw CommandError(
          "there is no limit '\(name)', but \(RateKind.all.map(\.name).joined(separator: ", "))")
      }
      do {
        let rate = try RateText(text: text)
        try kind.check(rate, option: name)
        self[keyPath: kind.limit] = rate.limit
      } catch let error as ValidationError {
        throw CommandError(error.message)
      }
    }
  }
}

extension RateControl {
  /// That of disks.
  static var ofDisks: RateControl { RateControl(shown: shown, change: change) }

  private static func shown(_ device: any Device) -> [ProcessLimits.Limit] {
    let limits = (device as? NVMeDevice)?.limits ?? RateLimits()
    return RateKind.all.compactMap { kind in
      limits[keyPath: kind.limit].map {
        ProcessLimits.Limit(
          name: kind.title, used: nil, limit: UInt64($0.perSecond),
          burst: $0.burst.map { UInt64($0) })
      }
    }
  }

  private static func change(_ device: any Device, _ texts: [String: String]) throws {
    guard let disk = device as? NVMeDevice else { return }
    var limits = disk.limits
    try limits.change(texts)
    try disk.limit(limits)
  }
}
