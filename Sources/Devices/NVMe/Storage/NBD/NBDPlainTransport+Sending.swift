internal import CLinux
internal import DequeModule
internal import Glibc

/// Requests, several at a time.
extension NBDPlainTransport {
  /// Most bytes of one call, about what a socket takes.
  private static let mostBytes = 1 << 20

  func send() {
    while !queue.isEmpty, failure == 0 {
      let (count, bytes) = prepare()
      // Sound: `prepare` has filled so many, with memory that is there until the command's end.
      let sent = unsafe slices.withMemoryRebound(to: clinux_slice.self, capacity: count) {
        unsafe clinux_send(descriptor, $0, Int32(count), nil, 0, 0)
      }
      guard sent >= 0 else {
        if sent != -Int(EAGAIN) { failure = Int32(-sent) }
        return
      }
      noteSent(sent)
      // The socket is full.
      if sent < bytes { return }
    }
  }

  /// Fills `slices` with what is to be sent.
  ///
  /// - Returns: how many there are, and their bytes.
  private func prepare() -> (count: Int, bytes: Int) {
    var (count, bytes) = (0, 0)
    // What was sent already is left out.
    var skip = sentOfFirst
    func add(_ memory: UnsafeMutableRawPointer, _ size: Int) {
      guard skip < size else { return skip -= size }
      unsafe slices[count] = iovec(iov_base: memory + skip, iov_len: size - skip)
      count += 1
      bytes += size - skip
      skip = 0
    }
    for place in queue where bytes < Self.mostBytes {
      unsafe add(headers.place(place * Self.requestSize), Self.requestSize)
      guard entries[place].kind == .write, let memory = unsafe entries[place].memory else {
        continue
      }
      unsafe add(memory, entries[place].count)
    }
    return (count, bytes)
  }

  private func noteSent(_ count: Int) {
    var left = sentOfFirst + count
    while let place = queue.first {
      let data = entries[place].kind == .write ? entries[place].count : 0
      guard left >= Self.requestSize + data else { break }
      left -= Self.requestSize + data
      entries[place].isSent = true
      queue.removeFirst()
    }
    sentOfFirst = left
  }
}
