internal import CLinux
internal import DequeModule
internal import Glibc

/// Simple replies, many at a time: small ones through a buffer of ours, the data of large reads straight to its place.
extension NBDPlainTransport {
  /// Calls for one ``receive(_:_:)``: a turn does not belong to a server that sends without end.
  private static let mostCalls = 16

  func receive(_ events: Int16, _ end: (Int, Int32) -> Void) -> Bool {
    // The data of reads is copied to memory of a client.
    clinux_guard_enter_thread()
    var found = false
    for _ in 0..<Self.mostCalls where !isSilent {
      let (count, wasFull) = take()
      if count > 0 { found = true }
      parse(end)
      if !wasFull { break }
    }
    return found
  }

  // MARK: From the socket

  /// Receives what there is room for.
  ///
  /// - Returns: the number of bytes, and whether there may be more.
  private func take() -> (count: Int, wasFull: Bool) {
    let (count, room) = prepare()
    var message = unsafe msghdr()
    unsafe message.msg_iov = slices
    unsafe message.msg_iovlen = count
    // Sound: `prepare` has filled so many; the message is lent for the call. The kernel copies, so a client's memory that is
    // gone is an error.
    let result = unsafe recvmsg(descriptor, &message, Int32(MSG_DONTWAIT))
    guard result > 0 else {
      return (0, noteFailure(result == 0 ? ECONNRESET : errno))
    }
    note(result)
    return (result, result == room)
  }

  /// Fills `slices`: the rest of a read's data, and our buffer behind what is in it.
  ///
  /// - Returns: how many there are, and how many bytes there is room for.
  private func prepare() -> (count: Int, room: Int) {
    // What is left of the buffer is less than a reply's header, if anything.
    let kept = fresh.count
    if fresh.lowerBound > 0 {
      if kept > 0 { unsafe memmove(input.place(0), input.place(fresh.lowerBound), kept) }
      fresh = 0..<kept
    }
    // Not more than the next header if the data of a large read may follow.
    let room = (largeReads > 0 ? Self.replySize : input.size) - kept
    guard let reply, let memory = unsafe entries[reply.place].memory else {
      let all = reply == nil ? room : input.size - kept
      unsafe slices[0] = iovec(iov_base: input.place(kept), iov_len: all)
      return (1, all)
    }
    let done = entries[reply.place].count - reply.left
    unsafe slices[0] = iovec(iov_base: memory + done, iov_len: reply.left)
    unsafe slices[1] = iovec(iov_base: input.place(kept), iov_len: room)
    return (2, reply.left + room)
  }

  private func note(_ count: Int) {
    var count = count
    if let (place, left) = reply, unsafe entries[place].memory != nil {
      let direct = min(left, count)
      reply = (place, left - direct)
      count -= direct
    }
    fresh = fresh.lowerBound..<(fresh.upperBound + count)
  }

  /// - Returns: whether to try again.
  private func noteFailure(_ error: Int32) -> Bool {
    switch error {
    case EAGAIN: return false
    case EINTR: return true
    case EFAULT:
      guard let reply, unsafe entries[reply.place].memory != nil else { break }
      loseMemory(of: reply.place)
      return true
    default: break
    }
    lose(error)
    return false
  }

  /// The client has truncated it: the data is dropped, and nothing else is the worse for it.
  private func loseMemory(of place: Int) {
    unsafe entries[place].memory = nil
    entries[place].error = EFAULT
  }

  private func lose(_ error: Int32) {
    isSilent = true
    if failure == 0 { failure = error }
  }

  // MARK: From the buffer

  private func parse(_ end: (Int, Int32) -> Void) {
    while !isSilent {
      if let (place, left) = reply {
        let count = min(left, fresh.count)
        if count > 0 { copy(count, to: place, left: left) }
        reply = (place, left - count)
        guard count == left else { return }
        reply = nil
        finish(place, entries[place].error, end)
      } else {
        guard fresh.count >= Self.replySize else { return }
        parseHeader(end)
      }
    }
  }

  private func parseHeader(_ end: (Int, Int32) -> Void) {
    // Sound: so many bytes are there.
    let bytes = unsafe UnsafeRawPointer(input.place(fresh.lowerBound))
    let magic = unsafe UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
    let number = unsafe UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    let cookie = unsafe UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    fresh = (fresh.lowerBound + Self.replySize)..<fresh.upperBound
    let place = Int(cookie & 0xFF)
    guard magic == 0x6744_6698, cookie != 0, place < entries.count,
      entries[place].cookie == cookie, entries[place].isSent
    else { return lose(EPROTO) }
    guard number == 0 else {
      // NBD protocol, "Error values": those that are not known are to be taken for EINVAL.
      let error = Int32(truncatingIfNeeded: number)
      return finish(place, NBDReplyError.isKnown(error) ? error : EINVAL, end)
    }
    guard entries[place].kind == .read else { return finish(place, 0, end) }
    reply = (place, entries[place].count)
  }

  /// Moves data of a read from the buffer to its place.
  private func copy(_ count: Int, to place: Int, left: Int) {
    defer { fresh = (fresh.lowerBound + count)..<fresh.upperBound }
    guard let memory = unsafe entries[place].memory else { return }
    let done = entries[place].count - left
    // Sound: so many bytes are in the buffer, and the command's memory has room for all of its data.
    let result = unsafe clinux_guarded_copy(memory + done, input.place(fresh.lowerBound), count)
    if result != 0 { loseMemory(of: place) }
  }

  private func finish(_ place: Int, _ error: Int32, _ end: (Int, Int32) -> Void) {
    free(place)
    end(place, error)
  }
}
