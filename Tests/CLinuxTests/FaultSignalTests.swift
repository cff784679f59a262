import CLinux
import Glibc
import HostileFiles
import Synchronization
import TestSupport
import Testing
import VFIOUserTransport

@Suite struct `SIGBUS handling` {
  @Test func `A SIGBUS sent by kill terminates the process as it does without the SIGBUS handler`()
    async
  {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      signal(SIGBUS, SIG_DFL)
      clinux_guard_install()
      kill(getpid(), SIGBUS)
      _ = eventually(within: .seconds(5)) { false }
    }
  }

  @Test func `A SIGBUS about bad memory that was not accessed changes nothing`() async {
    await #expect(processExitsWith: .success) {
      signal(SIGBUS, SIG_DFL)
      clinux_guard_install()
      #expect(hostile_tell_of_bad_memory() == 0)
      let isError = try faults()
      #expect(isError)
    }
  }

  @Test func `A memory fault is an error also on a thread that has blocked SIGBUS`() async {
    await #expect(processExitsWith: .success) {
      clinux_guard_install()
      let result = Atomic(0)
      try DetachedThread.start("blocked") {
        hostile_block_sigbus()
        clinux_guard_enter_thread()
        result.store((try? faults()) == true ? 1 : 2, ordering: .releasing)
      }
      #expect(eventually { result.load(ordering: .acquiring) == 1 })
    }
  }
}

/// Whether an access to memory that its owner has cut off is an error.
private func faults() throws -> Bool {
  let file = try TruncatableMemory(size: 4096)
  let mapping = try MappedMemory(
    file.lent(), at: 0, size: 4096, readable: true, writable: true)
  guard mapping.load(0, size: 8) == 0 else { return false }
  file.resize(to: 0)
  return mapping.load(0, size: 8) == nil
}
