internal import VFIOUserProtocol

extension Check {
  static let features: [Check] = [
    Check(801, .features, "An unknown feature is not found by PROBE", Clause.feature) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(.feature(Feature.probe | Feature.unknown), "PROBE of an unknown feature")
      try peer.refuse(
        .feature(Feature.probe | Feature.get | Feature.unknown), "PROBE and GET of one")
    },
    Check(802, .features, "An unknown feature can be neither read nor set", Clause.feature) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(.feature(Feature.get | Feature.unknown), "GET of an unknown feature")
      try peer.refuse(
        .feature(Feature.set | Feature.unknown, .u64(0)), "SET of an unknown feature")
    },
    Check(803, .features, "A feature without a method is refused", Clause.feature) {
      probe throws(Verdict) in
      try probe.open().refuse(.feature(Feature.migration), "neither GET nor SET nor PROBE")
    },
    Check(804, .features, "GET and SET at once are refused", Clause.feature) {
      probe throws(Verdict) in
      try probe.open().refuse(
        .feature(Feature.get | Feature.set | Feature.state, .u32(2, 0)), "GET and SET at once")
    },
    Check(805, .features, "A payload shorter than the structure is refused", Clause.feature) {
      probe throws(Verdict) in
      try probe.open().refuse(Request(.deviceFeature, .u32(8)), "a payload of 4 bytes")
    },
    Check(806, .features, "Flags that are not defined are refused", Clause.vfio) {
      probe throws(Verdict) in
      let peer = try probe.openMigratable()
      try peer.refuse(
        .feature(1 << 31 | Feature.get | Feature.migration), "flag 31 with GET of MIGRATION")
    },
    Check(807, .features, "PROBE finds what GET reads", Clause.feature) { probe throws(Verdict) in
      let peer = try probe.openMigratable()
      try peer.succeed(
        .feature(Feature.probe | Feature.get | Feature.migration), "PROBE of GET of MIGRATION")
      try peer.succeed(
        .feature(Feature.probe | Feature.get | Feature.set | Feature.state),
        "PROBE of GET and SET of the device state")
    },
    Check(808, .features, "PROBE fails if one of the methods is missing", Clause.feature) {
      probe throws(Verdict) in
      let peer = try probe.openMigratable()
      try peer.refuse(
        .feature(Feature.probe | Feature.get | Feature.set | Feature.migration),
        "PROBE of SET of MIGRATION, which can only be read")
    },
    Check(809, .features, "The reply to PROBE is the request again", Clause.feature) {
      probe throws(Verdict) in
      let peer = try probe.openMigratable()
      let request = Request.feature(Feature.probe | Feature.migration, argsz: 8)
      let reply = try peer.succeed(request)
      try require("the payload", shown(reply.payload), is: shown(request.payload))
    },
    Check(810, .features, "A device that can be migrated has STOP_COPY", Clause.migration) {
      probe throws(Verdict) in
      let flags = try probe.open().migrationFlags()
      try require(flags & 1 != 0, "VFIO_MIGRATION_STOP_COPY", saw: hex(flags))
    },
    Check(811, .features, "The reply to GET says in argsz how large it is", Clause.feature) {
      probe throws(Verdict) in
      let peer = try probe.openMigratable()
      let reply = try peer.succeed(.feature(Feature.get | Feature.migration), atLeast: 16)
      try require("argsz", Int(reply.word(0)), is: reply.payload.count)
    },
    Check(
      812, .features, "Too small an argsz for GET is refused, or told what is needed",
      Clause.argsz
    ) { probe throws(Verdict) in
      let peer = try probe.openMigratable()
      for size: UInt32 in [0, 8, 15] {
        let request = Request.feature(Feature.get | Feature.migration, argsz: size)
        try requireToldOrRefused(peer, request, "argsz \(size)", needs: 16)
      }
    },
    Check(813, .features, "A device that nobody has stopped is RUNNING", Clause.state) {
      probe throws(Verdict) in
      try require("the state", try probe.openMigratable().state(), is: DeviceStates.running)
    },
    Check(
      814, .features, "The log of written pages cannot be read before it is started",
      Clause.report
    ) { probe throws(Verdict) in
      let peer = try probe.openLogging()
      try peer.refuse(Logging.report(), "DMA_LOGGING_REPORT before DMA_LOGGING_START")
    },
  ]
}
