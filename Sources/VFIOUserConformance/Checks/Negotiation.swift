internal import VFIOUserProtocol

/// What a VERSION says.
struct VersionFacts {
  let major: UInt16
  let minor: UInt16
  /// Behind the numbers, the NUL byte included; empty if there is nothing.
  let text: [UInt8]
  let message: Message

  init(_ message: Message) throws(Verdict) {
    guard let major: UInt16 = message.payload.number(at: 0),
      let minor: UInt16 = message.payload.number(at: 2)
    else { throw fail("4 bytes or more in VERSION", saw: "\(message.payload.count)") }
    self.major = major
    self.minor = minor
    text = Array(message.payload.dropFirst(4))
    self.message = message
  }

  /// The text as JSON; an empty object if there is none.
  func json() throws(Verdict) -> JSONText {
    guard !text.isEmpty else { return .object([:]) }
    try require(text.last == 0, "version data ends with a NUL byte", saw: shown(text.suffix(4)))
    guard let json = JSONText(Array(text.dropLast())) else {
      throw fail("version data is JSON in UTF-8", saw: shown(text))
    }
    return json
  }

  /// The field `capabilities`; an empty object if there is none.
  func capabilities() throws(Verdict) -> JSONText {
    try json()["capabilities"] ?? .object([:])
  }
}

extension [UInt8] {
  fileprivate func suffix(_ count: Int) -> [UInt8] {
    Array(self[Swift.max(0, self.count - count)...])
  }
}

extension Probe {
  /// The answer to a VERSION that must succeed.
  func negotiate(_ request: Request = .proposal) throws(Verdict) -> VersionFacts {
    try VersionFacts(agree(request).reply)
  }

  /// A first message that must not succeed: an error reply and the end are both permitted.
  func requireNoAgreement(_ request: Request, _ what: String) throws(Verdict) {
    let (_, answer) = try begin(with: request)
    if case .reply(let reply) = answer, reply.errno == nil {
      throw .failed(expected: "\(what) is refused", seen: Sight("success", .success))
    }
  }

  /// A first message that may succeed or not, as long as it is answered and the server lives.
  func requireAnswer(_ request: Request, _ what: String) throws(Verdict) {
    _ = try begin(with: request)
    try requireAlive(after: what)
  }
}

extension Check {
  static let negotiation: [Check] = [
    Check(201, .negotiation, "The major version is that of the client", Clause.version) {
      probe throws(Verdict) in
      try require("the major version", probe.negotiate().major, is: 0)
    },
    Check(202, .negotiation, "The minor version is at most that of the client", Clause.version) {
      probe throws(Verdict) in
      let minor = try probe.negotiate().minor
      try require(minor <= 1, "a minor version of 0 or 1", saw: "\(minor)")
    },
    Check(203, .negotiation, "Version data is JSON that ends with a NUL byte", Clause.version) {
      probe throws(Verdict) in
      _ = try probe.negotiate().json()
    },
    Check(204, .negotiation, "Version data is an object, and so are capabilities", Clause.version) {
      probe throws(Verdict) in
      guard case .object = try probe.negotiate().json() else {
        throw fail("an object", saw: "another value")
      }
      guard case .object = try probe.negotiate().capabilities() else {
        throw fail("an object for capabilities", saw: "another value")
      }
    },
    Check(205, .negotiation, "Capabilities are a subset of those proposed", Clause.version) {
      probe throws(Verdict) in
      let proposal = #"{"capabilities":{"max_msg_fds":8}}"#
      let names = try probe.negotiate(.version(proposal)).capabilities().names
      let surplus = names.filter { $0 != "max_msg_fds" }
      try require(surplus.isEmpty, "max_msg_fds at most", saw: surplus.joined(separator: ", "))
    },
    Check(206, .negotiation, "No capabilities are listed when none is proposed", Clause.version) {
      probe throws(Verdict) in
      let names = try probe.negotiate(.version(#"{"capabilities":{}}"#)).capabilities().names
      try require(names.isEmpty, "none", saw: names.joined(separator: ", "))
    },
    Check(207, .negotiation, "Version data is optional", Clause.version) { probe throws(Verdict) in
      _ = try probe.negotiate(.version(nil))
    },
    Check(208, .negotiation, "The field capabilities is optional", Clause.version) {
      probe throws(Verdict) in
      _ = try probe.negotiate(.version("{}"))
    },
    Check(209, .negotiation, "An unknown capability is ignored", Clause.version) {
      probe throws(Verdict) in
      let json = #"{"capabilities":{"x-check":{"a":[1,2]},"max_msg_fds":1}}"#
      _ = try probe.negotiate(.version(json))
    },
    Check(210, .negotiation, "An unknown field beside capabilities is ignored", Clause.version) {
      probe throws(Verdict) in
      _ = try probe.negotiate(.version(#"{"x-check":true,"capabilities":{}}"#))
    },
    Check(211, .negotiation, "Another major version is refused", Clause.version) {
      probe throws(Verdict) in
      for major: UInt16 in [1, 0xFFFF] {
        try probe.requireNoAgreement(.version("{}", major: major), "major version \(major)")
      }
      try probe.requireAlive(after: "another major version")
    },
    Check(212, .negotiation, "A newer minor version is accepted", Clause.version) {
      probe throws(Verdict) in
      try require("the major version", probe.negotiate(.version("{}", minor: .max)).major, is: 0)
    },
    Check(213, .negotiation, "Minor version 0 is accepted and kept", Clause.version) {
      probe throws(Verdict) in
      try require("the minor version", probe.negotiate(.version("{}", minor: 0)).minor, is: 0)
    },
    Check(214, .negotiation, "Text that is no JSON is refused", Clause.version) {
      probe throws(Verdict) in
      try probe.requireNoAgreement(.version(#"{"capabilities":{"#), "version data cut short")
      try probe.requireAlive(after: "text that is no JSON")
    },
    Check(215, .negotiation, "Version data without a NUL byte does no harm", Clause.security) {
      probe throws(Verdict) in
      let request = Request.version(#"{"capabilities":{}}"#, isTerminated: false)
      try probe.requireAnswer(request, "version data without a NUL byte")
    },
    Check(216, .negotiation, "Capabilities that are no object do no harm", Clause.security) {
      probe throws(Verdict) in
      for value in ["3", "null", "[1]", #""text""#] {
        try probe.requireAnswer(.version(#"{"capabilities":\#(value)}"#), "capabilities \(value)")
      }
    },
    Check(217, .negotiation, "Capabilities of a wrong type do no harm", Clause.security) {
      probe throws(Verdict) in
      let fields = [
        #""max_msg_fds":"many""#, #""max_data_xfer_size":true"#, #""pgsizes":{}"#,
        #""twin_socket":1"#, #""write_multiple":"yes""#,
      ]
      for field in fields {
        try probe.requireAnswer(.version(#"{"capabilities":{\#(field)}}"#), field)
      }
    },
    Check(218, .negotiation, "Numbers without sense do no harm", Clause.security) {
      probe throws(Verdict) in
      let fields = [
        #""max_msg_fds":0"#, #""max_msg_fds":-1"#, #""max_data_xfer_size":0"#,
        #""max_data_xfer_size":1e300"#, #""max_dma_maps":18446744073709551616"#,
      ]
      for field in fields {
        try probe.requireAnswer(.version(#"{"capabilities":{\#(field)}}"#), field)
      }
    },
  ]
}
