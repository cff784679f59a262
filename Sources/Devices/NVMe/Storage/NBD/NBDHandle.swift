internal import CLinux
internal import Glibc
internal import LinuxPrimitives

#if canImport(CLibNBD)
  internal import CLibNBD
#endif

/// A connection to an export, made of a handle of libnbd.
///
/// A thread of its own makes it (``NBDConnector``), and then the controller's thread has it: one at a time. libnbd connects
/// and negotiates; the commands are its business only where the connection has TLS (``NBDLibraryTransport``).
@safe
final class NBDHandle: @unchecked Sendable {
  #if canImport(CLibNBD)
    // Sound: made by `nbd_create`, closed once, in `close`; nil from then on.
    private var handle: OpaquePointer?

    /// - Throws: ``NBDError/connection(_:code:)`` when there is no memory.
    init(_ address: NBDAddress) throws(NBDError) {
      guard let made = unsafe nbd_create() else { throw Self.failure() }
      unsafe handle = made
      do throws(NBDError) {
        // Replies whose data is in one piece: for others libnbd would fill holes with zeros itself, in memory that a guest
        // can truncate. For the same reason it must not prepare the memory of reads.
        try unsafe check(nbd_set_request_structured_replies(made, false))
        try unsafe check(nbd_set_pread_initialize(made, false))
        try unsafe check(nbd_set_export_name(made, address.export))
        try unsafe set(address.tls, of: made)
      } catch {
        close()
        throw error
      }
    }

    private func set(_ tls: NBDAddress.TLS?, of made: OpaquePointer) throws(NBDError) {
      guard let tls else { return }
      try unsafe check(nbd_set_tls(made, Int32(LIBNBD_TLS_REQUIRE)))
      try unsafe check(nbd_set_tls_verify_peer(made, tls.verifiesPeer))
      if let folder = tls.certificates {
        try unsafe check(nbd_set_tls_certificates(made, folder))
      }
      if let file = tls.keyFile { try unsafe check(nbd_set_tls_psk_file(made, file)) }
      if let user = tls.user { try unsafe check(nbd_set_tls_username(made, user)) }
    }

    deinit { close() }

    /// Ends the connection at once.
    func close() {
      guard let open = unsafe handle else { return }
      unsafe handle = nil
      unsafe nbd_close(open)
    }

    // MARK: Connecting, on a thread that may wait

    /// Connects and negotiates.
    func connect(
      to address: NBDAddress, at known: NBDServerAddresses, _ index: Int, before deadline: Deadline
    ) throws(NBDError) {
      guard let handle = unsafe handle else { throw .connection("it is closed", code: EBADF) }
      switch address.place {
      case .unix(let path): try unsafe check(nbd_aio_connect_unix(handle, path))
      case .tcp(let host, let port) where address.needsName:
        try unsafe check(nbd_aio_connect_tcp(handle, host, "\(port)"))
      case .tcp:
        // Sound: the address is lent for the call.
        let result = unsafe known.all[index].withUnsafeBytes { bytes in
          unsafe nbd_aio_connect(
            handle, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self),
            socklen_t(bytes.count))
        }
        try check(result)
      }
      while unsafe nbd_aio_is_connecting(handle) == 1 || nbd_aio_is_negotiating(handle) == 1 {
        let rest = deadline.remaining / 1_000_000
        guard rest > 0 else { throw .noAnswer(seconds: NBDConnector.patience) }
        try unsafe check(nbd_poll(handle, Int32(clamping: rest)))
      }
      guard unsafe nbd_aio_is_ready(handle) == 1 else {
        throw .connection("the server closed the connection", code: ECONNRESET)
      }
    }

    /// What the server has said.
    func facts() throws(NBDError) -> NBDFacts {
      guard let handle = unsafe handle else { throw .connection("it is closed", code: EBADF) }
      let size = unsafe nbd_get_size(handle)
      guard size >= 0 else { throw Self.failure() }
      return try unsafe NBDFacts(
        size: size, minimum: nbd_get_block_size(handle, Int32(LIBNBD_SIZE_MINIMUM)),
        preferred: nbd_get_block_size(handle, Int32(LIBNBD_SIZE_PREFERRED)),
        maximum: nbd_get_block_size(handle, Int32(LIBNBD_SIZE_MAXIMUM)),
        isReadOnly: nbd_is_read_only(handle) == 1, canFlush: nbd_can_flush(handle) == 1,
        canFUA: nbd_can_fua(handle) == 1, canTrim: nbd_can_trim(handle) == 1,
        canZero: nbd_can_zero(handle) == 1, canMultiConn: nbd_can_multi_conn(handle) == 1)
    }

    // MARK: Commands, on the controller's thread

    /// The socket, until the connection ends.
    var descriptor: Int32 {
      guard let handle = unsafe handle else { return -1 }
      return unsafe nbd_aio_get_fd(handle)
    }

    /// Whether the connection has ended.
    var isOver: Bool {
      guard let handle = unsafe handle else { return true }
      return unsafe nbd_aio_is_dead(handle) == 1 || nbd_aio_is_closed(handle) == 1
    }

    /// The events of the socket to wait for, as for `clinux_poll`.
    var wanted: Int16 {
      guard let handle = unsafe handle else { return 0 }
      let direction = unsafe Int32(nbd_aio_get_direction(handle))
      var wanted: Int32 = 0
      if direction & Int32(LIBNBD_AIO_DIRECTION_READ) != 0 { wanted |= Int32(CLINUX_READABLE) }
      if direction & Int32(LIBNBD_AIO_DIRECTION_WRITE) != 0 { wanted |= Int32(CLINUX_WRITABLE) }
      return Int16(wanted)
    }

    /// Moves what can be moved, after an event of the socket.
    ///
    /// - Returns: the errno of what has ended the connection, if that is known; 0 while it goes on.
    func notify(reading: Bool, writing: Bool) -> Int32 {
      guard let handle = unsafe handle else { return EBADF }
      let isDone =
        unsafe (reading ? nbd_aio_notify_read(handle) : nbd_aio_notify_write(handle)) == 0
      return isDone && !isOver ? 0 : lastError
    }

    /// What the last call of this thread has failed with; 1 when it is no errno.
    var lastError: Int32 { max(nbd_get_errno(), 1) }

    /// Begins a command, which is asynchronous: its data is touched within ``notify(reading:writing:)`` and this.
    ///
    /// - Parameter result: gets 0 or an errno within one of the calls of this type; has to exist until ``close()``.
    /// - Returns: false when it was not begun.
    @unsafe
    func begin(
      _ command: NBDCommand, count: UInt64, offset: UInt64, _ result: UnsafeMutablePointer<Int32>
    ) -> Bool {
      guard let handle = unsafe handle else { return false }
      let callback = unsafe nbd_completion_callback(
        callback: Self.whenDone, user_data: UnsafeMutableRawPointer(result), free: nil)
      // Those of libnbd have the numbers of the protocol.
      let flags = unsafe UInt32(command.flags)
      let cookie =
        switch unsafe command {
        case .read(let memory):
          unsafe nbd_aio_pread(handle, memory, Int(count), offset, callback, flags)
        case .write(let memory, _):
          unsafe nbd_aio_pwrite(handle, memory, Int(count), offset, callback, flags)
        case .flush: unsafe nbd_aio_flush(handle, callback, flags)
        case .trim: unsafe nbd_aio_trim(handle, count, offset, callback, flags)
        case .zero: unsafe nbd_aio_zero(handle, count, offset, callback, flags)
        }
      return cookie >= 0
    }

    /// Says goodbye, so that the server does not take the end for a failure.
    func sayGoodbye() {
      guard let handle = unsafe handle else { return }
      _ = unsafe nbd_aio_disconnect(handle, 0)
    }

    // Called within calls of libnbd, which must not be called from here; 1 says that nothing of the command is to be kept.
    private static let whenDone:
      @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>?) -> Int32 = {
        context, error in
        // Sound: what `begin` was given.
        unsafe context?.storeBytes(of: error?.pointee ?? 0, as: Int32.self)
        return 1
      }

    private func check(_ result: Int32) throws(NBDError) {
      guard result < 0 else { return }
      throw Self.failure()
    }

    /// What the last call of this thread has failed with.
    private static func failure() -> NBDError {
      let text = unsafe nbd_get_error().map { unsafe String(cString: $0) } ?? "unknown error"
      return .connection(text, code: nbd_get_errno())
    }
  #else
    init(_ address: NBDAddress) throws(NBDError) { throw .notBuilt }
    func close() {}
    func connect(
      to address: NBDAddress, at known: NBDServerAddresses, _ index: Int, before deadline: Deadline
    ) throws(NBDError) { throw .notBuilt }
    func facts() throws(NBDError) -> NBDFacts { throw .notBuilt }
    var descriptor: Int32 { -1 }
    var isOver: Bool { true }
    var wanted: Int16 { 0 }
    func notify(reading: Bool, writing: Bool) -> Int32 { EBADF }
    var lastError: Int32 { EBADF }
    @unsafe
    func begin(
      _ command: NBDCommand, count: UInt64, offset: UInt64, _ result: UnsafeMutablePointer<Int32>
    ) -> Bool { false }
    func sayGoodbye() {}
  #endif
}
