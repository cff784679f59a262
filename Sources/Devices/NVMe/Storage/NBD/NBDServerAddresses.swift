internal import Glibc
internal import Synchronization

/// The addresses of a server's host, looked up once, when the disk is opened: later connections are made where names
/// cannot be looked up any more.
struct NBDServerAddresses: Sendable {
  /// Each as the socket calls have it; none for a UNIX socket.
  let all: [[UInt8]]

  /// Looks the name of the host up, which may wait for a server of names.
  ///
  /// - Throws: ``NBDError/unknownHost(_:_:)``.
  init(of address: NBDAddress) throws(NBDError) {
    guard case .tcp(let host, let port) = address.place, !address.needsName else {
      all = []
      return
    }
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    // Sound: texts and results are lent for the call; the list is freed once.
    let result = unsafe getaddrinfo(host, "\(port)", &hints, &found)
    guard result == 0, let first = unsafe found else {
      throw .unknownHost(host, unsafe String(cString: gai_strerror(result)))
    }
    defer { unsafe freeaddrinfo(first) }
    var list: [[UInt8]] = []
    var next = unsafe found
    while let one = unsafe next {
      let bytes = unsafe UnsafeRawBufferPointer(
        start: one.pointee.ai_addr, count: Int(one.pointee.ai_addrlen))
      list.append(unsafe Array(bytes))
      unsafe next = one.pointee.ai_next
    }
    all = list
  }

  /// How many ways there are to try.
  var count: Int { max(1, all.count) }
}
