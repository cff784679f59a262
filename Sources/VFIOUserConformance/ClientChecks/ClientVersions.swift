internal import VFIOUserProtocol

extension ClientCheck {
  static let versions: [ClientCheck] = [
    ClientCheck(2001, "version", "VERSION is the first message", Clause.version) {
      transcript, _ throws(Verdict) in
      let first = transcript.messages.first?.header.command
      try require(first == .version, "VERSION", saw: first.map { "\($0)" } ?? "nothing")
    },
    ClientCheck(2002, "version", "VERSION is a command that awaits a reply", Clause.version) {
      transcript, _ throws(Verdict) in
      try each(.version, transcript) { message throws(Verdict) in
        try require("the flags of VERSION", hex(message.header.flags.rawValue), is: "0x0")
      }
    },
    ClientCheck(2003, "version", "VERSION is sent once on a connection", Clause.version) {
      transcript, _ throws(Verdict) in
      try require(
        "the number of VERSIONs", transcript.commands(.version).count, is: transcript.connections)
    },
    ClientCheck(2004, "version", "The major version is 0", Clause.version) {
      transcript, _ throws(Verdict) in
      try each(.version, transcript) { message throws(Verdict) in
        try require("the major version", VersionFacts(message).major, is: 0)
      }
    },
    ClientCheck(2005, "version", "Version data is JSON that ends with a NUL byte", Clause.version) {
      transcript, _ throws(Verdict) in
      try each(.version, transcript) { message throws(Verdict) in
        _ = try VersionFacts(message).json()
      }
    },
    ClientCheck(
      2006, "version", "Version data is an object, and so are capabilities",
      Clause.version
    ) { transcript, _ throws(Verdict) in
      try each(.version, transcript) { message throws(Verdict) in
        guard case .object = try VersionFacts(message).json(),
          case .object = try VersionFacts(message).capabilities()
        else { throw fail("objects", saw: "other values") }
      }
    },
    ClientCheck(
      2007, "version", "Capabilities that are numbers are whole and above 0",
      Clause.version
    ) { transcript, _ throws(Verdict) in
      try each(.version, transcript) { message throws(Verdict) in
        let capabilities = try VersionFacts(message).capabilities()
        for name in ["max_msg_fds", "max_data_xfer_size", "max_dma_maps", "pgsizes"] {
          guard let value = capabilities[name] else { continue }
          try require((value.whole ?? 0) > 0, "a number for \(name)", saw: "\(value)")
        }
      }
    },
    ClientCheck(
      2008, "version", "A server without version data is taken", Clause.version,
      .version("VERSION without data", nil)
    ) { transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain)
    },
    ClientCheck(
      2009, "version", "A server of minor version 0 is taken", Clause.version,
      .version("minor version 0", "{}", minor: 0)
    ) { transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain)
    },
    ClientCheck(
      2010, "version", "An unknown field beside capabilities is ignored", Clause.version,
      .version("an unknown field", #"{"x-check":[1,{"a":null}],"capabilities":{}}"#)
    ) { transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain)
    },
    ClientCheck(
      2011, "version", "Another major version ends the connection", Clause.version,
      Scenario("major version 7", .version) { _, answer in
        answer.payload = PlayedDevice.version("{}", major: 7)
      }
    ) { transcript, plain throws(Verdict) in
      let rest = transcript.messages.count { $0.header.command != .version }
      try require(rest == 0, "no command after it", saw: "\(rest) commands")
      try requireOrderlyEnd(transcript, plain)
    },
    ClientCheck(
      2012, "version", "A twin socket without a descriptor ends the connection",
      Clause.version,
      .version(
        "a twin socket without a descriptor",
        #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#)
    ) { transcript, plain throws(Verdict) in
      let asksForTwin = plain.commands(.version).contains { message in
        let twin = (try? VersionFacts(message).capabilities())?["twin_socket"]
        return twin?["supported"] == .boolean(true)
      }
      guard asksForTwin else { throw .skipped("the client does not ask for a twin socket") }
      let rest = transcript.messages.count { $0.header.command != .version }
      try require(rest == 0, "no command after it", saw: "\(rest) commands")
    },
  ]
}
