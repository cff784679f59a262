import SystemPackage
import Testing
import VFIOUserProgram

@testable import vfio_user

@Suite struct `The error for a disk's file that cannot be opened` {
  private func said(_ call: String, _ code: Errno, readOnly: Bool = false) -> String {
    let options = NamespaceOptions(
      file: "d.img", size: nil, blockSize: nil, readOnly: readOnly, cache: nil)
    return options.explain(SystemCallError(call: call, code: code), "d.img")
  }

  @Test func `Only a lock that somebody holds is said to be in use`() {
    let lock = "fcntl(F_OFD_SETLK)"
    #expect(said(lock, .resourceTemporarilyUnavailable).contains("somebody else uses d.img"))
    #expect(
      said(lock, .resourceTemporarilyUnavailable, readOnly: true)
        == "somebody else writes to d.img.")
    // A network file system without locks, and one that does not know this kind.
    for code in [Errno.noLocks, .invalidArgument, .notSupported] {
      #expect(said(lock, code).hasPrefix("d.img cannot be locked: "))
      #expect(said(lock, code).contains(code.description))
    }
  }
}
