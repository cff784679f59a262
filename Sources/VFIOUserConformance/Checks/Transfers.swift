internal import VFIOUserProtocol

extension Check {
  private typealias State = DeviceStates

  static let transfers: [Check] = [
    destructive(918, "In STOP_COPY the state can be read to its end", Clause.dataRead) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      _ = try peer.saved()
      try peer.run()
    },
    destructive(919, "Behind the end of the state there is nothing", Clause.dataRead) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      _ = try peer.saved()
      let rest = try peer.migrationData(64)
      try require(rest.isEmpty, "0 bytes", saw: "\(rest.count)")
      try peer.run()
    },
    destructive(920, "argsz of MIG_DATA_READ is what was read and its header", Clause.dataRead) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      let reply = try peer.succeed(.migrationRead(16), atLeast: 8)
      try require("argsz", reply.word(0), is: 8 &+ reply.word(4))
      try peer.run()
    },
    destructive(921, "Small pieces make up the same size as large ones", Clause.dataRead) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      let first = try peer.saved()
      guard first.count <= 64 << 10 else { throw .skipped("a state of \(first.count) bytes") }
      try peer.enter(State.stop, "STOP")
      try peer.enter(State.stopCopy, "STOP_COPY")
      var count = 0
      while count <= first.count {
        let piece = try peer.migrationData(96)
        count += piece.count
        if piece.count < 96 { break }
      }
      try require("the size of the state in pieces of 96 bytes", count, is: first.count)
      try peer.run()
    },
    destructive(922, "A running device has no data to read", Clause.dataRead) {
      peer throws(Verdict) in
      try peer.refuse(.migrationRead(64), "MIG_DATA_READ in RUNNING")
    },
    destructive(923, "A running device takes no data", Clause.dataWrite) { peer throws(Verdict) in
      try peer.refuse(.migrationWrite(.u64(0)), "MIG_DATA_WRITE in RUNNING")
    },
    destructive(924, "A device that is being saved takes no data", Clause.dataWrite) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      try peer.refuse(.migrationWrite(.u64(0)), "MIG_DATA_WRITE in STOP_COPY")
      try peer.run()
    },
    destructive(925, "A saved state can be loaded again", Clause.dataWrite) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      let state = try peer.saved()
      try peer.enter(State.stop, "STOP")
      try peer.enter(State.resuming, "RESUMING")
      try peer.load(state)
      try peer.enter(State.stop, "STOP")
      try peer.run()
    },
    destructive(926, "MIG_DATA_WRITE has no payload in its reply", Clause.dataWrite) {
      peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      let state = try peer.saved()
      try peer.enter(State.resuming, "RESUMING")
      let reply = try peer.succeed(.migrationWrite(Array(state.prefix(16))))
      try require(reply.payload.isEmpty, "no payload", saw: "\(reply.payload.count) bytes")
      try leaveResuming(peer)
    },
    destructive(927, "A loaded state has the registers that were saved", Clause.dataWrite) {
      peer throws(Verdict) in
      try requireResettable(peer)
      try peer.succeed(InterruptLine.write(0x77))
      try peer.enter(State.stopCopy, "STOP_COPY")
      let state = try peer.saved()
      try peer.run()
      try peer.succeed(InterruptLine.write(0x11))
      try peer.enter(State.resuming, "RESUMING")
      try peer.load(state)
      try peer.run()
      try require("the interrupt line that was saved", InterruptLine.read(peer), is: 0x77)
    },
    destructive(928, "What is no state of a device is refused", Clause.arcs) {
      peer throws(Verdict) in
      try peer.enter(State.resuming, "RESUMING")
      try peer.load([UInt8](repeating: 0xA5, count: 512))
      let reply = try peer.ask(Peer.setting(State.stop))
      try require(reply.errno != nil, "the way from RESUMING to STOP is refused", saw: "success")
      try requireResettable(peer)
      try peer.succeed(.reset)
      try require("the state after a reset", peer.state(), is: State.running)
    },
    destructive(929, "A state that is cut short is refused", Clause.arcs) { peer throws(Verdict) in
      try requireResettable(peer)
      try peer.enter(State.stopCopy, "STOP_COPY")
      let state = try peer.saved()
      guard state.count > 1 else { throw .skipped("the state of this device is empty") }
      try peer.enter(State.stop, "STOP")
      try peer.enter(State.resuming, "RESUMING")
      try peer.load(Array(state.prefix(state.count / 2)))
      let reply = try peer.ask(Peer.setting(State.stop))
      try require(reply.errno != nil, "the way from RESUMING to STOP is refused", saw: "success")
      try peer.succeed(.reset)
      try peer.run()
    },
    destructive(930, "Less data than MIG_DATA_WRITE says is refused", Clause.dataWrite) {
      peer throws(Verdict) in
      try peer.enter(State.resuming, "RESUMING")
      try peer.refuse(.migrationWrite([1, 2], size: 64), "2 bytes of data with a size of 64")
      try peer.refuse(.migrationWrite([1, 2], size: .max), "2 bytes with a size of 2^32 - 1")
      try leaveResuming(peer)
    },
    destructive(931, "A read of 4 GiB takes no memory", Clause.security) { peer throws(Verdict) in
      try peer.enter(State.stopCopy, "STOP_COPY")
      let reply = try peer.ask(.migrationRead(.max, argsz: .max))
      try require(
        reply.errno != nil || reply.payload.count < 128 << 20, "an error, or what there is",
        saw: "\(reply.payload.count) bytes")
      // Some servers answer no other question in this state.
      try require("the state", peer.state(), is: State.stopCopy)
      try peer.run()
    },
  ]
}
