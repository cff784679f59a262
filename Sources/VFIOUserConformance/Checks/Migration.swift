internal import VFIOUserProtocol

extension Check {
  private typealias State = DeviceStates

  static let migration: [Check] = [
    destructive(901, "A device can be stopped and go on", Clause.arcs) { peer throws(Verdict) in
      try peer.enter(State.stop, "STOP")
      try peer.run()
    },
    destructive(902, "STOP, STOP_COPY and back", Clause.arcs) { peer throws(Verdict) in
      try peer.enter(State.stop, "STOP")
      try peer.enter(State.stopCopy, "STOP_COPY")
      try peer.enter(State.stop, "STOP")
      try peer.run()
    },
    destructive(903, "RUNNING goes to STOP_COPY by way of STOP", Clause.paths) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      try peer.run()
    },
    destructive(904, "RUNNING goes to RESUMING by way of STOP", Clause.paths) {
      peer throws(Verdict) in
      try peer.enter(State.resuming, "RESUMING")
      try leaveResuming(peer)
    },
    destructive(905, "The way to the present state is no way at all", Clause.arcs) {
      peer throws(Verdict) in
      try peer.run()
      try peer.enter(State.stop, "STOP")
      try peer.enter(State.stop, "STOP")
      try peer.run()
    },
    destructive(906, "ERROR cannot be asked for", Clause.arcs) { peer throws(Verdict) in
      try peer.refuse(Peer.setting(State.error), "the way to ERROR")
      try require("the state", peer.state(), is: State.running)
    },
    destructive(907, "A state that does not exist cannot be asked for", Clause.state) {
      peer throws(Verdict) in
      for state: UInt32 in [8, 99, .max] {
        try peer.refuse(Peer.setting(state), "the way to state \(state)")
      }
      try require("the state", peer.state(), is: State.running)
    },
    destructive(908, "The P2P states are not used", Clause.state) { peer throws(Verdict) in
      for state in [State.runningP2P, State.preCopyP2P] {
        try peer.refuse(Peer.setting(state), "the way to state \(state)")
      }
    },
    destructive(909, "PRE_COPY and back, if it is supported", Clause.arcs) { peer throws(Verdict) in
      try requirePreCopy(peer)
      try peer.enter(State.preCopy, "PRE_COPY")
      try peer.run()
    },
    destructive(910, "PRE_COPY goes to STOP_COPY", Clause.arcs) { peer throws(Verdict) in
      try requirePreCopy(peer)
      try peer.enter(State.preCopy, "PRE_COPY")
      try peer.enter(State.stopCopy, "STOP_COPY")
      try peer.run()
    },
    destructive(911, "There is no way from STOP_COPY to PRE_COPY", Clause.arcs) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      try peer.refuse(Peer.setting(State.preCopy), "the way from STOP_COPY to PRE_COPY")
      try require("the state", peer.state(), is: State.stopCopy)
      try peer.run()
    },
    destructive(912, "PRE_COPY is refused if it is not supported", Clause.arcs) {
      peer throws(Verdict) in
      if try peer.migrationFlags() & 4 != 0 {
        // From STOP there is no direct arc, and the way by RUNNING is permitted.
        try peer.enter(State.preCopy, "PRE_COPY")
        return try peer.run()
      }
      try peer.refuse(Peer.setting(State.preCopy), "the way to PRE_COPY")
    },
    destructive(913, "The reply to SET is the request again", Clause.feature) {
      peer throws(Verdict) in
      let request = Peer.setting(State.running)
      let reply = try peer.succeed(request)
      try require("the payload", shown(reply.payload), is: shown(request.payload))
    },
    destructive(914, "A SET without its data is refused", Clause.state) { peer throws(Verdict) in
      try peer.refuse(
        .feature(Feature.set | Feature.state, [], argsz: 16), "SET of the state without data")
      try peer.refuse(
        .feature(Feature.set | Feature.state, .u32(1).dropLast(), argsz: 16), "3 bytes of data")
    },
    destructive(915, "Configuration space can be read in STOP", Clause.state) {
      peer throws(Verdict) in
      let before = try peer.configuration(0, as: UInt32.self)
      try peer.enter(State.stop, "STOP")
      try require("vendor and device", peer.configuration(0), is: before)
      try peer.run()
    },
    destructive(916, "A reset of a device that is stopped lets it run, or is refused", Clause.arcs)
    {
      peer throws(Verdict) in
      try requireResettable(peer)
      try peer.enter(State.stop, "STOP")
      let isRefused = try peer.ask(.reset).errno != nil
      try require(
        "the state after a reset", peer.state(), is: isRefused ? State.stop : State.running)
      try peer.run()
    },
    Check(
      917, .migration, "A client that goes in STOP_COPY leaves a device that can run",
      Clause.disconnection, isDestructive: true
    ) { probe throws(Verdict) in
      try probe.openMigratable().enter(State.stopCopy, "STOP_COPY")
      try probe.openMigratable().run()
    },
  ]

  /// A check with a client of a device that can be migrated.
  static func destructive(
    _ number: Int, _ title: String, _ clause: String,
    _ body: @escaping @Sendable (Peer) throws(Verdict) -> Void
  ) -> Check {
    Check(number, .migration, title, clause, isDestructive: true) { probe throws(Verdict) in
      let peer = try probe.openMigratable()
      do throws(Verdict) {
        try body(peer)
      } catch {
        // The checks that follow need a device that runs.
        _ = try? peer.ask(Peer.setting(State.running))
        throw error
      }
    }
  }

  private static func requirePreCopy(_ peer: Peer) throws(Verdict) {
    guard try peer.migrationFlags() & 4 != 0 else { throw .skipped("PRE_COPY is not supported") }
  }

  /// Leaves RESUMING without having loaded anything, which the server may refuse.
  static func leaveResuming(_ peer: Peer) throws(Verdict) {
    let reply = try peer.ask(Peer.setting(State.running))
    if reply.errno != nil {
      try peer.succeed(.reset, "DEVICE_RESET after a state that was refused")
    }
    try require("the state", peer.state(), is: State.running)
  }
}
