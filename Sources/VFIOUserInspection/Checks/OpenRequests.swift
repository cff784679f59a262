internal import VFIOUserProtocol

/// A command that has no reply yet.
struct OpenRequest: Sendable {
  let header: Header
  let instant: UInt64
  let region: RegionIndex?
  /// The first bytes of the payload: what replies are compared with.
  let fixed: [UInt8]

  static let kept = 32

  init(_ message: CheckedMessage, _ header: Header) {
    self.header = header
    instant = message.message.instant
    region = message.region
    fixed = Array(message.message.payload.prefix(Self.kept))
  }

  /// The 4-byte number at an offset of the payload; nil if the payload is shorter.
  func word(at offset: Int) -> UInt32? {
    offset + 4 <= fixed.count ? fixed.span.littleEndian(at: offset) : nil
  }
}

/// The commands of one sender on one socket that have no reply yet.
///
/// IDs may be used again at any time (specification, "Header"): several commands can have the same.
struct OpenRequests: Sendable {
  /// Forgets all when there are more: replies are not coming.
  static let limit = 1 << 16
  /// As many may have the same ID; of more the older half is forgotten.
  static let sameLimit = 1024

  private var byID: [UInt16: [OpenRequest]] = [:]
  private(set) var count = 0

  /// All of them.
  var requests: [OpenRequest] { byID.values.flatMap { $0 } }

  /// - Returns: whether older ones have been forgotten.
  mutating func add(_ request: OpenRequest) -> Bool {
    let isFull = count >= Self.limit
    if isFull {
      byID = [:]
      count = 0
    }
    let surplus = (byID[request.header.id]?.count ?? 0) >= Self.sameLimit
    if surplus {
      byID[request.header.id]?.removeFirst(Self.sameLimit / 2)
      count -= Self.sameLimit / 2
    }
    byID[request.header.id, default: []].append(request)
    count += 1
    return isFull || surplus
  }

  /// The command that a reply belongs to: of those with its ID the oldest with its command, else the
  /// oldest.
  mutating func take(for reply: Header) -> OpenRequest? {
    guard var same = byID[reply.id], !same.isEmpty else { return nil }
    let index = same.firstIndex { $0.header.command == reply.command } ?? 0
    let request = same.remove(at: index)
    byID[reply.id] = same.isEmpty ? nil : same
    count -= 1
    return request
  }
}
